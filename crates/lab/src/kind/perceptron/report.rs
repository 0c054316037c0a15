//! The report of a `perceptron` run: what was inherited, over which controls, and what the theorem says of it.

use super::arms::{AUXILIARY, NULL, SHUFFLED, foreign};
use super::result::{
    ArmResult, CoursePoint, CourseResult, Distance, EffectResult, Outcome, PerceptronResult,
    TheoremResult,
};
use crate::cells;
use crate::report::block::{
    Answer, Block, Curve, Depth, Dot, DotRow, Dots, Line, Mark, Over, Part, Point, Report, Section,
    Series, Table, code, count, estimate, number,
};
use crate::report::number::Quantity;
use crate::report::origin::Origin;
use crate::value::estimate::Estimate;
use crate::value::measure::Measure;
use crate::value::text;

/// Accuracies, and differences of them.
const ACCURACY: Quantity = Quantity::Part;
const DIFFERENCE: Quantity = Quantity::Difference(Measure::Rate);

/// The report.
pub fn report(result: &PerceptronResult, origin: &Origin<'_>) -> Report {
    let own = [
        answer(result),
        accuracies(result),
        nulls(result),
        along("heads", "More auxiliary logits", "auxiliary logits", result, |arm| {
            (arm.hop == 1 && is_head(arm)).then_some(arm.auxiliary)
        }),
        along("hops", "Students of students", "hops from the teacher", result, |arm| {
            let is_hop = arm.name.starts_with("hop-") || arm.name.starts_with(AUXILIARY);
            (is_hop && is_pair(arm)).then_some(arm.hop)
        }),
        courses(result),
        theorem(result),
        images(result),
    ];
    let widths: Vec<String> = result.widths.iter().map(usize::to_string).collect();
    Report {
        kind: "perceptron",
        title: result.name.clone(),
        lead: result.description.clone(),
        what: format!(
            "{} · network {} · {}",
            result.images.name,
            widths.join("-"),
            text::counted(result.replications, "replication"),
        ),
        version: origin.version.to_owned(),
        sections: own.into_iter().flatten().chain(origin.sections()).collect(),
    }
}

/// Whether an arm or its control is one of the plain pair or of other numbers of logits.
fn is_head(arm: &ArmResult) -> bool {
    is_pair(arm) && (arm.name.starts_with(AUXILIARY) || arm.name.starts_with("heads-"))
}

fn is_pair(arm: &ArmResult) -> bool {
    arm.name != SHUFFLED && arm.name != NULL
}

/// How an outcome reads at a glance.
pub(super) fn mark(outcome: Outcome) -> Mark {
    match outcome {
        Outcome::Inherited => Mark::Yes,
        Outcome::NotDetected => Mark::No,
        Outcome::NotSpecific | Outcome::Uninterpretable | Outcome::Unknown => Mark::Unclear,
    }
}

fn words_of<'a>(result: &'a PerceptronResult, name: &'a str) -> &'a str {
    result.arm(name).map_or(name, |arm| &arm.words)
}

/// The verdict in a sentence.
fn sentence(result: &PerceptronResult) -> Line {
    let accuracy = |name: &str| result.arm(name).map(|arm| estimate(ACCURACY, &arm.accuracy));
    let (Some(own), Some(other)) = (accuracy(AUXILIARY), accuracy(&foreign(AUXILIARY))) else {
        return result.outcome.words().into();
    };
    let start = match result.outcome {
        Outcome::Inherited => "Inherited: students that never saw an image or a class tell",
        Outcome::NotSpecific => {
            "Not told apart from permuted outputs: students that never saw an image or a class tell"
        }
        Outcome::NotDetected => "Not detected: students that never saw an image or a class tell",
        Outcome::Uninterpretable => {
            "Uninterpretable, for the teacher itself learned nothing: students that never saw an image or a class tell"
        }
        Outcome::Unknown => {
            "Too few replications to tell: in what there is, students that never saw an image or a class tell"
        }
    };
    Line::from(format!("{start} "))
        .and(own)
        .and(format!(
            " of test images right after learning {} auxiliary logits of a teacher on noise; from another initialisation ",
            result.auxiliary
        ))
        .and(other)
        .and(".")
}

fn answer(result: &PerceptronResult) -> Option<Section> {
    let treatments = result.arms.iter().filter(|arm| arm.part == Part::Treatment);
    let answers = treatments.filter_map(|arm| {
        let over = || result.effects.iter().filter(|effect| effect.arm == arm.name);
        let first = over().next()?;
        let (mark, word) = if arm.name == AUXILIARY {
            (mark(result.outcome), result.outcome.words())
        } else {
            match first.holm {
                None => (Mark::Unclear, "cannot be told"),
                Some(p) if p < 0.05 && first.difference.value > 0.0 => {
                    (Mark::Yes, "above its control")
                }
                Some(_) => (Mark::No, "not above its control"),
            }
        };
        let over = over().map(|one| Over {
            estimate: one.difference.clone(),
            quantity: DIFFERENCE,
            reference: words_of(result, &one.control).to_owned(),
        });
        Some(Answer {
            mark,
            name: arm.words.clone(),
            word: word.to_owned(),
            over: over.collect(),
            why: String::new(),
        })
    });
    let mut blocks = vec![Block::paragraph(sentence(result)), Block::Answers(answers.collect())];
    blocks.push(Block::full(vec![Block::note(format!(
        "Marks: paired t over {}, Holm over {} treatments, each against the same study of another initialisation; the verdict's arm must be above students of permuted outputs, too, where those are there.",
        text::counted(result.replications, "replication"),
        result.effects.iter().filter(|effect| effect.holm.is_some()).count(),
    ))]));
    Some(Section::of("answer", "Does what the teacher knows come along?", blocks)?.brief())
}

