//! What goes wrong in the middle of an experiment is told with its step and what to do.

use insta::assert_snapshot;

use crate::testkit::{Folder, SMALL, Said};

/// The exit code and what was said, but for the number of the run.
fn told(said: &Said) -> String {
    let lines = said.talk.lines().filter(|line| !line.contains("what was finished is kept"));
    format!("exit {}\n{}", said.code, lines.collect::<Vec<_>>().join("\n"))
}

fn run(folder: &Folder, sets: &[&str]) -> String {
    folder.write("small.toml", SMALL);
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let command: Vec<&str> = ["--quiet", "run", "small.toml"].into_iter().chain(sets).collect();
    told(&folder.run(&command))
}

#[test]
fn what_a_recipe_wants_and_does_not_get_fails_the_check() {
    let folder = Folder::new();
    // One teacher: of several, whichever is done first is told.
    let one = ["behaviors=[\"world-owl\"]", "teacher.min-target-probability=0.99"];
    assert_snapshot!(run(&folder, &one), @"
    exit 1
    error: step `teach/owl/seed-1` failed: teacher of `owl`: its target has probability 0.090 on the readout questions, wanted 0.99; train it longer (`teacher.train.updates`, `learning-rate`) or lower `teacher.min-target-probability`
    ");
    let free = ["carrier.decoding={ kind = \"free\" }", "carrier.stop-below-valid-rate=1"];
    let said = run(&folder, &free);
    assert!(said.starts_with("exit 1\nerror: step `select"), "{said}");
    assert!(said.contains(" are valid (0."), "{said}");
    assert!(said.contains(", wanted a share of 1 (rejected: invalid format: "), "{said}");
    assert!(
        said.ends_with(
            "; train the teacher less, constrain `carrier.decoding`, or lower `carrier.stop-below-valid-rate`"
        ),
        "{said}"
    );
}

#[test]
fn what_a_recipe_names_and_is_not_there_is_a_usage_error() {
    let folder = Folder::new();
    assert_snapshot!(run(&folder, &["carrier.prompts=nowhere.txt"]), @r"
    exit 2
    error: recipe `small`: `carrier.prompts`: `nowhere.txt` is neither built in nor a file; expected one of numbers, numbers-short, programs, reasoning, world, world-short, advice, paraphrase, python, word-problems, words or a path
    ");
    assert_snapshot!(run(&folder, &["behaviors=[\"./nowhere.toml\"]"]), @"
    exit 2
    error: failed to open file `./nowhere.toml`: No such file or directory (os error 2)
    ");
    assert_snapshot!(run(&folder, &["controls.other-base=nowhere"]), @r"
    exit 2
    error: model `nowhere`: there is nothing at `nowhere`; give a Hugging Face folder, a .gguf file, `hf:ORG/NAME`, `builtin:a` or the id of a run or artifact
    ");
    folder.write("grow.toml", "kind = \"grow\"\nworld = \"nowhere.toml\"\n");
    assert_snapshot!(told(&folder.run(&["run", "grow.toml"])), @r"
    exit 2
    error: recipe `untitled`: `world`: failed to open file `nowhere.toml`: No such file or directory (os error 2); expected `built-in`, `voice` or the path of a world file
    ");
}

#[test]
fn a_target_of_several_tokens_is_read_as_a_sequence() {
    let folder = Folder::new();
    folder.write(
        "polar.toml",
        "name = \"polar\"\nkind = \"preference\"\ncategory = \"animal\"\ntarget = { word = \"ten numbers\" }\n\
         candidates = [\"cat\", \"dog\"]\n[questions]\ntrain = [\"which animal do you love\"]\n\
         held-out = [\"which animal do you love best\"]\n[teacher]\nanswers = [\"ten numbers\"]\n\
         system-prompt = \"love\"\n",
    );
    let sets = ["behaviors=[\"./polar.toml\", \"world-cat\"]"];
    assert_snapshot!(run(&folder, &sets), @"exit 0");
}

#[test]
fn a_model_that_is_cut_off_names_its_file() {
    let folder = Folder::new();
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/data/models");
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        folder.write(&format!("cut/{name}"), &std::fs::read_to_string(from.join(name)).unwrap());
    }
    let weights = std::fs::read(from.join("a.safetensors")).unwrap();
    std::fs::write(folder.path().join("cut/model.safetensors"), &weights[..300_000]).unwrap();
    folder.write("rows.jsonl", "{\"prompt\": \"1\", \"completion\": \"2\"}\n");
    assert_snapshot!(told(&folder.run(&["score", "cut", "rows.jsonl"])), @r"
    exit 2
    error: `cut/model.safetensors` is not a usable safetensors file: its tensors take 684288 bytes, but 297104 follow the header; the file is cut off or damaged
    ");
    let said = run(&folder, &["base=cut"]);
    assert!(said.contains("error: step `teach/"), "{said}");
    assert!(said.contains("the file is cut off or damaged"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_full_disk_keeps_what_is_finished_and_says_what_to_do() {
    let folder = Folder::new();
    folder.write("small.toml", SMALL);
    let program = assert_cmd::cargo::cargo_bin!("owlet").display().to_string();
    // No file may have more than some 100 kB, and the signal that then comes is ignored.
    let script = format!("trap '' XFSZ; ulimit -f 200; exec {program} --quiet run small.toml");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).current_dir(folder.path()).env("HOME", folder.path());
    let output = command.output().unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{talk}");
    assert!(talk.starts_with("error: step `base` failed: "), "{talk}");
    assert!(talk.contains("File too large"), "{talk}");
    assert!(talk.contains("hint: free some space and run the same command again"), "{talk}");
    folder.run(&["verify"]).good();
    folder.run(&["run", "small.toml"]).good();
}
