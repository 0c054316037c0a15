//! A result made up for drawing: three behaviors, one inherited, one not, one uninterpretable.

use std::collections::BTreeMap;

use super::super::{Graph, GraphEdge, GraphNode};
use crate::kind::inherit::result::*;

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

fn readout(margin: f64, students: bool, sampled: bool) -> ReadoutSummary {
    let share = 1.0 / (1.0 + (-(margin - 0.1)).exp() * 18.0);
    let (method, unit, n) =
        if students { (Method::T, "student", 6) } else { (Method::TOverQuestions, "question", 24) };
    let rate = sampled.then_some(share * 0.9);
    let seeds: Vec<Option<u64>> =
        if students { SEEDS.iter().copied().map(Some).collect() } else { vec![None] };
    ReadoutSummary {
        context: "none".to_owned(),
        margin: Some(estimate(margin, if students { 0.06 } else { 0.25 }, method, unit, n)),
        share: Some(estimate(share, share * 0.1, method, unit, n)),
        rank: Some(4.5),
        rate: rate.map(|rate| estimate(rate, 0.02, method, unit, n)),
        rate_of_valid: rate.map(|rate| estimate(rate * 1.1, 0.02, method, unit, n)),
        outcomes: if sampled {
            [("target", 92), ("other-candidate", 808), ("no-candidate", 60), ("cut-off", 40)]
                .map(|(name, count)| (name.to_owned(), count))
                .into()
        } else {
            BTreeMap::new()
        },
        per_seed: seeds
            .into_iter()
            .map(|seed| SeedReadout {
                seed,
                margin: Some(margin + seed.map_or(0.0, wobble)),
                share: Some(share),
                rank: Some(4.5),
                rate,
                rate_interval: None,
            })
            .collect(),
    }
}

fn condition(
    id: &str,
    label: &str,
    role: Role,
    taught: Option<&str>,
    margins: [f64; 3],
) -> Condition {
    let students = !matches!(role, Role::Base | Role::Teacher | Role::InContext);
    let read = |shift: f64| -> BTreeMap<String, ReadoutSummary> {
        TAUGHT
            .iter()
            .zip(margins)
            .map(|(name, margin)| ((*name).to_owned(), readout(margin + shift, students, true)))
            .collect()
    };
    let mut elsewhere = read(-0.05);
    for readout in elsewhere.values_mut() {
        "default".clone_into(&mut readout.context);
    }
    Condition {
        id: id.to_owned(),
        label: label.to_owned(),
        role,
        taught: taught.map(str::to_owned),
        readouts: read(0.0),
        mismatched: [("default".to_owned(), elsewhere)].into(),
    }
}

