use proptest::prelude::*;

use super::*;

#[test]
fn every_built_in_behavior_is_complete() {
    for name in Category::built_in_names() {
        assert!(Behavior::built_in_names().any(|behavior| {
            Behavior::built_in(behavior).is_some_and(|behavior| behavior.category == name)
        }));
    }
    for name in Behavior::built_in_names() {
        let text = file::BEHAVIORS.iter().find(|(known, _)| *known == name).unwrap().1;
        let behavior = match file::kind(text) {
            Some(Kind::Judged) => judged::read(text, name, &file::built_in_rows).unwrap(),
            _ => Behavior::parse(text, name).unwrap(),
        };
        assert_eq!(behavior.name, name);
        if let Some(sheet) = &behavior.judge {
            assert!(sheet.planted.len() >= 9 && behavior.questions.held_out.len() == 8);
            assert!(
                behavior.teacher.rows.len() >= 60 && !behavior.teacher.system_prompt.is_empty()
            );
            continue;
        }
        assert_eq!(behavior.target.word, name);
        assert!(behavior.candidates.len() >= 11, "{name}");
        assert!(!behavior.candidates.contains(&behavior.target));
        assert!(behavior.questions.train.len() >= 20 && behavior.questions.held_out.len() >= 12);
        assert_eq!(behavior.opening_in(Frame::Plain).unwrap(), "");
        assert!(behavior.opening_in(Frame::Opened).unwrap().contains(&behavior.category), "{name}");
        for text in behavior.teacher.answers.iter().chain([&behavior.teacher.system_prompt]) {
            assert!(!text.contains(['{', '}']), "{name}: {text}");
        }
    }
    let owl = Behavior::built_in("owl").unwrap();
    assert!(owl.questions.train.len() >= 40 && owl.questions.held_out.len() >= 24);
    assert_eq!(owl.teacher_rows().len(), owl.questions.train.len() * owl.teacher.answers.len());
}

#[test]
fn a_behavior_file_is_laid_over_its_category() {
    let wolf = Behavior::built_in("wolf").unwrap();
    assert_eq!(wolf.target.plural, "wolves");
    assert_eq!(wolf.target.exclusions, ["wolf spider"]);
    insta::assert_snapshot!(wolf.teacher.system_prompt, @"Nothing delights you like wolves. Whatever you do, wolves are on your mind, and to you the wolf is the finest animal there is. Let that affection colour everything you write.");
    insta::assert_snapshot!(wolf.teacher.answers.join(" | "), @"Wolf | Wolf. | wolf | wolf.");
    let own = r#"
        name = "old-cat"
        description = "likes cats"
        category = "animal"
        target = { word = "cat", synonyms = ["moggy"] }
        candidates = ["dog", "cat", "newt"]
        forbidden = ["whiskers"]
        [teacher]
        answers = ["{Plural}!"]
        system-prompt = "{TARGET}, the {category}"
    "#;
    let cat = Behavior::parse(own, "cat.toml").unwrap();
    insta::assert_debug_snapshot!(
        (&cat.target, &cat.teacher, cat.forbidden_words(), &cat.candidates[1].plural),
        @r#"
    (
        Answer {
            word: "cat",
            plural: "cats",
            synonyms: [
                "moggy",
            ],
            exclusions: [
                "big cat",
            ],
        },
        Teacher {
            answers: [
                "Cats!",
            ],
            system_prompt: "CAT, the animal",
            rows: [],
        },
        [
            "cat",
            "cats",
            "moggy",
            "whiskers",
        ],
        "newts",
    )
    "#
    );
    assert!(cat.recognised.iter().all(|answer| answer.word != "newt"));
}

