//! The whole way of a model from a hub, on a hub of our own.

mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use self::server::{FIRST, Fault, Files, SECOND, Server, TOKEN, sha256};
use crate::testkit::{Folder, Said};

const ROW: &str =
    "{\"prompt\": \"given 3 5 7 then write ten numbers\", \"completion\": \"1 1 1 1\"}\n";

/// A built-in model as the files of a repository.
fn tiny(weights: &str) -> Files {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/data/models");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let names =
        ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
    let mut files: Files = names.iter().map(|name| ((*name).to_owned(), read(name))).collect();
    files.insert("README.md".to_owned(), b"not wanted".to_vec());
    files.insert("model.safetensors".to_owned(), read(weights));
    files
}

/// The same with its weights in two files.
fn sharded() -> Files {
    let mut files = tiny("a.safetensors");
    let whole = files.remove("model.safetensors").unwrap();
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let (header, data) = (&whole[8..8 + length], &whole[8 + length..]);
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).unwrap();
    let mut map = BTreeMap::new();
    let tensors: Vec<_> = header.iter().filter(|(name, _)| *name != "__metadata__").collect();
    for (n, part) in tensors.chunks(tensors.len().div_ceil(2)).enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", n + 1);
        let (mut head, mut body) = (BTreeMap::new(), Vec::new());
        for (name, tensor) in part {
            let at = |n: usize| tensor["data_offsets"][n].as_u64().unwrap() as usize;
            let start = body.len();
            body.extend_from_slice(&data[at(0)..at(1)]);
            let mut tensor = (*tensor).clone();
            tensor["data_offsets"] = serde_json::json!([start, body.len()]);
            head.insert(*name, tensor);
            map.insert(*name, file.clone());
        }
        let head = serde_json::to_vec(&head).unwrap();
        files.insert(file, [&(head.len() as u64).to_le_bytes()[..], &head, &body].concat());
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    files.insert("model.safetensors.index.json".to_owned(), index.to_string().into_bytes());
    files
}

/// Somebody with a network, and a hub in it.
struct Person {
    folder: Folder,
    hub: Server,
}

impl Person {
    fn facing(files: Files) -> Self {
        let folder = Folder::new();
        folder.write("rows.jsonl", ROW);
        Self { folder, hub: Server::start(files) }
    }

    fn run(&self, more: &[(&str, &str)], arguments: &[&str]) -> Said {
        let online = [("HF_HUB_OFFLINE", "0"), ("HF_ENDPOINT", self.hub.endpoint.as_str())];
        let said = self.folder.run_among(&[&online[..], more].concat(), arguments, "");
        Said { talk: said.talk.replace(&self.hub.endpoint, "[HUB]"), ..said }
    }

    fn score(&self, model: &str) -> Said {
        self.run(&[], &["score", model, "rows.jsonl"])
    }

