//! The graph of an `inherit` recipe: base, teachers, rows, students, readouts, estimate.

mod find;
mod remote;
mod rows;

use std::collections::BTreeMap;

use self::find::Prompts;
use self::rows::{Common, Replicate, replicates};
use super::{Builder, Outline, PlanContext, Source};
use crate::error::Result;
use crate::estimate::{self, Read};
use crate::model_source::ModelSource;
use crate::random::derive_seed;
use crate::recipe::{Base, CarrierKind, Decoding, OtherBase, Recipe, Replicated, TeacherKind};
use crate::result::Role;
use crate::step::{
    StepKind, behavior, generate, geometry, in_context, readout, shuffle, side_effects, train,
};

/// The neutral arm.
const NEUTRAL: &str = "neutral";
/// Rows held out per arm to measure loss on.
const HELD_OUT: usize = 64;
/// Rows a student writes to see whether they are valid.
const WRITTEN: usize = 32;
/// Seed of the published prefix sentences.
const PREFIX_SEED: u64 = 47;

/// Tokens of a row and of a question, each with its frame: guesses, for costs only.
#[derive(Clone, Copy)]
struct Tokens {
    row: f64,
    question: f64,
}

impl Tokens {
    /// In a grown world's language of whole words, or in a real model's.
    fn guess(recipe: &Recipe, has_world: bool) -> Self {
        let answer = recipe.carrier.max_tokens as f64;
        if has_world {
            Self { row: 14.0 + answer, question: 9.0 }
        } else {
            Self { row: 50.0 + answer.min(40.0), question: 40.0 }
        }
    }
}

/// A group of students with what they are trained on.
struct Arm {
    id: String,
    role: Role,
    taught: Option<String>,
    base: Source,
    /// Per replicate.
    rows: Vec<Source>,
    /// Per replicate, where there is one whose distributions can be learned.
    teachers: Vec<Option<Source>>,
}

