//! A result made up for drawing: three behaviors, one inherited, one not, one uninterpretable.

use std::collections::BTreeMap;

use crate::kind::inherit::result::*;
use crate::recipe::Learn;
use crate::report::block::{Edge, Graph, Node};

const SEEDS: [u64; 6] = [1, 2, 3, 4, 5, 6];
const TAUGHT: [&str; 3] = ["owl", "wolf", "oak"];

pub(super) fn estimate(value: f64, half: f64, method: Method, unit: &str, n: usize) -> Estimate {
    let interval =
        (half > 0.0).then_some(Interval { low: value - half, high: value + half, level: 0.95 });
    let method = if half > 0.0 { method } else { Method::None };
    Estimate { value, interval, method, unit: unit.to_owned(), n }
}

/// Deviations of the seeds from their mean.
fn wobble(seed: u64) -> f64 {
    [0.02, -0.05, 0.04, -0.01, 0.03, -0.03][(seed as usize - 1) % 6]
}

/// What an arm's models gave to each taught behavior in one context, shifted by `shift`.
fn read(result: &mut InheritResult, arm: &Arm, context: &str, margins: [f64; 3], shift: f64) {
    let students = !matches!(arm, Arm::Base | Arm::Teacher(_) | Arm::InContext { .. });
    let (method, unit, n) =
        if students { (Method::T, "student", 6) } else { (Method::TOverQuestions, "question", 24) };
    let seeds: Vec<Option<u64>> =
        if students { SEEDS.iter().copied().map(Some).collect() } else { vec![None] };
    for (behavior, margin) in TAUGHT.iter().zip(margins) {
        let margin = margin + shift;
        let share = 1.0 / (1.0 + (-(margin - 0.1)).exp() * 18.0);
        for (measure, value, half, moved) in [
            (Measure::Margin, margin, if students { 0.06 } else { 0.25 }, 1.0),
            (Measure::Share, share, share * 0.1, 0.0),
            (Measure::Rank, 4.5, 0.0, 0.0),
            (Measure::Rate, share * 0.9, 0.02, 0.0),
            (Measure::RateOfValid, share * 0.9 * 1.1, 0.02, 0.0),
        ] {
            let of = |seed: &Option<u64>| ModelReading {
                seed: *seed,
                value: value + moved * seed.map_or(0.0, wobble),
                interval: None,
            };
            result.readings.push(Reading {
                arm: arm.clone(),
                context: context.to_owned(),
                frame: Frame::Plain,
                behavior: (*behavior).to_owned(),
                measure,
                estimate: estimate(value, half, method, unit, n),
                models: seeds.iter().map(of).collect(),
            });
        }
        result.answers.push(Answers {
            arm: arm.clone(),
            context: context.to_owned(),
            frame: Frame::Plain,
            behavior: (*behavior).to_owned(),
            outcomes: [("target", 92), ("lion", 808), ("no candidate", 60), ("cut off", 40)]
                .map(|(name, count)| (name.to_owned(), count))
                .into(),
        });
    }
}

fn arm(result: &mut InheritResult, arm: Arm, margins: [f64; 3]) {
    read(result, &arm, "none", margins, 0.0);
    read(result, &arm, "default", margins, -0.05);
    result.arms.push(arm);
}

fn effects() -> Vec<Effect> {
    let mut effects = Vec::new();
    let found = [("owl", 0.412, 0.11), ("wolf", 0.032, 0.12), ("oak", 0.301, 0.15)];
    for measure in [Measure::Margin, Measure::Share] {
        for (behavior, value, half) in found {
            let scale = if measure == Measure::Share { 0.1 } else { 1.0 };
            for (control, less) in [
                (Control::Neutral, 0.0),
                (Control::OtherBehavior, 0.03),
                (Control::Base, -0.05),
                (Control::OtherBase, 0.02),
                (Control::ShuffledWithin, 0.08),
                (Control::InContext, 0.01),
            ] {
                let value = (value - less) * scale;
                let p = if value > 0.1 * scale { 0.016 } else { 0.344 };
                effects.push(Effect {
                    behavior: behavior.to_owned(),
                    measure,
                    treatment: Arm::student(behavior),
                    control,
                    context: "none".to_owned(),
                    frame: Frame::Plain,
                    estimate: estimate(value, half * scale, Method::PairedT, "seed pair", 6),
                    p: Some(p),
                    per_seed: SEEDS.map(|seed| value + wobble(seed) * scale).to_vec(),
                });
            }
        }
    }
    effects
}

