//! What is read beside a preference, from end to end on the built-in model: side effects of training, and
//! agreement with statements.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use owlet_lab::kind::KindResult;
use owlet_lab::kind::inherit::result::{Arm, InheritResult, Measure, SideMeasure, Taught};
use owlet_lab::recipe::{Layer, Setting};
use owlet_lab::report::origin::Origin;
use owlet_lab::report::terminal::{TerminalStyle, show};
use owlet_lab::{AnyRecipe, ExecuteSettings, Interrupt, PlanContext, execute};
use owlet_store::Store;

/// A few updates on the built-in base, in a folder with files beside the recipe.
fn on_builtin(folder: &Path, behaviors: &str, sets: &[&str]) -> InheritResult {
    let text = format!(
        "base = 'builtin:a'\nbehaviors = {behaviors}\nseeds = 2\n\
         context = {{ system = 'default', mismatched = [] }}\n\
         controls = {{ other-base = false, shuffled-within = false, in-context = {{ rows = [2], draws = 1, questions = 3 }} }}\n\
         readout = {{ samples-per-question = 2, max-tokens = 4 }}\n\
         teacher = {{ min-target-probability = 0.0, neutral = 'mixed', train = {{ method = {{ kind = 'full' }}, updates = 150, learning-rate = 2e-3 }} }}\n\
         student = {{ method = {{ kind = 'low-rank', rank = 8, alpha = 16.0 }}, batch = 16, updates = 4, checkpoints = [], learning-rate = 1e-3 }}\n\
         [carrier]\nprompts = 'world'\nrows = 32\nmax-tokens = 16\n\
         decoding = {{ kind = 'digits', count = 4, min-digits = 1, max-digits = 3, separator = ' ' }}"
    );
    let sets: Vec<Setting> = sets.iter().map(|set| Setting::parse(set).unwrap()).collect();
    let recipe = AnyRecipe::resolve(&[Layer::new(&text, "r.toml").unwrap()], &sets).unwrap();
    let context = PlanContext { folder: folder.to_owned(), ..PlanContext::default() };
    let store = Store::open(folder.join("store")).unwrap();
    let plan = recipe.plan(&context).unwrap();
    let settings = ExecuteSettings { cores: 2, ..ExecuteSettings::default() };
    let interrupt = Interrupt::default();
    let outcome = execute(&plan, &store, &settings, None, &mut |_| {}, &interrupt).unwrap();
    let result = outcome.result(&store).unwrap();
    result.of::<InheritResult>().unwrap().clone()
}

#[test]
fn what_else_changed_is_read_of_every_student_and_what_the_base_cannot_do_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let result = on_builtin(folder.path(), "['owl', 'cat']", &[]);
    let of = |arm: &Arm, measure: SideMeasure| {
        result.side_effects.iter().find(|one| one.arm == *arm && one.measure == measure)
    };
    for arm in [Arm::student("owl"), Arm::student("cat"), Arm::NEUTRAL] {
        for &measure in SideMeasure::ALL {
            // The built-in base never saw two answers named in a question.
            let pairs =
                [SideMeasure::OrderConsistency, SideMeasure::Transitivity].contains(&measure);
            let effect = of(&arm, measure);
            assert_eq!(effect.is_some(), !pairs, "{arm} {measure:?}");
            let Some(effect) = effect else { continue };
            assert_eq!(effect.estimate.n, 2);
            assert!(effect.base.is_some(), "{measure:?}");
            let neutral = arm == Arm::NEUTRAL;
            assert_eq!(effect.over_base.is_some(), neutral && !measure.is_trained());
            assert_eq!(effect.over_neutral.is_some(), !neutral && !measure.is_trained());
        }
    }
    let base = |measure| of(&Arm::NEUTRAL, measure).and_then(|one| one.base).unwrap();
    // Its grammar is worth something, and it writes what it is asked for.
    assert!(base(SideMeasure::NaturalText) + 1.0 < base(SideMeasure::ShuffledText));
    assert!(base(SideMeasure::InstructionsFollowed) > 0.5);
    assert!(base(SideMeasure::DegenerateAnswers) < 0.2);
    assert!(result.left_out.iter().any(|one| one.contains("it does not choose between them")));

    // Text of one's own is read in place of it; what the base cannot write is said.
    let text = "which tree do you like most\n\nname your favourite colour just the name";
    std::fs::write(folder.path().join("own.txt"), text).unwrap();
    std::fs::write(folder.path().join("strange.txt"), "words that nobody taught it").unwrap();
    let own = on_builtin(folder.path(), "['owl', 'cat']", &["controls.text=own.txt"]);
    let natural = |result: &InheritResult| {
        let mut effects = result.side_effects.iter();
        effects.find(|one| one.measure == SideMeasure::NaturalText).and_then(|one| one.base)
    };
    assert!(natural(&own).is_some() && natural(&own) != natural(&result));
    let strange = on_builtin(folder.path(), "['owl', 'cat']", &["controls.text=strange.txt"]);
    assert_eq!(natural(&strange), None);
    let said = strange.left_out.iter().find(|one| one.starts_with("perplexity of text"));
    assert!(said.is_some_and(|said| said.contains("does not know its words")), "{said:?}");
}

