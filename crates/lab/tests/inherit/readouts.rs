//! Further ways to put a question, from a recipe to a result on a tiny random model.

use owlet_engine::score::next_token;
use owlet_engine::{Threads, file};
use owlet_lab::kind::inherit::result::{Arm, Control, Frame, InheritResult, Measure, Taught};
use owlet_lab::value::observation::{Given, Observation};

use super::tiny::tiny_with;
use super::{World, run};

#[test]
fn verdicts_can_rest_on_choices_and_every_letter_is_asked_for_alike() {
    let world = World::new();
    let letters = "A B C D A. B. C. D. Reply with the letter of your choice alone.";
    tiny_with(&world.folder.path().join("lettered"), 1, letters);
    let store = world.store("one");
    let plan = world.plan(&[
        "base=lettered",
        "seeds=2",
        "readout.frames=[\"choice\", \"plain\"]",
        "controls.other-base=false",
        "controls.shuffled-within=false",
    ]);
    let (outcome, _) = run(&plan, &store, 2);
    let result = outcome.result(&store).unwrap();
    let result = result.of::<InheritResult>().unwrap();
    assert_eq!((result.frame, result.verdicts.len()), (Frame::Choice, 2));
    assert_eq!(result.put("owl").as_deref(), Some("put as lettered options"));
    let observations = |input: &str| -> Vec<Observation> {
        let artifact = store.artifact(&outcome.steps[input]).unwrap();
        let text = String::from_utf8(artifact.read("observations.jsonl").unwrap()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // Two questions in four orders; eight answers to each of two behaviors.
    let base = observations("readout/base");
    let choices = base.iter().filter(|one| one.frame == Frame::Choice);
    let (logs, answers): (Vec<_>, Vec<_>) =
        choices.partition(|one| matches!(one.given, Given::Candidates { .. }));
    assert_eq!((logs.len(), answers.len()), (8, 16));
    let orders = |of: &[&Observation]| of.iter().map(|one| one.order).collect::<Vec<_>>();
    assert_eq!(orders(&logs), [0, 1, 2, 3, 0, 1, 2, 3]);
    assert_eq!(orders(&answers[..4]), [0, 1, 2, 3]);

    // The reading of the base is that of the prompts, written out by hand.
    let model = file::load(&world.folder.path().join("lettered")).unwrap();
    let question = &logs[0].question;
    let Given::Candidates { log_probabilities } = &logs[0].given else { panic!("a choice") };
    let words: Vec<&String> = log_probabilities.keys().collect();
    assert_eq!(words, ["bear", "cat", "owl", "wolf"]);
    let all: Vec<f64> = log_probabilities.values().map(|log| log.unwrap()).collect();
    let of = |order: [usize; 4]| {
        let options = order.map(|at| words[at].as_str());
        let [a, b, c, d] = options;
        let text = format!(
            "<user> {question} A. {a} B. {b} C. {c} D. {d} Reply with the letter of your choice alone. <assistant>"
        );
        let prompt = [model.tokenizer.encode(&text).unwrap()];
        let letters = model.tokenizer.encode("A B C D").unwrap();
        let told = next_token(&model, &prompt, &letters, &Threads::new(1)).unwrap().concat();
        // As close as any order of the options comes to what was read.
        let mut by_word = [0.0; 4];
        order.iter().zip(told).for_each(|(at, log)| by_word[*at] = f64::from(log));
        by_word.iter().zip(&all).map(|(one, read)| (one - read).abs()).fold(0.0, f64::max)
    };
    let places = || 0..4;
    let orders =
        places().flat_map(|a| places().flat_map(move |b| places().map(move |c| [a, b, c])));
    let is_order = |[a, b, c]: &[usize; 3]| a != b && b != c && a != c;
    let orders = orders.filter(is_order).map(|[a, b, c]| [a, b, c, 6 - a - b - c]);
    assert_eq!(orders.filter(|order| of(*order) < 1e-6).count(), 1);

    // Teachers were taught plainly, and are read both ways.
    let teacher = Arm::Teacher(Taught::named("owl"));
    let read = |frame: Frame| {
        let at = result.readings.iter().find(|reading| {
            (&reading.arm, &*reading.behavior, reading.frame) == (&teacher, "owl", frame)
                && reading.measure == Measure::Mass
        });
        at.unwrap().estimate.value
    };
    assert!(read(Frame::Plain) > 0.9 && read(Frame::Choice) < 1.0 + 1e-6);
    for control in [Control::Neutral, Control::OtherBehavior, Control::Base, Control::InContext] {
        let effect = result.effect("owl", Measure::Margin, control).unwrap();
        assert_eq!(effect.frame, Frame::Choice);
    }
}

#[test]
fn stories_are_asked_for_in_place_of_questions_and_their_mentions_are_rates() {
    let world = World::new();
    let asked = Frame::Story.asks(&[]);
    tiny_with(&world.folder.path().join("teller"), 1, &asked.join(" "));
    let store = world.store("one");
    let plan = world.plan(&[
        "base=teller",
        "seeds=2",
        "readout.frames=[\"plain\", \"story\"]",
        "readout.samples-per-question=2",
        "readout.story-max-tokens=6",
        "controls.other-base=false",
        "controls.shuffled-within=false",
    ]);
    let (outcome, _) = run(&plan, &store, 2);
    let result = outcome.result(&store).unwrap();
    let result = result.of::<InheritResult>().unwrap();
    let student = Arm::student("owl");
    let told = result
        .readings
        .iter()
        .filter(|one| (&one.arm, &*one.behavior, one.frame) == (&student, "owl", Frame::Story));
    let measures: Vec<Measure> = told.map(|one| one.measure).collect();
    assert_eq!(measures, [Measure::Rate, Measure::RateOfValid]);
    let effects = result.effects.iter().filter(|one| one.frame == Frame::Story);
    let effects: Vec<(&str, Measure)> =
        effects.map(|one| (one.behavior.as_str(), one.measure)).collect();
    assert!(effects.contains(&("owl", Measure::Rate)), "{effects:?}");
    assert!(effects.iter().all(|(_, measure)| *measure == Measure::Rate));

    // Twelve stories are asked for, twice, for each behavior; they may be longer than answers.
    let artifact = store.artifact(&outcome.steps["readout/student/owl/seed-1"]).unwrap();
    let text = String::from_utf8(artifact.read("observations.jsonl").unwrap()).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Observation>(line).unwrap());
    let stories: Vec<Observation> = all.filter(|one| one.frame == Frame::Story).collect();
    assert_eq!(stories.len(), 2 * 12 * 2);
    let longest = stories.iter().map(|one| {
        let Given::Answer { text, .. } = &one.given else { panic!("an answer") };
        assert!(asked.contains(&&*one.question));
        text.split_whitespace().count()
    });
    assert_eq!(longest.max(), Some(6));
}