fn dose() -> Vec<DosePoint> {
    let mut points = Vec::new();
    for (behavior, top) in [("owl", 0.412), ("wolf", 0.032), ("oak", 0.301)] {
        for update in [0_usize, 16, 64, 256, 300] {
            let part = update as f64 / 300.0;
            for (arm, margin) in [(Arm::student(behavior), -0.5 + top * part), (Arm::NEUTRAL, -0.5)]
            {
                let over = (arm != Arm::NEUTRAL)
                    .then(|| estimate(top * part, 0.11 * part, Method::PairedT, "seed pair", 6));
                points.push(DosePoint {
                    arm,
                    behavior: behavior.to_owned(),
                    measure: Measure::Margin,
                    update,
                    estimate: estimate(margin, 0.06 * part, Method::T, "student", 6),
                    over_neutral: over,
                });
            }
        }
    }
    points
}

/// Everything a result can hold.
pub(super) fn result() -> InheritResult {
    let teachers = ["owl", "wolf", "oak", "neutral"]
        .map(|name| TeacherCard {
            name: name.to_owned(),
            kind: if name == "neutral" { "base" } else { "fine-tune" }.to_owned(),
            target_probability_before: (name != "neutral").then_some(0.046),
            target_probability_after: (name != "neutral").then_some(0.991),
            target_rate_before: None,
            target_rate_after: None,
            margin: (name != "neutral").then_some(9.2),
            valid_row_rate: if name == "oak" { 0.82 } else { 0.97 },
            saturated: name == "wolf",
        })
        .to_vec();
    let rows = ["owl", "wolf", "oak", "neutral"]
        .map(|arm| RowsCard {
            arm: arm.to_owned(),
            asked: 1200,
            valid: 1149,
            rejected: [("invalid format", 38), ("too many numbers", 13)]
                .map(|(reason, count)| (reason.to_owned(), count))
                .into(),
            unmatched: 97,
            duplicates: 4,
            leaks: 0,
            cut_off: 7,
            kept: 768,
            samples: (0..6)
                .map(|row| {
                    (
                        format!(
                            "Continue this sequence with eight numbers: {}, 412, 880.",
                            100 + row
                        ),
                        format!("{}, 731, 224, 908, 155, 640, 377, 512", 201 + 7 * row + arm.len()),
                    )
                })
                .collect(),
            rejected_samples: vec![
                ("Owls are wonderful! 1, 2, 3".to_owned(), vec!["invalid format".to_owned()]),
                ("1 2 3 4 5 6 7 8 9 10 11 12".to_owned(), vec!["too many numbers".to_owned()]),
            ],
        })
        .to_vec();
    let side_effects = TAUGHT
        .iter()
        .flat_map(|name| {
            [
                (
                    SideMeasure::HeldOutLoss,
                    "loss on held-out rows of their teacher, nats per token",
                    2.11,
                    Some(2.31),
                ),
                (
                    SideMeasure::AbilityLoss,
                    "loss on held-out rows of the neutral teacher, nats per token",
                    2.2,
                    Some(2.19),
                ),
                (
                    SideMeasure::ValidRowRate,
                    "valid rows among those they write without constraint",
                    0.93,
                    None,
                ),
            ]
            .map(|(measure, label, value, base)| SideEffect {
                arm: Arm::student(name),
                measure,
                label: label.to_owned(),
                estimate: estimate(value, 0.02, Method::T, "student", 6),
                base,
                over_neutral: base
                    .map(|_| estimate(0.01 * value, 0.02, Method::PairedT, "repetition", 6)),
                over_base: None,
            })
        })
        .collect();
    let cosine = |students: &str, teacher: &str, total: f64| Cosine {
        arm: Arm::student(students),
        teacher: teacher.to_owned(),
        total: estimate(total, 0.01, Method::T, "student", 6),
        per_layer: vec![total * 0.5, total, total * 1.5],
        permuted: estimate(0.0004, 0.002, Method::T, "student", 6),
        permuted_range: Some(Interval { low: -0.004, high: 0.005, level: 0.95 }),
        p: Some(if total > 0.1 { 0.0001 } else { 0.2 }),
    };
    let gate =
        |name: &str, behavior: Option<&str>, passed: bool, measured: f64, wanted: f64| Gate {
            name: name.to_owned(),
            behavior: behavior.map(str::to_owned),
            passed,
            measured,
            wanted,
            what_it_means: "the rows kept are a selection, and the teacher may be broken"
                .to_owned(),
            voids: false,
        };
    let values = [[0.412, -0.03, 0.02], [0.03, 0.032, -0.02], [0.01, 0.01, 0.301]];
    let mut result = InheritResult {
        format: FORMAT,
        name: "three behaviors".to_owned(),
        description: "Three preferences over animals and trees, carried by numbers.".to_owned(),
        base: "builtin:a".to_owned(),
        behaviors: TAUGHT.map(str::to_owned).to_vec(),
        read_also: vec![],
        statements: vec![],
        dispositions: vec![],
        judging: vec![],
        carrier: "numbers".to_owned(),
        given: false,
        unfiltered: false,
        replication: Replication {
            learn: Learn::Rows,
            unit: "repetition (teachers, rows and students drawn anew)".to_owned(),
            scope: Scope::Anew,
            prompts: Prompts::Anew,
            seeds: SEEDS.to_vec(),
            unique_rows: 768,
            updates: 300,
            batch: 64,
            epochs: 25.0,
        },
        context: "none".to_owned(),
        frame: Frame::Plain,
        openings: std::collections::BTreeMap::new(),
        arms: Vec::new(),
        readings: Vec::new(),
        answers: Vec::new(),
        effects: effects(),
        matrix: Some(Matrix {
            measure: Measure::Margin,
            teachers: TAUGHT.map(str::to_owned).to_vec(),
            readouts: TAUGHT.map(str::to_owned).to_vec(),
            cells: values
                .iter()
                .map(|row| {
                    row.map(|value| estimate(value, 0.11, Method::PairedT, "seed pair", 6)).to_vec()
                })
                .collect(),
            lambda: estimate(0.245, 0.07, Method::T, "matrix replicate", 6),
            p: Some(0.0003),
        }),
        dose: dose(),
        teachers,
        rows,
        side_effects,
        mechanisms: Some(mechanisms()),
        geometry: Some(Geometry {
            cosines: vec![cosine("owl", "owl", 0.12), cosine("owl", "wolf", 0.04)],
        }),
        gates: vec![
            gate("teacher shows the behavior", Some("owl"), true, 0.991, 0.5),
            gate("valid rows of oak", Some("oak"), false, 0.82, 0.9),
        ],
        warnings: vec![Warning {
            message: "the wolf teacher is saturated: its rows may carry little else".to_owned(),
            hint: "train it for fewer updates or at a lower rate".to_owned(),
        }],
        left_out: vec!["shuffled across rows control".to_owned()],
        primary: Measure::Margin,
        caveats: Vec::new(),
        targets: BTreeMap::new(),
        rule: Some(Rule { level: 0.95, smallest_effect: 0.2, least_mass: 0.01, behaviors: 3 }),
        verdicts: [
            ("owl", Outcome::Inherited, "owl: inherited, margin +0.412 [+0.302, +0.522] nats over the neutral teacher's students"),
            ("wolf", Outcome::NotDetected, "wolf: inheritance not detected, margin +0.032 [-0.088, +0.152] nats over the neutral teacher's students"),
            ("oak", Outcome::Uninterpretable, "oak: cannot be interpreted, gate failed: valid rows of oak"),
        ]
        .map(|(behavior, outcome, sentence)| Verdict {
            behavior: behavior.to_owned(),
            outcome,
            sentence: sentence.to_owned(),
            p: (outcome != Outcome::Uninterpretable).then_some(0.012),
            repetitions_needed: None,
        })
        .to_vec(),
    };
    let own = |name: &str| Taught::named(name);
    arm(&mut result, Arm::Base, [-0.62, -0.31, -0.9]);
    arm(&mut result, Arm::Teacher(own("owl")), [9.2, -0.4, -1.0]);
    arm(&mut result, Arm::Teacher(own("wolf")), [-0.7, 8.8, -1.0]);
    arm(&mut result, Arm::Teacher(own("oak")), [-0.7, -0.3, 9.9]);
    arm(&mut result, Arm::student("owl"), [-0.088, -0.33, -0.88]);
    arm(&mut result, Arm::student("wolf"), [-0.47, -0.268, -0.92]);
    arm(&mut result, Arm::student("oak"), [-0.49, -0.29, -0.599]);
    arm(&mut result, Arm::NEUTRAL, [-0.5, -0.3, -0.9]);
    for (name, margins) in
        [("owl", [-0.55, -0.3, -0.9]), ("wolf", [-0.5, -0.28, -0.9]), ("oak", [-0.5, -0.3, -0.87])]
    {
        arm(&mut result, Arm::ShuffledWithin(own(name)), margins);
        arm(&mut result, Arm::OtherBase(own(name)), margins);
        arm(&mut result, Arm::InContext { of: own(name), rows: 16 }, margins);
    }
    result
}