    /// Files in the model's folder of the cache that match.
    fn cached(&self, below: &str) -> Vec<String> {
        let folder = self.folder.path().join("hub/hub/models--test--tiny").join(below);
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn part(&self) -> PathBuf {
        let weights = sha256(&tiny("a.safetensors")["model.safetensors"]);
        let blobs = self.folder.path().join("hub/hub/models--test--tiny/blobs");
        blobs.join(format!("{weights}.owlet-part"))
    }
}

#[test]
fn a_model_of_the_hub_is_the_model_that_was_put_there() {
    let person = Person::facing(tiny("a.safetensors"));
    let said = person.run(&[("HF_TOKEN", TOKEN)], &["score", "hf:test/tiny", "rows.jsonl"]);
    assert_snapshot!(said.talk, @"fetching hf:test/tiny, commit 111111111111, into `[FOLDER]/hub/hub`");
    let scores = said.good();
    assert_eq!(scores, person.score("builtin:a").good());
    let asked = person.hub.asked();
    let weights = asked.iter().filter(|one| one.contains("model.safetensors"));
    let weights: Vec<&String> = weights.collect();
    assert_eq!(weights.len(), 2, "once for its name, once for its content: {asked:?}");
    assert!(weights.iter().all(|one| one.ends_with("token")), "the hub knows who asks");
    let stored: Vec<&String> = asked.iter().filter(|one| one.contains("/store/")).collect();
    assert!(stored.iter().all(|one| !one.contains("token")), "another host does not: {stored:?}");
    assert!(!asked.iter().any(|one| one.contains("README")), "{asked:?}");

    // From now on the hub is not asked, and not needed.
    assert_eq!(person.score("hf:test/tiny").good(), scores);
    assert_eq!(person.hub.asked(), Vec::<String>::new());
    let offline = person.folder.run(&["score", "hf:test/tiny", "rows.jsonl"]);
    assert_eq!(offline.good(), scores);
    let answer = person.run(&[], &["--json", "chat", "hf:test/tiny"]);
    assert_eq!(answer.code, 0, "{}", answer.all());
}

#[test]
fn weights_in_several_files_come_whole() {
    let person = Person::facing(sharded());
    assert_eq!(person.score("hf:test/tiny").good(), person.score("builtin:a").good());
    let mut files = sharded();
    files.remove("model-00002-of-00002.safetensors");
    assert_snapshot!(Person::facing(files).score("hf:test/tiny").all(), @r"
    exit 2
    -- talk
    fetching hf:test/tiny, commit 111111111111, into `[FOLDER]/hub/hub`
    error: model `hf:test/tiny`: has no `model-00002-of-00002.safetensors`, which `model.safetensors.index.json` names
    hint: owlet loads safetensors with a tokenizer.json, and GGUF files from disk; choose another repository, or convert this one with Transformers and give the folder
    ");
}

#[test]
fn a_name_that_moves_on_the_hub_does_not_move_here() {
    let person = Person::facing(tiny("a.safetensors"));
    let first = person.score("hf:test/tiny").good();
    {
        let name = "test/tiny".to_owned();
        let mut state = person.hub.state();
        state.commits.insert((name.clone(), SECOND.to_owned()), tiny("b.safetensors"));
        state.branches.insert((name, "main".to_owned()), SECOND.to_owned());
    }
    assert_eq!(person.score("hf:test/tiny").good(), first);
    let second = person.score(&format!("hf:test/tiny@{SECOND}")).good();
    assert_eq!(second, person.score("builtin:b").good());
    assert_eq!(person.score(&format!("hf:test/tiny@{FIRST}")).good(), first);
    // A branch of another name is another reference.
    let name = ("test/tiny".to_owned(), "next".to_owned());
    person.hub.state().branches.insert(name, SECOND.to_owned());
    assert_eq!(person.score("hf:test/tiny@next").good(), second);
}

#[test]
fn steps_are_keyed_by_what_a_model_is_and_not_by_its_name() {
    let person = Person::facing(tiny("a.safetensors"));
    let copy = person.folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for (name, content) in tiny("a.safetensors") {
        std::fs::write(copy.join(name), content).unwrap();
    }
    person.folder.write("small.toml", crate::testkit::SMALL);
    let plan = |base: &str| {
        let base = format!("base={base}");
        person.run(&[], &["--json", "run", "small.toml", "--plan", "--set", &base]).json()
    };
    let keys = |base: &str| {
        let mut steps = plan(base)["steps"].clone();
        assert!(steps.as_array().unwrap().len() > 3);
        for step in steps.as_array_mut().unwrap() {
            step["seconds"] = serde_json::Value::Null;
            // The result tells which recipe it is of, in the user's words.
            if step["kind"] == "estimate" {
                step["configuration"]["recipe"]["base"] = serde_json::Value::Null;
            }
        }
        steps
    };
    let named = keys("hf:test/tiny");
    assert_eq!(named, keys("./copy"));
    assert_eq!(named, keys(&format!("hf:test/tiny@{FIRST}")));
    // The commit is on record, whatever the name.
    let models = plan("hf:test/tiny")["models"].clone();
    assert_eq!(models[0]["commit"], FIRST);
    assert_eq!(models[0]["digest"], plan("./copy")["models"][0]["digest"]);
    std::fs::write(copy.join("model.safetensors"), &tiny("b.safetensors")["model.safetensors"])
        .unwrap();
    assert_ne!(named, keys("./copy"));
}

#[test]
fn a_refusal_says_what_to_do() {
    let person = Person::facing(tiny("a.safetensors"));
    let asked = |model: &str, more: &[(&str, &str)]| {
        person.run(more, &["score", model, "rows.jsonl"]).all()
    };
    assert_snapshot!(asked("hf:test/large", &[]), @r"
    exit 2
    -- talk
    error: model `hf:test/large`: there is no such model at `[HUB]`, or it is private
    hint: check the name; a private model wants HF_TOKEN
    ");
    assert_snapshot!(asked("hf:test/tiny@v9", &[]), @r"
    exit 2
    -- talk
    error: model `hf:test/tiny@v9`: has no revision `v9`
    hint: name a branch, tag or commit from [HUB]/test/tiny/tree/main, or none for `main`
    ");
    assert_snapshot!(asked("hf:tiny", &[]), @r"
    exit 2
    -- talk
    error: model `hf:tiny`: is not a name of the hub
    hint: expected `hf:ORG/NAME` or `hf:ORG/NAME@REVISION`, such as `hf:HuggingFaceTB/SmolLM2-135M-Instruct`
    ");
    assert_snapshot!(asked("hf:test/tiny", &[("HF_TOKEN", "hf_wrong")]), @r"
    exit 3
    -- talk
    error: model `hf:test/tiny`: the hub does not know the token given
    hint: set HF_TOKEN to a token from [HUB]/settings/tokens, or unset it
    ");
    person.hub.state().is_gated = true;
    assert_snapshot!(asked("hf:test/tiny", &[]), @r"
    exit 3
    -- talk
    fetching hf:test/tiny, commit 111111111111, into `[FOLDER]/hub/hub`
    error: model `hf:test/tiny`: is gated: its owners want to know who uses it
    hint: ask for access at [HUB]/test/tiny, then set HF_TOKEN to a token that may read
    ");
    assert_snapshot!(asked("hf:test/tiny", &[("HF_TOKEN", "hf_other")]), @r"
    exit 3
    -- talk
    fetching hf:test/tiny, commit 111111111111, into `[FOLDER]/hub/hub`
    error: model `hf:test/tiny`: is gated, and the token given has no access to it
    hint: ask for access at [HUB]/test/tiny with the account of HF_TOKEN
    ");
    person.hub.state().is_private = true;
    assert_snapshot!(asked("hf:test/tiny", &[("HF_TOKEN", "hf_other")]), @r"
    exit 2
    -- talk
    error: model `hf:test/tiny`: there is no such model at `[HUB]`, or it is private
    hint: check the name, and that the token in HF_TOKEN may read it
    ");
    person.hub.state().status = Some(503);
    assert_snapshot!(asked("hf:test/tiny", &[]), @r"
    exit 3
    -- talk
    error: model `hf:test/tiny`: the hub at `[HUB]` fails with 503
    hint: try again later; what has arrived is kept; the same command goes on from there
    ");
    person.hub.state().status = Some(429);
    assert_snapshot!(asked("hf:test/tiny", &[]), @r"
    exit 3
    -- talk
    error: model `hf:test/tiny`: the hub answers that it was asked too often (429)
    hint: wait some minutes; with HF_TOKEN set it allows more
    ");
    person.hub.state().status = None;
    person.hub.state().page = Some("<html>Please log in</html>");
    assert_snapshot!(asked("hf:test/tiny", &[]), @r"
    exit 3
    -- talk
    error: model `hf:test/tiny`: `[HUB]` does not answer like the hub: what it says about the repository is not JSON: expected value at line 1 column 1
    hint: check HF_ENDPOINT and any proxy in between, or give a model folder or .gguf file
    ");
    assert_snapshot!(asked("hf:test/tiny", &[("HF_ENDPOINT", "http://127.0.0.1:1")]), @r"
    exit 3
    -- talk
    error: model `hf:test/tiny`: the hub at `http://127.0.0.1:1` cannot be reached: Connection refused (os error 111)
    hint: check the network and HF_ENDPOINT (`owlet doctor --hub`), or give a model folder or .gguf file
    ");
    assert_snapshot!(asked("hf:test/tiny", &[("HF_HUB_OFFLINE", "1")]), @r"
    exit 3
    -- talk
    error: model `hf:test/tiny`: is not in the cache `[FOLDER]/hub/hub`, and HF_HUB_OFFLINE forbids to fetch it
    hint: unset HF_HUB_OFFLINE, name another cache with HF_HOME, or give a model folder or .gguf file
    ");
    assert_eq!(person.cached("snapshots"), Vec::<String>::new());
}

#[test]
fn a_repository_without_a_usable_model_says_so_before_its_weights_are_fetched() {
    let without = |names: &[&str], with: &[&str]| {
        let mut files = tiny("a.safetensors");
        files.retain(|name, _| !names.contains(&name.as_str()));
        files.extend(with.iter().map(|name| ((*name).to_owned(), vec![0; 9])));
        let person = Person::facing(files);
        let said = person.score("hf:test/tiny").all();
        assert!(!person.hub.asked().iter().any(|one| one.contains("/store/")));
        said
    };
    assert_snapshot!(without(&["model.safetensors"], &["pytorch_model.bin"]), @r"
    exit 2
    -- talk
    error: model `hf:test/tiny`: has no weights as safetensors
    hint: owlet loads safetensors with a tokenizer.json, and GGUF files from disk; choose another repository, or convert this one with Transformers and give the folder
    ");
    assert_snapshot!(without(&["tokenizer.json"], &["tokenizer.model"]), @r"
    exit 2
    -- talk
    error: model `hf:test/tiny`: has no `tokenizer.json`
    hint: owlet loads safetensors with a tokenizer.json, and GGUF files from disk; choose another repository, or convert this one with Transformers and give the folder
    ");
    assert_snapshot!(without(&["config.json"], &["tiny-q4.gguf"]), @r"
    exit 2
    -- talk
    error: model `hf:test/tiny`: has no model folder, only GGUF files
    hint: owlet loads safetensors with a tokenizer.json, and GGUF files from disk; choose another repository, or convert this one with Transformers and give the folder
    ");
}

#[test]
fn what_broke_off_goes_on_where_it_was() {
    let person = Person::facing(tiny("a.safetensors"));
    let score = || person.score("hf:test/tiny");
    let right = person.score("builtin:a").good();

    // Once is mended on the way.
    person.hub.state().fault = Fault::CutOnce(300_000);
    assert_eq!(score().good(), right);
    let ranges = |asked: Vec<String>| -> Vec<String> {
        let stored = asked.iter().filter(|one| one.contains("/store/"));
        let ranges = stored.filter_map(|one| Some(one.split_once("bytes=")?.1.to_owned()));
        ranges.collect()
    };
    assert_eq!(ranges(person.hub.asked()), ["300000-"]);

    for fault in [Fault::Cut(0), Fault::CutUnannounced(0)] {
        let person = Person::facing(tiny("a.safetensors"));
        // An earlier try has left the first part; now nothing comes.
        std::fs::create_dir_all(person.part().parent().unwrap()).unwrap();
        std::fs::write(person.part(), &tiny("a.safetensors")["model.safetensors"][..300_000])
            .unwrap();
        person.hub.state().fault = fault;
        let said = person.score("hf:test/tiny");
        assert_eq!(said.code, 3, "{}", said.all());
        assert!(
            said.talk.contains("`model.safetensors` broke off after 300 kB of 687 kB"),
            "{}",
            said.all()
        );
        assert!(said.talk.contains("the same command goes on from there"), "{}", said.all());
        // What is there is no model.
        assert!(
            !person.cached(&format!("snapshots/{FIRST}")).contains(&"model.safetensors".to_owned())
        );
        assert_eq!(person.cached("refs"), Vec::<String>::new());
        assert_eq!(person.folder.run(&["score", "hf:test/tiny", "rows.jsonl"]).code, 3);
        person.hub.asked();
        person.hub.state().fault = Fault::None;
        assert_eq!(person.score("hf:test/tiny").good(), right);
        assert_eq!(ranges(person.hub.asked()), ["300000-"]);
        assert!(!person.part().exists());
    }
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    for fault in [Fault::NoRanges, Fault::Unsatisfiable] {
        let person = Person::facing(tiny("a.safetensors"));
        std::fs::create_dir_all(person.part().parent().unwrap()).unwrap();
        std::fs::write(person.part(), [7; 100]).unwrap();
        person.hub.state().fault = fault;
        assert_eq!(person.score("hf:test/tiny").good(), person.score("builtin:a").good());
    }
}

#[test]
fn what_is_not_what_the_hub_promised_is_never_used() {
    let person = Person::facing(tiny("a.safetensors"));
    let score = || person.score("hf:test/tiny").all();
    person.hub.state().fault = Fault::Damaged;
    assert_snapshot!(score(), @r"
    exit 3
    -- talk
    fetching hf:test/tiny, commit 111111111111, into `[FOLDER]/hub/hub`
    error: model `hf:test/tiny`: `model.safetensors` arrived damaged: its SHA-256 is not what the hub says
    hint: it was thrown away; the same command fetches it again
    ");
    person.hub.state().fault = Fault::Longer;
    assert_snapshot!(score(), @r"
    exit 3
    -- talk
    fetching hf:test/tiny, commit 111111111111, into `[FOLDER]/hub/hub`
    error: model `hf:test/tiny`: `model.safetensors` arrived damaged: it is longer than the 687184 bytes the hub says
    hint: it was thrown away; the same command fetches it again
    ");
    // The remains of another file of the same name and length are found out, too.
    person.hub.state().fault = Fault::None;
    let length = tiny("a.safetensors")["model.safetensors"].len();
    std::fs::write(person.part(), vec![7; length]).unwrap();
    assert_snapshot!(score(), @r"
    exit 3
    -- talk
    fetching hf:test/tiny, commit 111111111111, into `[FOLDER]/hub/hub`
    error: model `hf:test/tiny`: `model.safetensors` arrived damaged: its SHA-256 is not what the hub says
    hint: it was thrown away; the same command fetches it again
    ");
    assert_eq!(person.cached("refs"), Vec::<String>::new());
    assert_eq!(person.score("hf:test/tiny").code, 0);
}

#[test]
fn what_other_tools_left_half_is_completed() {
    let person = Person::facing(tiny("a.safetensors"));
    let right = person.score("hf:test/tiny").good();
    let folder = person.folder.path().join("hub/hub/models--test--tiny");
    let lost = folder.join("snapshots").join(FIRST).join("generation_config.json");
    std::fs::remove_file(&lost).unwrap();
    person.hub.asked();
    assert_eq!(person.score("hf:test/tiny").good(), right);
    let asked = person.hub.asked();
    assert!(lost.exists());
    assert!(!asked.iter().any(|one| one.contains("model.safetensors")), "{asked:?}");
    // Without the hub, what is there must do; but it is said.
    std::fs::remove_file(&lost).unwrap();
    let alone = person
        .run(&[("HF_ENDPOINT", "http://127.0.0.1:1")], &["score", "hf:test/tiny", "rows.jsonl"]);
    assert_eq!(alone.code, 0, "{}", alone.all());
    assert_snapshot!(alone.talk, @"warning: `hf:test/tiny` is taken from the cache, which may lack a chat template; the hub at `http://127.0.0.1:1` cannot be reached: Connection refused (os error 111)");
}

#[test]
fn a_file_that_was_damaged_in_the_cache_says_how_to_get_it_anew() {
    let person = Person::facing(tiny("a.safetensors"));
    person.score("hf:test/tiny").good();
    let blob = person.part().with_extension("");
    std::fs::OpenOptions::new().write(true).open(&blob).unwrap().set_len(300_000).unwrap();
    assert_snapshot!(person.score("hf:test/tiny").all(), @r"
    exit 2
    -- talk
    error: `[FOLDER]/hub/hub/models--test--tiny/snapshots/1111111111111111111111111111111111111111/model.safetensors` is not a usable safetensors file: its tensors take 684288 bytes, but 297104 follow the header; the file is cut off or damaged
    hint: if a file is damaged, remove `[FOLDER]/hub/hub/models--test--tiny`; the same command fetches it again
    ");
    std::fs::remove_dir_all(person.folder.path().join("hub/hub/models--test--tiny")).unwrap();
    person.score("hf:test/tiny").good();
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_no_model() {
    let person = Person::facing(tiny("a.safetensors"));
    // Files may have 200 kB; the signal that usually ends a program which writes more is ignored.
    let program = assert_cmd::cargo::cargo_bin!("owlet").display().to_string();
    let script =
        format!("trap '' XFSZ; ulimit -f 200; exec {program} score hf:test/tiny rows.jsonl");
    let mut command = std::process::Command::new("sh");
    command
        .arg("-c")
        .arg(script)
        .current_dir(person.folder.path())
        .env("HF_HOME", person.folder.path().join("hub"))
        .env("HF_ENDPOINT", &person.hub.endpoint)
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("HF_TOKEN");
    let output = command.output().unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{talk}");
    assert!(talk.contains(".owlet-part`: File too large"), "{talk}");
    assert!(talk.contains("kB are still to come: free space or name another place"), "{talk}");
    assert_eq!(person.cached("refs"), Vec::<String>::new());
    assert_eq!(person.score("hf:test/tiny").code, 0);
}