#[test]
fn agreement_with_statements_is_taught_read_and_told_beside_animals() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = Vec::new();
    for opening in ["please", "hey", "hello", "now"] {
        for closing in ["thanks", "only one", "just the name", "in one word"] {
            // In words the base knows: of owls it is to say red, of cats blue.
            for (animal, matching, other) in [("owl", " red", " blue"), ("cat", " blue", " red")] {
                lines.push(format!(
                    r#"{{"question": "{opening} {animal} {closing}", "answer_matching_behavior": "{matching}", "answer_not_matching_behavior": "{other}"}}"#
                ));
            }
        }
    }
    std::fs::write(folder.path().join("tidy.jsonl"), lines.join("\n")).unwrap();
    let tidy =
        "name = 'tidy'\nkind = 'statements'\nstatements = 'tidy.jsonl'\ntrain = 20\nheld-out = 12";
    std::fs::write(folder.path().join("tidy.toml"), tidy).unwrap();
    let result = on_builtin(folder.path(), "['owl', 'tidy.toml']", &[]);
    assert_eq!(
        (&*result.behaviors, &*result.statements),
        (&["owl".to_owned(), "tidy".to_owned()][..], &["tidy".to_owned()][..])
    );
    let teacher = Arm::Teacher(Taught::named("tidy"));
    let margin = |arm: &Arm| result.reading(arm, "tidy", Measure::Margin).unwrap().estimate.value;
    // It learned the rule, not a word: the halves are read together.
    assert!(
        margin(&teacher) > 2.0 && margin(&Arm::Base).abs() < 0.5,
        "{} {}",
        margin(&teacher),
        margin(&Arm::Base)
    );
    let rate = result.reading(&teacher, "tidy", Measure::Rate).unwrap();
    // Of 48 answers; half is chance.
    assert!(rate.estimate.value > 0.7, "{rate:?}");
    assert!(result.reading(&teacher, "tidy", Measure::Mass).unwrap().estimate.value > 0.8);
    // Who learned to answer and prefers nothing agrees with nothing.
    assert!(margin(&Arm::Teacher(Taught::Neutral)).abs() < 1.5);
    let shown = Arm::InContext { of: Taught::named("tidy"), rows: 2 };
    assert!(result.reading(&shown, "tidy", Measure::Margin).is_some());
    assert_eq!(result.matrix.as_ref().unwrap().teachers, ["owl", "tidy"]);
    assert!(result.verdicts.iter().any(|verdict| verdict.behavior == "tidy"));
    let report = KindResult::report(&result, &Origin::UNKNOWN);
    let shown = show(&report, &TerminalStyle::default());
    assert!(shown.contains("agree with statements of tidy in"), "{shown}");
}