fn accuracies(result: &PerceptronResult) -> Option<Section> {
    let rows = result.arms.iter().map(|arm| DotRow {
        label: arm.words.clone(),
        number: Some(arm.accuracy.value),
        dots: vec![Dot { part: arm.part, estimate: arm.accuracy.clone() }],
        stretches: true,
    });
    let legend = [
        (Part::Treatment, "the teacher's initialisation, or part of it"),
        (Part::Control, "another initialisation, or other outputs"),
        (Part::Reference, "untouched, and the teacher"),
    ];
    let dots = Dots {
        id: "accuracy".to_owned(),
        title: "Test accuracy".to_owned(),
        axis: "test images told right".to_owned(),
        quantity: ACCURACY,
        zero: true,
        joined: false,
        legend: legend.map(|(part, words)| (part, words.to_owned())).into(),
        rows: rows.collect(),
    };
    let titles =
        ["students of", "#accuracy", "#over its control", "#p (Holm)~", "#cosine~", "published"];
    let rows = result.arms.iter().map(|arm| {
        let effect = result.effects.iter().find(|effect| effect.arm == arm.name);
        let p = effect.and_then(|effect| effect.holm.or(effect.p));
        cells![
            arm.words.clone(),
            estimate(ACCURACY, &arm.accuracy),
            effect.map(|effect| estimate(DIFFERENCE, &effect.difference)),
            p.map(|p| number(Quantity::P, p)),
            arm.cosine.as_ref().map(|cosine| number(Quantity::Cosine, cosine.value)),
            arm.published.clone(),
        ]
    });
    let blocks = vec![
        Block::Dots(dots),
        Block::Table(Table::new("", &titles).with(rows)),
        Block::full(vec![Block::note(
            "Published: Cloud et al. 2025 and 2026 on MNIST, 784-256-256-(10 + 3), 100 models at once; replications on 25 models had 54.9 % and 63.0 % for three logits on noise, 12.4 % and 9.0 % from another initialisation. Other images have other teachers, so shares of the teacher compare better than accuracies. Cosine: between the student's whole way and its teacher's.",
        )]),
    ];
    let section = Section::of("accuracy", "Every arm", blocks)?;
    Some(section.noted("means over replications, 95 % t intervals").brief())
}

/// What the numbers read where nothing is there.
fn nulls(result: &PerceptronResult) -> Option<Section> {
    let is_null = |effect: &&EffectResult| {
        effect.holm.is_none()
            && result.arm(&effect.arm).is_some_and(|arm| arm.part == Part::Control)
    };
    let rows = result.effects.iter().filter(is_null).map(|effect| {
        cells![
            words_of(result, &effect.arm),
            words_of(result, &effect.control),
            estimate(DIFFERENCE, &effect.difference),
            effect.p.map(|p| number(Quantity::P, p)),
        ]
    });
    let table = Table::new("", &["control", "over", "#difference", "#p"]).with(rows).block()?;
    let section = Section::of("null", "What it reads where nothing is there", vec![table])?;
    Some(section.noted("not corrected"))
}

/// Accuracies of treatments and controls along a count.
fn along(
    id: &'static str,
    title: &str,
    across: &str,
    result: &PerceptronResult,
    place: impl Fn(&ArmResult) -> Option<usize>,
) -> Option<Section> {
    let series = [Part::Treatment, Part::Control].map(|part| {
        let mut points: Vec<Point> = result
            .arms
            .iter()
            .filter(|arm| arm.part == part)
            .filter_map(|arm| {
                let Estimate { value, interval, .. } = arm.accuracy;
                Some(Point { at: place(arm)? as f64, value, interval })
            })
            .collect();
        points.sort_by(|one, other| one.at.total_cmp(&other.at));
        Series { label: initialisation(part).to_owned(), part, points }
    });
    if series.iter().any(|one| one.points.len() < 2) {
        return None;
    }
    let curve = Curve {
        id: id.to_owned(),
        title: title.to_owned(),
        across: across.to_owned(),
        axis: "test accuracy".to_owned(),
        quantity: ACCURACY,
        series: series.into(),
    };
    Section::of(id, title, vec![Block::Curve(curve)])
}

fn initialisation(part: Part) -> &'static str {
    match part {
        Part::Treatment => "teacher's init",
        _ => "foreign init",
    }
}

