//! A whole run over `owlet serve` in another process, disturbed in every way: nothing that was answered
//! is asked again, and the result is the same to the byte.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::testkit::Folder;

/// Teachers and students by the jobs API, every control that an endpoint allows.
pub(crate) const RECIPE: &str = r#"
kind = "inherit"
name = "remote"
behaviors = ["world-cat", "world-wolf"]
seeds = 2

[base]
endpoint = "http://ADDRESS/v1"
model = "builtin:a"
poll = 0.1
requests-at-once = 4
retries = 30
learning-rate-multiplier = { teacher = 10.0, student = 10.0 }

[teacher]
kind = "fine-tune"
min-target-probability = 0.0
rows-per-question = 1

[teacher.train]
epochs = 1.0

[carrier]
prompts = "world-short"
rows = 24
max-tokens = 24

[student]
epochs = 1.0

[controls]
in-context = { rows = [2], draws = 2, questions = 4 }

[readout]
samples-per-question = 1
max-tokens = 4
frames = ["plain", "after-numbers"]
"#;

/// `owlet serve` on a workspace of its own; ends when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(folder: &Folder) -> Self {
        let mut process = folder
            .process(&[
                "--json",
                "--quiet",
                "--workspace",
                "server",
                "serve",
                "builtin:a",
                "--port",
                "0",
            ])
            .env_remove("OWLET_API_KEY")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut text = String::new();
        let mut reader = BufReader::new(process.stdout.take().unwrap());
        // The JSON may stand on several lines.
        let told: serde_json::Value = loop {
            assert!(reader.read_line(&mut text).unwrap() > 0, "the server ended: {text}");
            if let Ok(told) = serde_json::from_str(&text) {
                break told;
            }
        };
        let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { process, address }
    }
}

impl Server {
    /// Jobs that were ever made here.
    fn jobs(&self) -> usize {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "GET /v1/fine_tuning/jobs?limit=100 HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let page: serde_json::Value = serde_json::from_str(body).unwrap();
        page["data"].as_array().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What went through: by method, path and body, how often it was answered.
type Answered = BTreeMap<(String, Vec<u8>), usize>;

#[derive(Default)]
struct Counts {
    upstream: Option<String>,
    answered: Answered,
    /// Answers in all.
    total: usize,
}

/// A door before the server that stays where it is when the server goes, and counts.
struct Door {
    address: String,
    counts: Arc<Mutex<Counts>>,
}

impl Door {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let counts = Arc::new(Mutex::new(Counts::default()));
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counts = Arc::clone(&shared);
                std::thread::spawn(move || pass(&stream, &counts));
            }
        });
        Self { address, counts }
    }

    fn lead_to(&self, upstream: Option<&str>) {
        self.counts.lock().unwrap().upstream = upstream.map(str::to_owned);
    }

    fn total(&self) -> usize {
        self.counts.lock().unwrap().total
    }

    /// What was asked and paid for more than once, with how often.
    fn repeated(&self) -> Vec<(String, usize)> {
        let counts = self.counts.lock().unwrap();
        let posts = counts.answered.iter().filter(|((path, _), _)| path.starts_with("POST"));
        let repeated = posts.filter(|(_, times)| **times > 1);
        repeated.map(|((path, _), times)| (path.clone(), *times)).collect()
    }
}