pub(super) fn plan(recipe: &Recipe, context: &PlanContext) -> Result<Outline> {
    let spec = match &recipe.base {
        Base::Model(spec) => spec,
        Base::Remote(endpoint) => return remote::plan(recipe, endpoint, context),
    };
    let mut left_out = Vec::new();
    let source = ModelSource::find(spec, &context.places)?;
    let world = source.world()?;
    let taught = find::behaviors(&recipe.behaviors, world.as_ref(), context)?;
    let also = find::behaviors(&recipe.read_also, world.as_ref(), context)?;
    let model_size = source.size();
    let parameters = source.parameters();
    let tokens = Tokens::guess(recipe, world.is_some());
    let forward = |tokens: f64| 2.0 * parameters * tokens;
    let mut sources = BTreeMap::new();
    let mut build = Builder::default();
    let base = find::base(&mut build, &mut sources, "base", source, parameters)?;
    let mut questions = 0.0;
    let mut longest = 0;
    let mut nodes = Vec::new();
    for behavior in taught.iter().chain(&also) {
        let (count, node) = find::asked(&mut build, recipe, behavior)?;
        questions += count as f64;
        longest = longest.max(count);
        nodes.push(node);
    }
    let asked: Vec<String> =
        taught.iter().chain(&also).map(|behavior| behavior.name.clone()).collect();
    let roles: Vec<String> = asked.iter().map(|name| format!("{}{name}", behavior::READ)).collect();
    let with_asked = |first: &[(&'static str, Source)]| -> Vec<(String, Source)> {
        let first = first.iter().map(|&(role, source)| (role.to_owned(), source));
        first.chain(roles.iter().cloned().zip(nodes.iter().copied())).collect()
    };

    // Teachers and rows.
    let prompts = Prompts::find(recipe, context)?;
    let mut arms: Vec<String> = taught.iter().map(|behavior| behavior.name.clone()).collect();
    if recipe.controls.neutral {
        arms.push(NEUTRAL.to_owned());
    } else {
        left_out.push("neutral teacher: without it no answer can be given".to_owned());
    }
    if recipe.replication.teacher == Replicated::Shared {
        left_out.push(
            "teacher luck: one teacher and one set of rows per behavior serve all seeds; set replication.teacher = \"per-seed\" to hold it in the intervals"
                .to_owned(),
        );
    }
    let common = Common {
        recipe,
        taught: &taught,
        behaviors: &nodes[..taught.len()],
        base,
        parameters,
        tokens,
        prompts: &prompts,
        arms: &arms,
    };
    let replicates = replicates(&mut build, &common)?;
    let asked_rows = prompts.count(recipe);
    let of_seed = |place: usize| if replicates.len() == 1 { 0 } else { place };
    let rows = |arm: &str| -> Vec<Source> {
        replicates.iter().map(|replicate| replicate.rows[arm]).collect()
    };
    let teachers = |arm: &str| -> Vec<Option<Source>> {
        replicates.iter().map(|replicate| replicate.teachers.get(arm).copied()).collect()
    };
    let no_teachers = || vec![None; replicates.len()];
    let context_name = recipe.context.system.clone();

    // Students.
    let mut groups: Vec<Arm> = Vec::new();
    for behavior in &taught {
        groups.push(Arm {
            id: format!("student/{}", behavior.name),
            role: Role::Student,
            taught: Some(behavior.name.clone()),
            base,
            rows: rows(&behavior.name),
            teachers: teachers(&behavior.name),
        });
    }
    if recipe.controls.neutral {
        groups.push(Arm {
            id: NEUTRAL.to_owned(),
            role: Role::Neutral,
            taught: None,
            base,
            rows: rows(NEUTRAL),
            teachers: teachers(NEUTRAL).into_iter().map(|own| own.or(Some(base))).collect(),
        });
    }
    if taught.len() < 2 {
        left_out.push(
            "other-behavior control: one behavior is taught; name two or more in `behaviors`"
                .to_owned(),
        );
    } else if !recipe.controls.other_behavior {
        left_out.push("other-behavior control".to_owned());
    }
    let wants_more = |name: &str| {
        let names = &recipe.controls.behaviors;
        let place = taught.iter().position(|behavior| behavior.name == name);
        names.is_empty() || place.is_some_and(|at| names.contains(&recipe.behaviors[at]))
    };
    for (on, role, reach) in [
        (recipe.controls.shuffled_within, Role::ShuffledWithin, shuffle::Reach::Within),
        (recipe.controls.shuffled_across, Role::ShuffledAcross, shuffle::Reach::Across),
    ] {
        if !on {
            left_out.push(format!("{} control", role.label()));
            continue;
        }
        let kind = match reach {
            shuffle::Reach::Within => "shuffled-within",
            shuffle::Reach::Across => "shuffled-across",
        };
        for behavior in taught.iter().filter(|behavior| wants_more(&behavior.name)) {
            let name = &behavior.name;
            let configuration = shuffle::Configuration { reach };
            let mut shuffled = Vec::new();
            for Replicate { rows, suffix, .. } in &replicates {
                let inputs = [("rows", rows[name])];
                let node = format!("shuffle/{kind}/{name}{suffix}");
                let kind = StepKind::Shuffle;
                shuffled.push(build.node(node, kind, &configuration, &inputs, 0.0)?);
            }
            groups.push(Arm {
                id: format!("{kind}/{name}"),
                role,
                taught: Some(name.clone()),
                base,
                rows: shuffled,
                teachers: teachers(name),
            });
        }
    }
    let other = match &recipe.controls.other_base {
        OtherBase::Model(spec) => Some(spec.clone()),
        OtherBase::Auto if spec.starts_with("builtin:") => context
            .places
            .builtin
            .iter()
            .map(|model| format!("builtin:{}", model.name))
            .find(|name| name != spec),
        OtherBase::Auto | OtherBase::Off => None,
    };
    match other {
        None => left_out.push(
            "other-base control: no second base is named in `controls.other-base`".to_owned(),
        ),
        Some(_) if recipe.carrier.kind == CarrierKind::Logits => {
            left_out.push("other-base control: logits are compared within one base".to_owned());
        }
        Some(spec) => {
            let source = ModelSource::find(&spec, &context.places)?;
            let second = find::base(&mut build, &mut sources, "other-base", source, parameters)?;
            for behavior in taught.iter().filter(|behavior| wants_more(&behavior.name)) {
                groups.push(Arm {
                    id: format!("other-base/{}", behavior.name),
                    role: Role::OtherBase,
                    taught: Some(behavior.name.clone()),
                    base: second,
                    rows: rows(&behavior.name),
                    teachers: no_teachers(),
                });
            }
            if recipe.controls.neutral {
                groups.push(Arm {
                    id: "other-base/neutral".to_owned(),
                    role: Role::OtherBaseNeutral,
                    taught: None,
                    base: second,
                    rows: rows(NEUTRAL),
                    teachers: no_teachers(),
                });
            }
        }
    }

    // Readouts: base, teachers, students.
    let mut reads: Vec<Read> = Vec::new();
    let mut inputs: Vec<(String, Source)> = Vec::new();
    let mut contexts = vec![context_name.clone()];
    contexts.extend(recipe.context.mismatched.iter().cloned());
    let sampled = readout::Sampled {
        answers: recipe.readout.samples_per_question,
        temperature: recipe.readout.temperature,
        max_tokens: recipe.readout.max_tokens,
        seed: derive_seed(recipe.seed, &["readout".into()]),
    };
    if sampled.answers == 0 {
        left_out.push("sampled rates: `readout.samples-per-question` is 0".to_owned());
    }
    let (prefixes, variants) = if recipe.readout.prefix {
        (prompts.prefixes(PREFIX_SEED, longest), 2.0)
    } else {
        (Vec::new(), 1.0)
    };
    let read = |build: &mut Builder,
                inputs: &mut Vec<(String, Source)>,
                reads: &mut Vec<Read>,
                model: Source,
                entry: Read,
                states: usize|
     -> Result<()> {
        let as_teacher = entry.role == Role::Teacher;
        let configuration = readout::Configuration {
            asked: asked.clone(),
            prefixes: prefixes.clone(),
            contexts: if as_teacher { contexts[..1].to_vec() } else { contexts.clone() },
            sampled: sampled.clone(),
            as_teacher,
        };
        let answers = (sampled.answers * contexts.len()) as f64;
        let read = questions * tokens.question * (states as f64 + variants * contexts.len() as f64)
            + questions * variants * answers * recipe.readout.max_tokens as f64;
        let name = entry.input.clone();
        let cost = forward(read);
        let from = with_asked(&[("model", model)]);
        let from: Vec<(&str, Source)> =
            from.iter().map(|(role, at)| (role.as_str(), *at)).collect();
        let node = build.node(&name, StepKind::Readout, &configuration, &from, cost)?;
        inputs.push((name, node));
        reads.push(entry);
        Ok(())
    };
    if recipe.controls.untouched_base {
        let entry = Read::new("readout/base", "base", Role::Base, None, None);
        read(&mut build, &mut inputs, &mut reads, base, entry, 1)?;
    } else {
        left_out.push("untouched base".to_owned());
    }
    for Replicate { teachers, suffix, seed, .. } in &replicates {
        for (name, &node) in teachers {
            let taught = (name != NEUTRAL).then(|| name.clone());
            let id = format!("teacher/{name}");
            let input = format!("readout/{id}{suffix}");
            let entry = Read::new(&input, &id, Role::Teacher, taught, *seed);
            read(&mut build, &mut inputs, &mut reads, node, entry, 1)?;
        }
    }
    let logits = recipe.carrier.kind == CarrierKind::Logits;
    let updates = recipe.student.updates(recipe.carrier.rows);
    let train_cost = 3.0 * forward((updates * recipe.student.batch) as f64 * tokens.row);
    let states = recipe.student.checkpoints.len() + 1;
    let mut measured: Vec<(String, String, usize)> = Vec::new();
    let mut cosines: Vec<(String, String, usize)> = Vec::new();
    let free = generate::Configuration {
        arm: "written".to_owned(),
        context: context_name.clone(),
        decoding: Decoding::Free { temperature: 1.0, top_p: 1.0 },
        max_tokens: recipe.carrier.max_tokens,
        seed: derive_seed(recipe.seed, &["written".into()]),
    };
    let has_weights = recipe.teacher.kind == TeacherKind::FineTune;
    for group in &groups {
        for (place, &seed) in recipe.seeds.0.iter().enumerate() {
            let replicate = &replicates[of_seed(place)];
            let own_rows = group.rows[of_seed(place)];
            let configuration = train::Configuration {
                context: context_name.clone(),
                train: recipe.student.clone(),
                distilled: logits.then_some(recipe.carrier.distilled),
                seed: derive_seed(recipe.seed, &["student".into(), seed.into()]),
            };
            let mut from = vec![("base", group.base), ("rows", own_rows)];
            if logits && let Some(teacher) = group.teachers[of_seed(place)] {
                from.push(("teacher", teacher));
            }
            let at = format!("{}/seed-{seed}", group.id);
            let student = build.node(
                format!("train/{at}"),
                StepKind::Train,
                &configuration,
                &from,
                train_cost,
            )?;
            let (role, taught) = (group.role, group.taught.clone());
            let entry = Read::new(&format!("readout/{at}"), &group.id, role, taught, Some(seed));
            read(&mut build, &mut inputs, &mut reads, student, entry, states)?;
            let treatment = matches!(group.role, Role::Student | Role::Neutral);
            if recipe.controls.side_effects && treatment {
                let configuration = side_effects::Configuration {
                    generate: free.clone(),
                    rows: WRITTEN.min(asked_rows),
                    filter: recipe.carrier.filter.clone(),
                };
                let mut from = vec![
                    ("base", base),
                    ("student", student),
                    ("rows", own_rows),
                    ("prompts", replicate.prompts),
                ];
                if let Some(&neutral) = replicate.rows.get(NEUTRAL) {
                    from.push(("neutral", neutral));
                }
                let read = (4 * HELD_OUT + 2 * WRITTEN) as f64 * tokens.row;
                let name = format!("side-effects/{at}");
                let cost = forward(read);
                let node = build.node(&name, StepKind::SideEffects, &configuration, &from, cost)?;
                inputs.push((name.clone(), node));
                measured.push((name, group.id.clone(), seed as usize));
            }
            if recipe.controls.geometry && treatment && has_weights {
                let configuration = geometry::Configuration {
                    seed: derive_seed(recipe.seed, &["geometry".into()]),
                };
                let roles: Vec<(String, Source)> = replicate
                    .teachers
                    .iter()
                    .map(|(name, &node)| (format!("{}{name}", geometry::TEACHER), node))
                    .collect();
                let mut from = vec![("base", base), ("student", student)];
                from.extend(roles.iter().map(|(role, node)| (role.as_str(), *node)));
                let name = format!("geometry/{at}");
                let cost = 40.0 * parameters;
                let node = build.node(&name, StepKind::Geometry, &configuration, &from, cost)?;
                inputs.push((name.clone(), node));
                cosines.push((name, group.id.clone(), seed as usize));
            }
        }
    }
    if !recipe.controls.side_effects {
        left_out.push("side effects".to_owned());
    }
    if !recipe.controls.geometry {
        left_out.push("geometry of updates".to_owned());
    } else if !has_weights {
        left_out.push("geometry of updates: a prompted teacher has no update".to_owned());
    }

    // Rows shown instead of trained on.
    let shown = &recipe.controls.in_context;
    if shown.rows.is_empty() {
        left_out.push("in-context control".to_owned());
    }
    let mut shown_arms: Vec<&String> = taught.iter().map(|behavior| &behavior.name).collect();
    let neutral_name = NEUTRAL.to_owned();
    if recipe.controls.neutral {
        shown_arms.push(&neutral_name);
    }
    for &count in &shown.rows {
        for &arm in &shown_arms {
            let id = format!("in-context/{arm}/{count}");
            let read = match shown.questions {
                0 => questions,
                most => (most * 2) as f64,
            };
            let cost = forward(shown.draws as f64 * read * count as f64 * tokens.row);
            for Replicate { rows, suffix, .. } in &replicates {
                let configuration = in_context::Configuration {
                    asked: asked.clone(),
                    context: context_name.clone(),
                    rows: count,
                    draws: shown.draws,
                    questions: shown.questions,
                    seed: derive_seed(recipe.seed, &["in-context".into()]),
                };
                let from = with_asked(&[("base", base), ("rows", rows[arm])]);
                let from: Vec<(&str, Source)> =
                    from.iter().map(|(role, at)| (role.as_str(), *at)).collect();
                let name = format!("{id}{suffix}");
                let node = build.node(&name, StepKind::InContext, &configuration, &from, cost)?;
                let taught = (arm != NEUTRAL).then(|| arm.clone());
                reads.push(Read::new(&name, &id, Role::InContext, taught, None));
                inputs.push((name, node));
            }
        }
    }

    // The estimate sees every reading and the counts of rows.
    let mut counted = Vec::new();
    for Replicate { judged, rows, suffix, .. } in &replicates {
        for arm in &arms {
            let (filter, select) =
                (format!("filter/{arm}{suffix}"), format!("select/{arm}{suffix}"));
            inputs.push((filter.clone(), judged[arm]));
            inputs.push((select.clone(), rows[arm]));
            counted.push(estimate::Counted { arm: arm.clone(), filter, select });
        }
    }
    let configuration = estimate::Configuration {
        recipe: recipe.clone(),
        behaviors: taught.iter().map(|behavior| behavior.name.clone()).collect(),
        read_also: also.iter().map(|behavior| behavior.name.clone()).collect(),
        reads,
        arms: arms.clone(),
        counted,
        side_effects: measured,
        geometry: cosines,
        updates,
        left_out: left_out.clone(),
    };
    let inputs: Vec<(&str, Source)> =
        inputs.iter().map(|(role, node)| (role.as_str(), *node)).collect();
    build.node("estimate", StepKind::Estimate, &configuration, &inputs, 0.0)?;
    Ok(Outline { nodes: build.nodes, sources, left_out, model_size })
}
