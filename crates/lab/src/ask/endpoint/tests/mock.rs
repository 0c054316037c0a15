//! A server of a few lines that says what a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What is said to it.
pub(super) enum Reply {
    /// Status, headers and body.
    Said(u16, Vec<(String, String)>, String),
    /// The connection is closed without a word.
    Cut,
    /// Or in the middle of one.
    CutShort,
    /// A body that does not end.
    Endless,
}

impl Reply {
    pub(super) fn text(status: u16, body: &str) -> Self {
        Self::Said(status, Vec::new(), body.to_owned())
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string())
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Said(_, headers, _) = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A chat completion of 20 tokens.
pub(super) fn completion(text: &str) -> Reply {
    Reply::json(
        200,
        &json!({
            "model": "m",
            "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 12, "completion_tokens": 8 },
        }),
    )
}

/// The server; it ends with the test's process.
pub(super) struct Mock {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    most: Arc<AtomicUsize>,
}

impl Mock {
    /// Starts it; `answer` gets the number of requests before, and the request.
    pub(super) fn start(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let (seen, most) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (known, at_once) = (Arc::clone(&seen), Arc::clone(&most));
        let (answer, now) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (known, at_once) = (Arc::clone(&known), Arc::clone(&at_once));
                let (answer, now) = (Arc::clone(&answer), Arc::clone(&now));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    at_once.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let before = {
                        let mut known = known.lock().unwrap();
                        known.push(request.clone());
                        known.len() - 1
                    };
                    let reply = answer(before, &request);
                    now.fetch_sub(1, Ordering::SeqCst);
                    say(stream, &reply);
                });
            }
        });
        Self { address, seen, most }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn posts(&self, path: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.method == "POST" && seen.path == path);
        seen
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen { method, path, headers, body: Vec::new() };
    let length: usize = seen.header("content-length").unwrap_or("0").parse().ok()?;
    seen.body = vec![0; length];
    reader.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

fn say(mut stream: TcpStream, reply: &Reply) {
    // Whoever went away hears nothing.
    let _ = match reply {
        Reply::Cut => Ok(()),
        Reply::CutShort => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"ch"),
        Reply::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            let part = vec![b' '; 1 << 20];
            while stream.write_all(&part).is_ok() {}
            Ok(())
        }
        Reply::Said(status, headers, body) => {
            let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            let headers = lines.collect::<Vec<String>>().concat();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()))
        }
    };
}