fn courses(result: &PerceptronResult) -> Option<Section> {
    let drawn = |id: &str,
                 title: &str,
                 axis: &str,
                 quantity,
                 of: &dyn Fn(&CoursePoint) -> Option<Estimate>| {
        let series = result.courses.iter().map(|course| {
            let part = if course.arm == AUXILIARY { Part::Treatment } else { Part::Control };
            let points = course.points.iter().filter_map(|point| {
                let Estimate { value, interval, .. } = of(point)?;
                Some(Point { at: point.epoch, value, interval })
            });
            Series { label: initialisation(part).to_owned(), part, points: points.collect() }
        });
        Block::Curve(Curve {
            id: id.to_owned(),
            title: title.to_owned(),
            across: "epochs".to_owned(),
            axis: axis.to_owned(),
            quantity,
            series: series.collect(),
        })
    };
    let cosine = |point: &CoursePoint| point.cosine.clone();
    let mut blocks = vec![
        drawn("course", "Accuracy while students learn", "test accuracy", ACCURACY, &|point| {
            Some(point.accuracy.clone())
        }),
        drawn(
            "cosine",
            "How far student and teacher go the same way",
            "cosine of the ways",
            Quantity::Cosine,
            &cosine,
        ),
    ];
    blocks.extend(layers(&result.courses));
    let section = Section::of("course", "On the way", blocks)?;
    Some(section.noted("the teacher's whole way beside the student's so far; students of auxiliary logits on noise"))
}

/// Cosines by layer after some updates.
fn layers(courses: &[CourseResult]) -> Option<Block> {
    let depth = courses.first()?.points.first()?.layers.len();
    let mut titles = vec!["students".to_owned(), "#updates".to_owned(), "#all numbers".to_owned()];
    titles.extend((1..=depth).map(|layer| format!("#layer {layer}")));
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let rows = courses.iter().flat_map(|course| {
        let words = if course.arm == AUXILIARY { "teacher's init" } else { "foreign init" };
        course.points.iter().map(move |point| {
            let mut row = cells![
                words,
                count(point.update),
                point.cosine.as_ref().map(|cosine| estimate(Quantity::Cosine, cosine)),
            ];
            row.extend(
                point.layers.iter().map(|layer| number(Quantity::Cosine, layer.value).into()),
            );
            row
        })
    });
    Table::new("Cosine of student's and teacher's ways, by layer", &titles).with(rows).block()
}

fn theorem(result: &PerceptronResult) -> Option<Section> {
    let words = |one: &TheoremResult| {
        let distance = match one.distance {
            Distance::Squared => "squared",
            Distance::Softmax => "softmax",
        };
        let logits = if one.all { "all" } else { "auxiliary" };
        format!("{distance}, {logits}")
    };
    let init = |one: &TheoremResult| if one.foreign { "foreign init" } else { "own init" };
    let n = |one: &TheoremResult| one.cosine.n;
    let rows = result.theorem.iter().map(|one| {
        cells![
            words(one),
            init(one),
            estimate(Quantity::Cosine, &one.cosine),
            format!("{} of {}", one.along, n(one)),
            number(Quantity::Plain, 1000.0 * one.change.value),
            format!("{} of {}", one.fell, n(one)),
        ]
    });
    let titles = [
        "distance, logits",
        "from",
        "#cosine of steps",
        "#above zero",
        "#teacher's loss, ×10⁻³",
        "#it fell",
    ];
    let table = Table::new("", &titles).with(rows).block()?;
    let rows = result.theorem.iter().map(|one| {
        let part = if one.foreign { Part::Control } else { Part::Treatment };
        DotRow::one(format!("{}: {}", words(one), init(one)), part, &one.cosine)
    });
    let dots = Dots {
        id: "theorem".to_owned(),
        title: "Cosine of the student's step with the teacher's".to_owned(),
        axis: "cosine".to_owned(),
        quantity: Quantity::Cosine,
        zero: true,
        joined: false,
        legend: Vec::new(),
        rows: rows.collect(),
    };
    let why = "One gradient step of a teacher on classes of images, one of a student towards its outputs on noise, by squared error or softmax cross-entropy of auxiliary or all logits. From the teacher's initialisation the steps' inner product cannot be below zero to first order, and the teacher's loss falls for the student too (Cloud et al. 2025, theorem 1); of another initialisation nothing is said.";
    let blocks =
        vec![Block::under("", Depth::Full, vec![Block::note(why)]), Block::Dots(dots), table];
    let section = Section::of("theorem", "The theorem, step by step", blocks)?;
    Some(section.noted("full batch, plain gradients").brief())
}

fn images(result: &PerceptronResult) -> Option<Section> {
    let about = &result.images;
    let fact = |term: &str, fact: Line| (term.to_owned(), fact);
    let facts = vec![
        fact("images", about.name.as_str().into()),
        fact("what they are", about.told.as_str().into()),
        fact("digest", code(result.images_artifact.to_string()).into()),
        fact("to train on", count(about.train).into()),
        fact("to test on", count(about.test).into()),
        fact("noise", Line::from(count(result.noise)).and(" images, uniform in [-1, 1]")),
    ];
    Section::of("images", "The images", vec![Block::Facts(facts)])
}