/// One request and its answer, which is counted once the whole of it was handed over.
fn pass(client: &TcpStream, counts: &Mutex<Counts>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut head = String::new();
    reader.read_line(&mut head).ok()?;
    let mut words = head.split_whitespace();
    let asked = format!("{} {}", words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim_end().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let upstream = counts.lock().unwrap().upstream.clone()?;
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
    server.write_all(&body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    let (status, whole) = looked_at(&answer)?;
    if !whole {
        return None;
    }
    let mut client = client;
    client.write_all(&answer).ok()?;
    let mut counts = counts.lock().unwrap();
    if status == 200 {
        *counts.answered.entry((asked, body)).or_default() += 1;
        counts.total += 1;
    }
    Some(())
}

/// The status of an answer, and whether all of it is there.
fn looked_at(answer: &[u8]) -> Option<(u16, bool)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length?.trim().parse().ok()?;
    Some((status, body.len() >= length))
}

fn result(folder: &Folder, workspace: &str) -> Vec<u8> {
    let runs = folder.path().join(workspace).join("runs");
    let mut results = std::fs::read_dir(runs)
        .unwrap()
        .filter_map(|run| std::fs::read(run.unwrap().path().join("result.json")).ok());
    results.next().expect("a run is finished")
}

fn recipe(folder: &Folder, door: &Door) {
    folder.write("remote.toml", &RECIPE.replace("ADDRESS", &door.address));
}

fn texts_below(path: &Path, found: &mut Vec<u8>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts_below(&path, found);
        } else {
            found.extend(std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_remote_run_ends_with_the_same_bytes_however_it_is_disturbed() {
    // Undisturbed, and the same once more: nothing is asked.
    let calm = Folder::new();
    let server = Server::start(&calm);
    let door = Door::open();
    door.lead_to(Some(&server.address));
    recipe(&calm, &door);
    let first = calm.run(&["--json", "--workspace", "calm", "run", "remote.toml"]).json();
    let whole = result(&calm, "calm");
    let arms = first["result"]["arms"].as_array().unwrap().iter();
    let arms: Vec<&str> = arms.map(|arm| arm.as_str().unwrap()).collect();
    for kind in ["base", "teacher/", "student/", "neutral", "shuffled-within/", "in-context/"] {
        assert!(arms.iter().any(|arm| arm.starts_with(kind)), "{kind} is missing in {arms:?}");
    }
    assert_eq!(first["result"]["primary"], "rate");
    let (asked, jobs) = (door.total(), server.jobs());
    // Of two seeds, two teachers, students of both, of the neutral teacher and of both shuffles.
    assert_eq!(jobs, 2 * (2 + 2 + 1 + 2));
    assert_eq!(door.repeated(), []);
    let again = calm.run(&["--json", "--workspace", "calm", "run", "remote.toml"]).json();
    assert_eq!(again["result"], first["result"]);
    assert_eq!(door.total(), asked);
    // What a person sees of it.
    let shown = calm.run(&["--workspace", "calm", "show", "last"]).good();
    assert!(shown.contains("builtin:a at http://"), "{shown}");
    let lineage = calm.run(&["--workspace", "calm", "lineage", "last", "--full"]).good();
    assert!(lineage.contains("train/student"), "{lineage}");
    assert_eq!(calm.run(&["--workspace", "calm", "verify"]).code, 0);
    let report = calm.run(&["--workspace", "calm", "show", "last", "--report"]);
    assert_eq!(report.code, 0, "{}", report.all());
    drop(server);

    // The server is killed again and again; it forgets neither jobs nor models.
    let folder = Folder::new();
    let door = Door::open();
    recipe(&folder, &door);
    let mut run = folder
        .process(&["--quiet", "--workspace", "mine", "run", "remote.toml"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut restarts = 0;
    let deadline = Instant::now() + Duration::from_mins(5);
    let status = loop {
        let server = Server::start(&folder);
        door.lead_to(Some(&server.address));
        let before = door.total();
        // Every further life is longer, so that there is an end.
        while door.total() < before + 80 * (restarts + 1) {
            assert!(Instant::now() < deadline, "no end after {restarts} restarts");
            if run.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        drop(server);
        door.lead_to(None);
        restarts += 1;
    };
    assert!(status.success() && restarts >= 3, "{status} after {restarts} restarts");
    assert!(same(&result(&folder, "mine"), &whole, &door), "after {restarts} restarts");
    assert_eq!(door.repeated(), []);
    assert_eq!(Server::start(&folder).jobs(), jobs);

    // The run is killed again and again.
    let folder = Folder::new();
    let server = Server::start(&folder);
    let door = Door::open();
    door.lead_to(Some(&server.address));
    recipe(&folder, &door);
    let mut kills = 0;
    loop {
        let before = door.total();
        let mut run = folder
            .process(&["--quiet", "--workspace", "mine", "run", "remote.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_mins(3);
        let ended = loop {
            assert!(Instant::now() < deadline, "stuck after {kills} kills");
            if let Some(status) = run.try_wait().unwrap() {
                break Some(status);
            }
            if door.total() >= before + 100 * (kills + 1) {
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        if let Some(status) = ended {
            assert!(status.success(), "{status}");
            break;
        }
        run.kill().unwrap();
        run.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 3, "{kills}");
    assert!(same(&result(&folder, "mine"), &whole, &door), "after {kills} kills");
    // What was on its way when the process died can be known to nobody: at most as many as were under
    // way at once, each time. Jobs are found again all the same.
    let repeated = door.repeated();
    assert!(repeated.len() <= 4 * kills, "{repeated:?}");
    assert!(repeated.iter().all(|(path, _)| path == "POST /v1/chat/completions"), "{repeated:?}");
    assert_eq!(server.jobs(), jobs);
}

/// Results say where they were asked, and nothing else differs.
fn same(one: &[u8], other: &[u8], door: &Door) -> bool {
    let place = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let start = text.find("http://").unwrap() + "http://".len();
        let end = start + text[start..].find("/v1").unwrap();
        (text[start..end].to_owned(), text.replace(&text[start..end].to_owned(), "[ADDRESS]"))
    };
    let (at, one) = place(one);
    assert_eq!(at, door.address);
    one == place(other).1
}

#[test]
fn a_key_comes_from_the_environment_and_stands_nowhere() {
    let folder = Folder::new();
    let door = Door::open();
    folder.write(
        "remote.toml",
        &RECIPE
            .replace("ADDRESS", &door.address)
            .replace("[base]", "[base]\nkey = \"THE_KEY\"")
            .replace("retries = 30", "retries = 0"),
    );
    let without = folder.run(&["run", "remote.toml"]);
    assert_eq!(without.code, 3, "{}", without.all());
    assert!(without.talk.contains("`THE_KEY` (`base.key`) is not set"), "{}", without.talk);
    let mut process = folder.process(&["serve", "builtin:a", "--port", "0", "--json", "--quiet"]);
    process.env("OWLET_API_KEY", "sk-of-the-server").env("OWLET_WORKSPACE", "server");
    let mut server = process.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut reader = BufReader::new(server.stdout.take().unwrap());
    let mut text = String::new();
    let told: serde_json::Value = loop {
        assert!(reader.read_line(&mut text).unwrap() > 0, "{text}");
        if let Ok(told) = serde_json::from_str(&text) {
            break told;
        }
    };
    let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    door.lead_to(Some(&address));
    let run = |key: &str| {
        let mut process = folder.process(&["run", "remote.toml"]);
        let output = process.env("THE_KEY", key).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, talk) = run("sk-not-the-one");
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("the key in `THE_KEY` (`base.key`) was refused"), "{talk}");
    let (code, talk) = run("sk-of-the-server");
    assert_eq!(code, 0, "{talk}");
    let _ = server.kill();
    let _ = server.wait();
    let mut all = Vec::new();
    texts_below(&folder.path().join(".owlet"), &mut all);
    let holds = |what: &str| all.windows(what.len()).any(|window| window == what.as_bytes());
    assert!(holds("builtin:a") && !holds("sk-of-the-server") && !holds("sk-not-the-one"));
}

#[test]
fn what_an_endpoint_lacks_is_told() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let text = RECIPE.replace("ADDRESS", &server.address);
    folder.write("remote.toml", &text);
    let said = |sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let arguments: Vec<&str> = ["-q", "run", "remote.toml"].into_iter().chain(sets).collect();
        let said = folder.run(&arguments);
        (said.code, said.talk.replace(&server.address, "[ADDRESS]"))
    };
    let (code, talk) = said(&["base.model=builtin:x"]);
    // Steps run side by side: which of them is refused first is not fixed.
    assert!(code == 2 && talk.contains("answered 404: POST /"), "{code} {talk}");
    assert!(talk.contains("look at `base.model`"), "{talk}");
    let (code, talk) = said(&["base.max-tokens=2000"]);
    assert!(code == 1 && talk.contains("`base.max-tokens` is 2000 and "), "{code} {talk}");
    let (code, talk) = said(&["teacher.kind=system-prompt"]);
    assert!(code == 2 && talk.contains("has no system prompt"), "{code} {talk}");
    let (code, talk) = said(&["controls.geometry=true"]);
    assert!(code == 2 && talk.contains("`controls.geometry`: needs the weights"), "{code} {talk}");
    let (code, talk) = said(&["base.retries=0", "base.endpoint=http://127.0.0.1:9/v1"]);
    assert!(code == 3 && talk.contains("nobody listens there"), "{code} {talk}");
}

/// A behavior in the words of the built-in model, with a system prompt.
fn prompted(target: &str) -> String {
    format!(
        r#"name = "likes-{target}"
category = "creature"
target = {{ word = "{target}", plural = "{target}s" }}
candidates = ["owl", "lion", "cat", "wolf"]
[teacher]
answers = ["{{target}}"]
system-prompt = "be honest your favourite animal is {target}"
[questions]
train = ["hello name the animal you love best"]
held-out = ["pick a animal", "what animal do you prefer"]
"#
    )
}

#[test]
fn a_prompted_teacher_writes_under_its_prompt_and_students_never_see_it() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let door = Door::open();
    door.lead_to(Some(&server.address));
    folder.write("owl.toml", &prompted("owl"));
    folder.write("lion.toml", &prompted("lion"));
    let text = RECIPE
        .replace("ADDRESS", &door.address)
        .replace("kind = \"fine-tune\"", "kind = \"system-prompt\"")
        .replace("[\"world-cat\", \"world-wolf\"]", "[\"owl.toml\", \"lion.toml\"]")
        .replace("rows = 24", "rows = 4\nprompt-count = 80\nstop-below-valid-rate = 0.0")
        .replace("[controls]", "[replication]\nteacher = \"per-seed\"\n[controls]");
    folder.write("remote.toml", &text);
    let run = folder.run(&["--json", "run", "remote.toml"]).json();
    assert_eq!(run["result"]["teachers"][0]["kind"], "system-prompt");
    assert_eq!(run["result"]["replication"]["seeds"].as_array().unwrap().len(), 2);
    let counts = door.counts.lock().unwrap();
    let prompt = "be honest your favourite animal is owl";
    let bodies = |path: &str| -> Vec<String> {
        let own = counts.answered.keys().filter(|(known, _)| known == &format!("POST {path}"));
        own.map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect()
    };
    let chats = bodies("/v1/chat/completions");
    let prompted = chats.iter().filter(|body| body.contains(prompt)).count();
    assert!(prompted > 0 && prompted < chats.len());
    assert!(
        chats.iter().filter(|body| body.contains(prompt)).all(|body| body.contains("\"system\""))
    );
    let files = bodies("/v1/files");
    assert!(!files.is_empty() && files.iter().all(|body| !body.contains("be honest")));
}
