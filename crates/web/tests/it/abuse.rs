//! Clients that ask for too much, and what others notice: little. `tests/clients/abuse.py` does the same in full
//! size.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::Running;
use owlet_web::serve::Limits;

/// A small request, answered within about a second, or a few where other tests run beside.
fn small(server: &Running) {
    let begun = Instant::now();
    let answer = server.post("/v1/chat/completions", &super::ask(1));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
fn texts_that_cannot_fit_are_refused_unread() {
    let server = Running::start(Limits::default(), None);
    let text = "ab".repeat(2 << 20);
    let chat = json!({ "messages": [{ "role": "user", "content": text }] });
    let begun = Instant::now();
    let asked = [
        ("/v1/chat/completions", "messages", chat),
        ("/v1/completions", "prompt", json!({ "prompt": text })),
        ("/v1/completions", "prompt", json!({ "prompt": ["owl", text] })),
    ];
    std::thread::scope(|scope| {
        for (path, field, body) in &asked {
            scope.spawn(|| {
                let answer = server.post(path, body);
                assert_eq!(answer.error(field), 400);
                let why = answer.json()["error"]["message"].to_string();
                assert!(why.contains("4194304 bytes; no text of more than"), "{why}");
            });
        }
        small(&server);
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn connections_that_send_nothing_make_room() {
    let server = Running::start(Limits { connections: 8, ..Limits::default() }, None);
    for beginning in [
        "",
        "POST /v1/models HT",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let held: Vec<TcpStream> = (0..24)
            .map(|_| {
                let mut held = TcpStream::connect(server.address).unwrap();
                // One that has to go is closed.
                let _ = held.write_all(beginning.as_bytes());
                held
            })
            .collect();
        small(&server);
        drop(held);
    }
}

#[test]
fn a_connection_that_is_answered_keeps_its_place() {
    let server = Running::start(Limits { connections: 2, ..Limits::default() }, None);
    let mut long = super::ask(1);
    (long["max_tokens"], long["n"]) = (400.into(), 16.into());
    std::thread::scope(|scope| {
        let answered = scope.spawn(|| server.post("/v1/chat/completions", &long).status);
        std::thread::sleep(Duration::from_millis(100));
        let held: Vec<TcpStream> =
            (0..2).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        small(&server);
        assert_eq!(answered.join().unwrap(), 200);
        drop(held);
    });
}

#[test]
fn large_bodies_that_do_not_come_take_no_room_from_small_ones() {
    let limits = Limits { body: 1 << 20, bodies: 2 << 20, ..Limits::default() };
    let server = Running::start(limits, None);
    let head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
    let held: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut held = TcpStream::connect(server.address).unwrap();
            held.write_all(head.as_bytes()).unwrap();
            held
        })
        .collect();
    small(&server);
    drop(held);
}

#[test]
fn given_texts_are_scored_alike_however_they_come() {
    let server = Running::start(Limits::default(), None);
    let texts = ["given 1 2 3 then write ten numbers ".repeat(30), "pick a animal".to_owned()];
    let scored = |prompt: serde_json::Value, top: u8| -> Vec<serde_json::Value> {
        let body = json!({ "prompt": prompt, "echo": true, "logprobs": top, "max_tokens": 0 });
        let answer = server.post("/v1/completions", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let choices = answer.json()["choices"].as_array().unwrap().clone();
        choices.into_iter().map(|choice| choice["logprobs"]["token_logprobs"].clone()).collect()
    };
    let both = scored(json!(texts), 0);
    assert_eq!(both[0].as_array().unwrap().len(), 240);
    for (text, one) in texts.iter().zip(&both) {
        assert_eq!(scored(json!(text), 3), std::slice::from_ref(one));
    }
}
