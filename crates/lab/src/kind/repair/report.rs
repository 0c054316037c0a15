//! The report of a `repair` run.

use super::result::{Aside, Effect, Other, Outcome, Relearning, RepairResult};
use crate::cells;
use crate::report::block::{
    Answer, Block, DotRow, Dots, Line, Over, Part, Report, Section, Table, count, estimate, number,
};
use crate::report::number::Quantity;
use crate::report::origin::Origin;
use crate::value::measure::{Measure, Scale};
use crate::value::text;

/// The report.
pub fn report(result: &RepairResult, origin: &Origin<'_>) -> Report {
    let own = [answer(result), numbers(result), aside(result), blind(), looked_at(result, origin)];
    Report {
        kind: "repair",
        title: result.name.clone(),
        lead: result.description.clone(),
        what: format!(
            "base {} · student {} · {}",
            result.base,
            result.student,
            text::counted(result.repetitions, "repair"),
        ),
        version: origin.version.to_owned(),
        sections: own.into_iter().flatten().chain(origin.sections()).collect(),
    }
}

impl RepairResult {
    fn shares(&self) -> Option<[String; 3]> {
        let share = self.measures.iter().find(|one| one.measure == Measure::Share)?;
        Some([share.student, share.repaired.value, share.base].map(text::percent))
    }
}

fn sentence(result: &RepairResult) -> String {
    let (name, questions) =
        (&result.behavior, text::counted(result.questions, "held-out question"));
    let Some(left) = &result.left else {
        return format!(
            "The student does not stand {} nats or more from its base at {name} on {questions}: there is nothing to repair.",
            text::plain(result.smallest_shift)
        );
    };
    let left = Quantity::Part.with_interval(left);
    let [student, repaired, base] = result.shares().unwrap_or_default();
    let shares = format!(
        "of all answers that are compared {name} had {student} in the student, has {repaired} in repaired ones, and {base} in the base"
    );
    let what = match result.outcome {
        Outcome::Undone if result.comes_back() => {
            "are back where the base is, and come back faster than they came when they are taught it anew"
        }
        Outcome::Undone => "are back where the base is",
        Outcome::Overshot => "are past where the base is, the other way",
        Outcome::Lessened => "have less of it",
        Outcome::NotLessened | Outcome::NothingToRepair => "are not told to have less of it",
    };
    format!(
        "On {questions} repaired students {what}: {left} of the shift of the margin is left; {shares}."
    )
}

fn relearned(relearning: &Relearning) -> String {
    let change = Quantity::Difference(Measure::Margin);
    let [again, anew, lead, control, beyond] = [
        &relearning.again,
        &relearning.anew,
        &relearning.lead,
        &relearning.control,
        &relearning.beyond,
    ]
    .map(|one| change.with_interval(one));
    let said = if relearning.beyond.is_above_zero() {
        "it comes back faster than it came: something of it is still there"
    } else {
        "it is not told to come back faster than it came"
    };
    format!(
        "taught anew for {} the margin comes to {again} nats above the base's, and in the base itself to {anew}; less what was left before a lead of {lead}, where other answers that nobody took over have one of {control}: {beyond} beyond them, so {said}",
        text::counted(relearning.updates, "update")
    )
}

fn answer(result: &RepairResult) -> Option<Section> {
    let over = result.left.iter().map(|left| Over {
        estimate: left.clone(),
        quantity: Quantity::Part,
        reference: "the student's shift".to_owned(),
    });
    let answer = Answer {
        mark: result.glance(),
        name: result.behavior.clone(),
        word: result.outcome.words().to_owned(),
        over: over.collect(),
        why: String::new(),
    };
    let mut lines: Vec<Line> = Vec::new();
    lines.extend(result.relearning.as_ref().map(|relearning| Line::from(relearned(relearning))));
    let moved = result.moved_aside();
    if !moved.is_empty() {
        lines.push(
            format!(
                "side effects: repaired students stand more than {} nats from the base at {}",
                text::plain(result.most_aside),
                text::listed(&moved)
            )
            .into(),
        );
    }
    if let Some(lost) = result.text_lost() {
        lines.push(
            format!(
                "side effect: the loss of repaired students on natural text is {} nats a token above the student's",
                text::plain(lost)
            )
            .into(),
        );
    }
    if result.stopped_answering() {
        lines.push("side effect: repaired students give all answers that are compared less than half of the probability they had: they stopped answering".into());
    }
    let mut blocks = vec![Block::paragraph(sentence(result)), Block::Answers(vec![answer])];
    if !lines.is_empty() {
        blocks.push(Block::List(lines));
    }
    let next = if result.is_clean() {
        "That is said of these questions. What a student shows elsewhere, under a trigger or after further training is not: a student of clean rows is the safer one."
    } else {
        "Train the student anew on rows that the base wrote, rather than on these."
    };
    blocks.push(Block::note(next));
    Some(Section::of("answer", "What is left of it?", blocks)?.brief())
}