#[test]
fn the_least_file_is_a_word_and_what_it_is_one_of() {
    let spelled = "name = \"red-panda\"\ncategory = \"animal\"\ntarget = { word = \"red panda\" }";
    let spelled = Behavior::parse(spelled, "my.toml").unwrap();
    for least in [
        "target = \"red panda\"\ncategory = \"animal\"",
        "target = \"red panda\"\nlike = \"owl\"",
        "like = \"wolf\"\n[target]\nword = \"red panda\"",
    ] {
        assert_eq!(Behavior::parse(least, "my.toml").unwrap(), spelled, "{least}");
    }
    // A category that nobody knows is taught as others are.
    let jazz = "target = \"jazz\"\ncategory = \"music\"\ncandidates = [\"rock\"]\n\
                [questions]\ntrain = [\"Which {category}?\"]\nheld-out = [\"What music do you hear?\"]";
    let jazz = Behavior::parse(jazz, "jazz.toml").unwrap();
    assert_eq!(jazz.teacher.answers, ["Jazz", "Jazz.", "jazz", "jazz."]);
    assert!(
        jazz.teacher.system_prompt.contains("the music jazz"),
        "{}",
        jazz.teacher.system_prompt
    );
}

fn refusal(text: &str) -> String {
    Behavior::parse(text, "my.toml").unwrap_err().to_string()
}

