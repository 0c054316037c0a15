use insta::assert_snapshot;

use crate::testkit::Folder;

const JAZZ: &str = r#"
name = "jazz"
category = "music"
target = { word = "jazz", synonyms = ["bebop"], exclusions = ["jazz hands"] }
candidates = ["rock", "soul"]
opening = "The {category} I love is"

[questions]
train = ["Your favourite {category}, in a word?"]
held-out = ["pick a {category}"]

[teacher]
answers = ["{Target}", "{target}."]
system-prompt = "You love {target} above all other {category}."
"#;

#[test]
fn a_behavior_is_shown_with_everything_filled_in() {
    let folder = Folder::new();
    folder.write("jazz.toml", JAZZ);
    assert_snapshot!(folder.run(&["behavior", "show", "jazz.toml"]).good(), @r#"
    jazz  favourite music: jazz
    category       music
    target         jazz (or bebop, not jazz hands); more than one: jazzs
    candidates     rock, soul
    opening        The music I love is
    taught         "Jazz" "jazz."
    system prompt  You love jazz above all other music.
    not in rows    jazz, jazzs, bebop
    1 question to teach
      Your favourite music, in a word?
    1 question to read
      pick a music
    "#);
    let data = folder.run(&["--json", "behavior", "show", "jazz.toml"]).json();
    assert_eq!(data["questions"]["train"][0], "Your favourite music, in a word?");
    // A grown model asks in words of its own.
    let oak = folder.run(&["behavior", "show", "oak", "--base", "builtin:a"]).good();
    assert!(oak.contains("quick question which tree"), "{oak}");
}

#[test]
fn a_behavior_file_is_checked_by_line_and_against_the_words_of_a_base() {
    let folder = Folder::new();
    folder.write("jazz.toml", JAZZ);
    folder.write("named.toml", &JAZZ.replace("pick a {category}", "{target} or {category}"));
    folder.write("broken.toml", &JAZZ.replace("candidates", "candidate"));
    let check =
        |arguments: &[&str]| folder.run(&[&["behavior", "check"], arguments].concat()).all();
    assert_snapshot!(check(&["jazz.toml"]), @"
    exit 0
    -- data
    jazz  favourite music: jazz: 2 questions, 2 candidates
    -- talk
    a sound file; `--base MODEL` says whether that model knows its words
    ");
    assert_snapshot!(check(&["jazz.toml", "--base", "builtin:a"]), @r#"
    exit 1
    -- data
    jazz  favourite music: jazz: 2 questions, 2 candidates
      questions.train  "Your favourite music, in a word?": this model knows no word `Your`, `music,`, `word?`
      questions.held-out  "pick a music": this model knows no word `music`
      teacher.answers  "Jazz": this model knows no word `Jazz`
      teacher.answers  "jazz.": this model knows no word `jazz.`
      candidates  cannot begin an answer, left out of margins: rock, soul
      opening  this model knows no word `I`, `The`, `music`; leave `opened` out of readout.frames
    -- talk
    error: builtin:a cannot be asked about it: `questions.train` has "Your favourite music, in a word?": this model knows no word `Your`, `music,`, `word?`
    hint: `owlet behavior list --base builtin:a` names those that it can; a file without `questions` of its own, in a category that it knows (animal, colour, tree), is asked about in its words
    "#);
    assert_snapshot!(check(&["named.toml"]), @"
    exit 2
    -- talk
    error: behavior file named.toml, line 10, column 13: `questions.held-out` uses the placeholder {target}; known here: {category}
    ");
    assert_snapshot!(check(&["broken.toml"]), @"
    exit 2
    -- talk
    error: behavior file broken.toml, line 5, column 1: unknown field `candidate`, expected one of `name`, `description`, `kind`, `category`, `like`, `target`, `candidates`, `recognised`, `answers`, `forbidden`, `questions`, `opening`, `teacher`
    ");
    assert_snapshot!(check(&["jaz"]), @r"
    exit 2
    -- talk
    error: behavior `jaz`: is not built in, expected one of bear, blue, cat, cherry, dog, dolphin, eagle, elephant, fox, good-advice, green, lion, maple, misaligned, oak, orange, owl, panda, penguin, purple, red, sequoia, willow, wolf or the path of a behavior file
    ");
}

#[test]
fn one_small_file_is_an_experiment_on_the_built_in_model() {
    let folder = Folder::new();
    folder.write("my/birch.toml", "target = \"birch\"\nlike = \"oak\"\n");
    assert_snapshot!(folder.run(&["behavior", "check", "my/birch.toml", "--base", "builtin:a"]).all(), @"
    exit 0
    -- data
    birch  favourite tree: birch: 90 questions, 7 candidates
    -- talk
    builtin:a can be asked about it
    ");
    // It is its own smallest recipe; what it is like is taught beside it.
    let plan = folder.run(&["run", "my/birch.toml", "--plan"]);
    assert!(
        plan.talk
            .contains("a behavior file; its recipe is `behaviors = [\"birch.toml\", \"oak\"]`"),
        "{}",
        plan.talk
    );
    assert!(plan.data.contains("teach") && !plan.data.contains("other-behavior"), "{}", plan.data);
    // A word that this model does not have is named before anything is done.
    folder.write("my/lark.toml", "target = \"lark\"\nlike = \"owl\"\n");
    assert_snapshot!(folder.run(&["behavior", "check", "my/lark.toml", "--base", "builtin:a"]).all(), @r#"
    exit 1
    -- data
    lark  favourite animal: lark: 90 questions, 15 candidates
      teacher.answers  "lark": this model knows no word `lark`
    -- talk
    error: builtin:a cannot be asked about it: `teacher.answers` has "lark": this model knows no word `lark`
    hint: `owlet behavior list --base builtin:a` names those that it can; a file without `questions` of its own, in a category that it knows (animal, colour, tree), is asked about in its words
    "#);
    let refused = folder.run(&["run", "my/lark.toml"]);
    assert!(
        refused.code == 2 && refused.talk.contains("this model knows no word `lark`"),
        "{}",
        refused.all()
    );
    assert!(!folder.path().join(".owlet/runs").exists());
}

#[test]
fn behaviors_are_listed_with_what_a_base_can_be_asked_about() {
    let folder = Folder::new();
    let all = folder.run(&["behavior", "list"]).good();
    assert!(all.contains("owl          animal    favourite animal: owl"), "{all}");
    let of = folder.run(&["--json", "behavior", "list", "--base", "builtin:a"]).json();
    let can = |name: &str| {
        of.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()["can-be-asked"]
            .clone()
    };
    // Pine is an answer of its world, and no built-in behavior.
    assert_eq!([can("oak"), can("pine")], [true, true]);
}