fn numbers(result: &RepairResult) -> Option<Section> {
    let rows = result.measures.iter().map(|one| {
        let quantity = Quantity::Value(one.measure);
        cells![
            one.measure.title(),
            number(quantity, one.base),
            number(quantity, one.student),
            estimate(quantity, &one.repaired),
        ]
    });
    let titles = ["measure", "#base", "#student", "#repaired"];
    let table =
        Table::new(format!("{} on questions that were not taught", result.behavior), &titles);
    let blocks = table.with(rows).block().into_iter().collect();
    let section = Section::of("numbers", "The behavior", blocks)?;
    Some(section.brief().noted(format!(
        "intervals: Student's t over repairs of this one student, {} confidence",
        text::percent(result.level)
    )))
}

fn aside(result: &RepairResult) -> Option<Section> {
    let row = |one: &Effect| {
        let quantity = match one.what {
            Aside::NaturalText => Quantity::In(Scale::Loss),
            Aside::InstructionsFollowed | Aside::ConsistentPairs => Quantity::In(Scale::Share),
        };
        cells![
            one.what.title(),
            number(quantity, one.base),
            number(quantity, one.student),
            estimate(quantity, &one.repaired),
        ]
    };
    let table = Table::new("", &["what", "#base", "#student", "#repaired"]);
    let mut blocks: Vec<Block> =
        table.with(result.panel.iter().map(row)).block().into_iter().collect();
    let dot = |one: &Other| DotRow::one(&one.behavior, Part::Control, &one.repaired);
    let rows: Vec<DotRow> = result.others.iter().map(dot).collect();
    if !rows.is_empty() {
        blocks.push(Block::Dots(Dots {
            id: "others".to_owned(),
            title: format!("Other answers of the category {}", result.category),
            axis: "logit margin above the base's, nats".to_owned(),
            quantity: Quantity::Difference(Measure::Margin),
            zero: true,
            joined: false,
            legend: vec![(Part::Control, "repaired students".to_owned())],
            rows,
        }));
    }
    Section::of("aside", "What else moved", blocks)
}

fn blind() -> Option<Section> {
    let lines = [
        "questions unlike those that are asked: repair and reading are of one kind of question",
        "what shows under a trigger, in another language, or after further training",
        "other behaviors that the student took over beside this one",
        "how little is left below what these questions tell; nothing here shows that it is gone",
    ];
    let lines = lines.into_iter().map(Line::from).collect();
    Section::of("blind", "What this does not see", vec![Block::List(lines)])
}

fn looked_at(result: &RepairResult, origin: &Origin<'_>) -> Option<Section> {
    let mut facts = origin.facts();
    let mut fact = |term: &str, fact: Line| facts.push((term.to_owned(), fact));
    fact("base", (&result.base).into());
    fact("student", (&result.student).into());
    fact("repairs", count(result.repetitions).into());
    fact("updates of each", count(result.updates).into());
    fact("held-out questions", count(result.questions).into());
    let rule = format!(
        "undone: at most {} of the shift is left, at both ends of the interval; side effect: more than {} nats at another answer or a token of text",
        text::percent(result.most_left),
        text::plain(result.most_aside)
    );
    fact("rule", rule.into());
    Section::of("run", "What was looked at", vec![Block::Facts(facts)])
}