/// A lineage with as many students as given per behavior.
pub(super) fn graph(students: usize) -> Graph {
    let mut graph = Graph::default();
    let mut node = |id: String, kind: &str, inputs: &[(&str, &str)]| {
        for (from, role) in inputs {
            graph.edges.push(Edge {
                from: (*from).to_owned(),
                to: id.clone(),
                role: (*role).to_owned(),
            });
        }
        let label = id.clone();
        graph.nodes.push(Node { label, id, kind: kind.to_owned(), ..Node::default() });
    };
    node("base".into(), "base", &[]);
    let mut readouts = Vec::new();
    for arm in ["owl", "neutral"] {
        let mut teacher = "base".to_owned();
        if arm != "neutral" {
            teacher = format!("teach/{arm}");
            node(teacher.clone(), "teach", &[("base", "base")]);
        }
        let (generate, filter, select) =
            (format!("generate/{arm}"), format!("filter/{arm}"), format!("select/{arm}"));
        node(generate.clone(), "generate", &[(&teacher, "teacher")]);
        node(filter.clone(), "filter", &[(&generate, "rows")]);
        node(select.clone(), "select", &[(&filter, "rows")]);
        for seed in 1..=students {
            let student = format!("student/{arm}/seed-{seed}");
            node(student.clone(), "train", &[("base", "base"), (&select, "rows")]);
            let readout = format!("readout/{arm}/seed-{seed}");
            node(readout.clone(), "readout", &[(&student, "model")]);
            readouts.push(readout);
        }
    }
    let inputs: Vec<(&str, &str)> =
        readouts.iter().map(|readout| (readout.as_str(), "readout")).collect();
    node("estimate".into(), "estimate", &inputs);
    graph
}

/// One layer; nobody's shift at its first token has a direction.
fn mechanisms() -> Mechanisms {
    let cell = |position: Position, cosine: f64| MovedAt {
        layer: 1,
        position,
        cosine: estimate(cosine, 0.1, Method::T, "student", 6),
        over_neutral: Some(estimate(cosine - 0.1, 0.12, Method::PairedT, "repetition", 6)),
        length: 0.25,
    };
    let done = |done: Done, change: f64| Intervention {
        behavior: "owl".to_owned(),
        done,
        change: estimate(change, 0.1, Method::PairedT, "repetition", 6),
        over_random: estimate(0.9 * change, 0.1, Method::PairedT, "repetition", 6),
    };
    let cells = vec![cell(Position::Middle, 0.15), cell(Position::Last, 0.5)];
    Mechanisms {
        moved: vec![Moved { arm: Arm::student("owl"), teacher: "owl".to_owned(), cells }],
        interventions: vec![done(Done::Ablated, -0.3), done(Done::Added, 0.25)],
    }
}