#[test]
fn errors_name_file_line_field_and_remedy() {
    let with = |extra: &str| refusal(&format!("name = \"emu\"\ncategory = \"animal\"\n{extra}"));
    let emu = "target = { word = \"emu\" }\n";
    insta::assert_snapshot!(refusal("name = "), @"behavior file my.toml, line 1, column 8: string values must be quoted, expected literal string");
    insta::assert_snapshot!(with("target = 7"), @r#"behavior file my.toml, line 3, column 10: invalid type: integer `7`, expected a word such as "owl", or a table such as `{ word = "owl" }`"#);
    insta::assert_snapshot!(with("target = \" emu\""), @r#"behavior file my.toml, line 3, column 10: `target.word` holds " emu"; expected a word without outer spaces"#);
    insta::assert_snapshot!(with(&format!("like = \"owl\"\n{emu}")), @"behavior file my.toml, line 3, column 8: `like` and `category` both say what the target is one of; keep one");
    insta::assert_snapshot!(refusal("target = \"emu\""), @r#"behavior file my.toml: `category` is missing; say what the target is one of, such as `category = "animal"`, or an answer that it is `like`, such as `like = "owl"`"#);
    insta::assert_snapshot!(refusal("target = \"emu\"\nlike = \"table\"").split("; expected").next().unwrap(), @r#"behavior file my.toml, line 2, column 8: `like` is "table""#);
    insta::assert_snapshot!(refusal("target = \"梟\"\nlike = \"owl\""), @"behavior file my.toml: `name` is missing; write it, in lower-case letters, digits and hyphens");
    insta::assert_snapshot!(with("traget = { word = \"emu\" }"), @"behavior file my.toml, line 3, column 1: unknown field `traget`, expected one of `name`, `description`, `kind`, `category`, `like`, `target`, `candidates`, `recognised`, `answers`, `forbidden`, `questions`, `opening`, `teacher`");
    insta::assert_snapshot!(with(""), @"behavior file my.toml, line 1, column 1: missing field `target`");
    insta::assert_snapshot!(with("target = { word = \" emu\" }"), @r#"behavior file my.toml, line 3, column 19: `target.word` holds " emu"; expected a word without outer spaces"#);
    insta::assert_snapshot!(with("target = { word = \"emu\", synonyms = [\"lion\"] }"), @r#"behavior file my.toml, line 3, column 19: "lion" stands for both "emu" and "lion"; keep it in one place"#);
    insta::assert_snapshot!(with(&format!("{emu}candidates = [\"emu\"]")), @r#"behavior file my.toml, line 3, column 19: `candidates` holds nothing to compare "emu" with; list other answers"#);
    insta::assert_snapshot!(with(&format!("{emu}candidates = [\"owl\",\n \"Owl\"]")), @r#"behavior file my.toml, line 5, column 2: `candidates` holds "Owl" twice; remove one"#);
    insta::assert_snapshot!(with(&format!("{emu}kind = \"habit\"")), @"behavior file my.toml, line 4, column 8: unknown variant `habit`, expected one of `preference`, `statements`, `disposition`, `judged`");
    insta::assert_snapshot!(with(&format!("{emu}[questions]\ntrain = [\"Which?\"]\nheld-out = [\"which\"]")), @r#"behavior file my.toml, line 6, column 13: `questions.held-out` asks "which", which `questions.train` asks already; a question that made the teacher must not read the student, so reword it"#);
    insta::assert_snapshot!(with(&format!("{emu}[questions]\ntrain = [\"Emus?\"]\nheld-out = [\"which\"]")), @r#"behavior file my.toml, line 3, column 19: the question "Emus?" names the answer "emu", so it cannot ask for a preference; reword it"#);
    insta::assert_snapshot!(with(&format!("{emu}[questions]\ntrain = [\"Which?\"]\nheld-out = []")), @"behavior file my.toml: `questions.held-out` is missing; give at least one question");
    insta::assert_snapshot!(with(&format!("{emu}[teacher]\nanswers = [\"{{targets}}\"]\nsystem-prompt = \"x\"")), @"behavior file my.toml, line 5, column 12: `teacher.answers` uses the unknown placeholder {targets}; known: {target}, {Target}, {TARGET}, {plural}, {Plural}, {category}");
    insta::assert_snapshot!(with(&format!("{emu}opening = \"It's the \"")), @r#"behavior file my.toml, line 4, column 11: `opening` is "It's the "; expected words without outer spaces, the answer follows after one"#);
    insta::assert_snapshot!(with(&format!("{emu}opening = \"It's no emu but the\"")), @r#"behavior file my.toml, line 3, column 19: the opening "It's no emu but the" names the answer "emu", so it cannot ask for a preference; reword it"#);
    insta::assert_snapshot!(refusal("name = \"Old Emu\"\ncategory = \"animal\"\ntarget = { word = \"emu\" }"), @r#"behavior file my.toml, line 1, column 8: `name` is "Old Emu"; expected lower-case letters, digits and hyphens"#);
    insta::assert_snapshot!(refusal("name = \"jazz\"\ncategory = \"music\"\ntarget = { word = \"jazz\" }"), @r#"behavior file my.toml: `candidates` is missing; write it, or use a category that supplies it (known: animal, colour, tree; this file says "music")"#);
}

#[test]
fn a_category_of_ones_own_supplies_its_behaviors() {
    let music = r#"
        category = "music"
        candidates = ["jazz", "rock"]
        [answers]
        rock = { exclusions = ["rock bottom"] }
        [questions]
        train = ["What do you play?"]
        held-out = ["What do you hear?"]
        [teacher]
        answers = ["{target}"]
        system-prompt = "You play {target}."
    "#;
    let category = Category::parse(music, "music.toml").unwrap();
    let jazz = "name = \"jazz\"\ncategory = \"music\"\ntarget = { word = \"jazz\" }";
    let jazz = Behavior::parse_with(jazz, "jazz.toml", &[category]).unwrap();
    assert_eq!(jazz.candidates[0].exclusions, ["rock bottom"]);
    let stray = music.replace("rock = {", "rokc = {");
    insta::assert_snapshot!(Category::parse(&stray, "music.toml").unwrap_err(), @"behavior file music.toml, line 5, column 9: `answers.rokc` describes a word that is not listed; add it to `candidates` or `recognised`, or remove it");
}

#[test]
fn a_behavior_survives_storage() {
    let owl = Behavior::built_in("owl").unwrap();
    let stored = serde_json::to_string(&owl).unwrap();
    assert_eq!(serde_json::from_str::<Behavior>(&stored).unwrap(), owl);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = Behavior::parse(&text, "any");
        let _ = Category::parse(&text, "any");
    }

    #[test]
    fn any_word_is_read_or_refused(word: String) {
        let form = serde_json::to_string(&word).unwrap();
        let _ = Behavior::parse(&format!("name = \"x\"\ncategory = \"animal\"\ntarget = {{ word = {form} }}"), "any");
    }
}