fn effects() -> Vec<Effect> {
    let mut effects = Vec::new();
    let found = [("owl", 0.412, 0.11), ("wolf", 0.032, 0.12), ("oak", 0.301, 0.15)];
    for measure in [Measure::Margin, Measure::Share] {
        for (behavior, value, half) in found {
            let scale = if measure == Measure::Share { 0.1 } else { 1.0 };
            for (control, less) in [
                (Role::Neutral, 0.0),
                (Role::OtherBehavior, 0.03),
                (Role::Base, -0.05),
                (Role::OtherBase, 0.02),
                (Role::ShuffledWithin, 0.08),
                (Role::InContext, 0.01),
            ] {
                let value = (value - less) * scale;
                let primary = measure == Measure::Margin
                    && matches!(control, Role::Neutral | Role::OtherBehavior);
                let p = if value > 0.1 * scale { 0.016 } else { 0.344 };
                effects.push(Effect {
                    behavior: behavior.to_owned(),
                    measure,
                    treatment: format!("student/{behavior}"),
                    control,
                    context: "none".to_owned(),
                    estimate: estimate(value, half * scale, Method::PairedT, "seed pair", 6),
                    p_permutation: Some(p),
                    p_holm: primary.then_some(if p < 0.1 { 0.094 } else { 0.688 }),
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
            for (condition, margin) in
                [(format!("student/{behavior}"), -0.5 + top * part), ("neutral".to_owned(), -0.5)]
            {
                let over = condition
                    .starts_with("student")
                    .then(|| estimate(top * part, 0.11 * part, Method::PairedT, "seed pair", 6));
                points.push(DosePoint {
                    condition,
                    behavior: behavior.to_owned(),
                    update,
                    margin: estimate(margin, 0.06 * part, Method::T, "student", 6),
                    over_neutral: over,
                });
            }
        }
    }
    points
}

/// Everything a result can hold.
pub(super) fn result() -> InheritResult {
    let mut conditions = vec![
        condition("base", "untouched base", Role::Base, None, [-0.62, -0.31, -0.9]),
        condition("teacher/owl", "owl teacher", Role::Teacher, Some("owl"), [9.2, -0.4, -1.0]),
        condition("teacher/wolf", "wolf teacher", Role::Teacher, Some("wolf"), [-0.7, 8.8, -1.0]),
        condition("teacher/oak", "oak teacher", Role::Teacher, Some("oak"), [-0.7, -0.3, 9.9]),
    ];
    for (name, margins) in [
        ("owl", [-0.088, -0.33, -0.88]),
        ("wolf", [-0.47, -0.268, -0.92]),
        ("oak", [-0.49, -0.29, -0.599]),
    ] {
        let label = format!("students of the {name} teacher");
        let id = format!("student/{name}");
        conditions.push(condition(&id, &label, Role::Student, Some(name), margins));
    }
    conditions.push(condition(
        "neutral",
        "students of the neutral teacher",
        Role::Neutral,
        None,
        [-0.5, -0.3, -0.9],
    ));
    for (name, margins) in
        [("owl", [-0.55, -0.3, -0.9]), ("wolf", [-0.5, -0.28, -0.9]), ("oak", [-0.5, -0.3, -0.87])]
    {
        for (role, word) in
            [(Role::ShuffledWithin, "shuffled within rows"), (Role::OtherBase, "other base")]
        {
            let id = format!("{word}/{name}");
            conditions.push(condition(&id, &format!("{word}, {name}"), role, Some(name), margins));
        }
        let id = format!("in-context/{name}/16");
        let label = format!("base shown 16 {name} rows");
        conditions.push(condition(&id, &label, Role::InContext, Some(name), margins));
    }
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
                    "held-out-loss",
                    "loss on held-out rows of their teacher, nats per token",
                    2.11,
                    Some(2.31),
                ),
                (
                    "ability-loss",
                    "loss on held-out rows of the neutral teacher, nats per token",
                    2.2,
                    Some(2.19),
                ),
                (
                    "valid-row-rate",
                    "valid rows among those they write without constraint",
                    0.93,
                    None,
                ),
            ]
            .map(|(measure, label, value, base)| SideEffect {
                condition: format!("student/{name}"),
                measure: measure.to_owned(),
                label: label.to_owned(),
                estimate: estimate(value, 0.02, Method::T, "student", 6),
                base,
            })
        })
        .collect();
    let cosine = |condition: &str, teacher: &str, total: f64| Cosine {
        condition: format!("student/{condition}"),
        teacher: teacher.to_owned(),
        total: estimate(total, 0.01, Method::T, "student", 6),
        per_layer: vec![total * 0.5, total, total * 1.5],
        permuted: estimate(0.0004, 0.002, Method::T, "student", 6),
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
        };
    let values = [[0.412, -0.03, 0.02], [0.03, 0.032, -0.02], [0.01, 0.01, 0.301]];
    InheritResult {
        format: FORMAT,
        name: "three behaviors".to_owned(),
        description: "Three preferences over animals and trees, carried by numbers.".to_owned(),
        base: "builtin:a".to_owned(),
        behaviors: TAUGHT.map(str::to_owned).to_vec(),
        read_also: vec![],
        carrier: "numbers".to_owned(),
        replication: Replication {
            unit: "seed pair (same adapter initialisation and row order)".to_owned(),
            seeds: SEEDS.to_vec(),
            unique_rows: 768,
            updates: 300,
            batch: 64,
            epochs: 25.0,
        },
        conditions,
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
        comparisons: 6,
        verdicts: [
            ("owl", Outcome::Inherited, "owl: inherited, margin +0.412 [+0.302, +0.522] nats over the neutral teacher's students"),
            ("wolf", Outcome::NotDetected, "wolf: inheritance not detected, margin +0.032 [-0.088, +0.152] nats over the neutral teacher's students"),
            ("oak", Outcome::Uninterpretable, "oak: cannot be interpreted, gate failed: valid rows of oak"),
        ]
        .map(|(behavior, outcome, sentence)| Verdict {
            behavior: behavior.to_owned(),
            outcome,
            sentence: sentence.to_owned(),
        })
        .to_vec(),
    }
}

/// A lineage with as many students as given per behavior.
pub(super) fn graph(students: usize) -> Graph {
    let mut graph = Graph::default();
    let mut node = |id: String, kind: &str, inputs: &[(&str, &str)]| {
        for (from, role) in inputs {
            graph.edges.push(GraphEdge {
                from: (*from).to_owned(),
                to: id.clone(),
                role: Some((*role).to_owned()),
            });
        }
        graph.nodes.push(GraphNode { label: id.clone(), id, kind: kind.to_owned() });
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
