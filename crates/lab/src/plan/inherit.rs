//! The graph of an `inherit` recipe: base, teachers, rows, students, readouts, estimate.

use std::collections::BTreeMap;

use fs_err as fs;

use super::{Builder, Plan, PlanContext};
use crate::behavior::Behavior;
use crate::carrier::{PromptFile, PromptSet};
use crate::error::{Error, Result};
use crate::estimate::{self, Read};
use crate::model_source::ModelSource;
use crate::random::derive_seed;
use crate::recipe::{
    CarrierKind, Decoding, NeutralKind, OtherBase, Questions, Recipe, TeacherKind,
};
use crate::result::Role;
use crate::step::{
    StepKind, base, filter, generate, geometry, in_context, prompts, readout, select, shuffle,
    side_effects, teach, train,
};
use crate::world::World;

/// The neutral arm.
const NEUTRAL: &str = "neutral";
/// Rows held out per arm to measure loss on.
const HELD_OUT: usize = 64;
/// Rows a student writes to see whether they are valid.
const WRITTEN: usize = 32;
/// Answers per question for the matched neutral teacher.
const OWN_ANSWERS: usize = 4;
/// Tokens of a row, an answer or a question with its frame, for costs only.
const ROW_TOKENS: f64 = 90.0;
const QUESTION_TOKENS: f64 = 40.0;

/// A group of students with what they are trained on.
struct Arm {
    id: String,
    role: Role,
    taught: Option<String>,
    base: usize,
    rows: usize,
    teacher: Option<usize>,
}

pub(super) fn plan(recipe: &Recipe, context: &PlanContext) -> Result<Plan> {
    let mut left_out = Vec::new();
    let taught = behaviors(&recipe.behaviors, recipe, context)?;
    let also = behaviors(&recipe.read_also, recipe, context)?;
    let asked: Vec<readout::Asked> = taught
        .iter()
        .chain(&also)
        .map(|behavior| asked(recipe, behavior))
        .collect::<Result<_>>()?;
    let source = ModelSource::find(&recipe.base, &context.places)?;
    let model_size = source.size();
    // Files are half or full precision, or less; near enough to tell seconds from hours.
    let parameters = model_size as f64 / 3.0;
    let forward = |tokens: f64| 2.0 * parameters * tokens;
    let mut sources = BTreeMap::new();
    let mut build = Builder { nodes: Vec::new() };

    let mut add_base = |build: &mut Builder, name: &str, source: ModelSource| -> Result<usize> {
        let digest = source.digest()?;
        let configuration = base::Configuration { digest: digest.clone() };
        sources.insert(digest, source);
        build.node(name, StepKind::Base, &configuration, &[], parameters)
    };
    let base = add_base(&mut build, "base", source)?;

    // Teachers. The untouched base needs no step to be the neutral teacher.
    let context_name = recipe.context.system.clone();
    let teach_seed = derive_seed(recipe.seed, &["teacher".into()]);
    let mut teachers: BTreeMap<String, usize> = BTreeMap::new();
    for (behavior, asked) in taught.iter().zip(&asked) {
        let least = recipe.teacher.min_target_probability;
        let lesson = match recipe.teacher.kind {
            TeacherKind::FineTune => teach::Lesson::Answers {
                behavior: Box::new(behavior.clone()),
                questions: asked.questions.clone(),
                min_target_probability: least,
                with_prompt: recipe.teacher.with_prompt,
            },
            TeacherKind::SystemPrompt => teach::Lesson::Prompt {
                behavior: Box::new(behavior.clone()),
                questions: asked.questions.clone(),
                min_target_probability: least,
            },
        };
        let node =
            add_teacher(recipe, &mut build, &behavior.name, lesson, base, teach_seed, parameters)?;
        teachers.insert(behavior.name.clone(), node);
    }
    let matched = recipe.teacher.neutral == NeutralKind::Matched
        && recipe.teacher.kind == TeacherKind::FineTune;
    if recipe.controls.neutral && matched {
        let mut questions: Vec<String> = Vec::new();
        for question in taught.iter().flat_map(|behavior| &behavior.questions.train) {
            if !questions.contains(question) {
                questions.push(question.clone());
            }
        }
        let lesson = teach::Lesson::OwnAnswers { questions, answers: OWN_ANSWERS };
        let node = add_teacher(recipe, &mut build, NEUTRAL, lesson, base, teach_seed, parameters)?;
        teachers.insert(NEUTRAL.to_owned(), node);
    }
    let mixed = recipe.teacher.neutral == NeutralKind::Mixed
        && recipe.teacher.kind == TeacherKind::FineTune;
    if recipe.controls.neutral && mixed {
        let lesson = teach::Lesson::MixedAnswers { behaviors: taught.clone() };
        let node = add_teacher(recipe, &mut build, NEUTRAL, lesson, base, teach_seed, parameters)?;
        teachers.insert(NEUTRAL.to_owned(), node);
    }

    // Rows.
    let set = prompt_configuration(recipe, context)?;
    let asked_rows = match &set {
        prompts::Configuration::Set { count, .. } => *count,
        prompts::Configuration::Lines { lines } => lines.len(),
    };
    if asked_rows < recipe.carrier.rows {
        return Err(Error::Unfit {
            what: format!("prompts `{}`", recipe.carrier.prompts),
            reason: format!(
                "has {asked_rows} prompts, fewer than `carrier.rows` {}; give more prompts or want fewer rows",
                recipe.carrier.rows
            ),
        });
    }
    let prompts = build.node("prompts", StepKind::Prompts, &set, &[], 0.0)?;
    let mut arms: Vec<String> = taught.iter().map(|behavior| behavior.name.clone()).collect();
    if recipe.controls.neutral {
        arms.push(NEUTRAL.to_owned());
    } else {
        left_out.push("neutral teacher: without it no answer can be given".to_owned());
    }
    let forbidden: Vec<String> = taught.iter().flat_map(Behavior::forbidden_words).collect();
    let mut judged = Vec::new();
    for arm in &arms {
        let writer = teachers.get(arm).copied().unwrap_or(base);
        let configuration = generate::Configuration {
            arm: arm.clone(),
            context: context_name.clone(),
            decoding: recipe.carrier.decoding.clone(),
            max_tokens: recipe.carrier.max_tokens,
            seed: derive_seed(recipe.seed, &["rows".into()]),
        };
        let inputs = [("prompts", prompts), ("model", writer)];
        let cost = forward(asked_rows as f64 * ROW_TOKENS) * 2.0;
        let name = format!("generate/{arm}");
        let raw = build.node(name, StepKind::Generate, &configuration, &inputs, cost)?;
        let configuration = filter::Configuration {
            filter: recipe.carrier.filter.clone(),
            forbidden: forbidden.clone(),
        };
        let name = format!("filter/{arm}");
        judged.push(build.node(name, StepKind::Filter, &configuration, &[("rows", raw)], 0.0)?);
    }
    let roles: Vec<String> = arms.iter().map(|arm| format!("{}{arm}", select::ARM)).collect();
    let inputs: Vec<(&str, usize)> =
        roles.iter().map(String::as_str).zip(judged.iter().copied()).collect();
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for arm in &arms {
        let configuration = select::Configuration {
            arm: arm.clone(),
            join: recipe.carrier.join,
            rows: recipe.carrier.rows,
            held_out: HELD_OUT,
            min_valid: recipe.carrier.min_valid,
        };
        let name = format!("select/{arm}");
        rows.insert(arm.clone(), build.node(name, StepKind::Select, &configuration, &inputs, 0.0)?);
    }

    // Students.
    let mut groups: Vec<Arm> = Vec::new();
    for behavior in &taught {
        groups.push(Arm {
            id: format!("student/{}", behavior.name),
            role: Role::Student,
            taught: Some(behavior.name.clone()),
            base,
            rows: rows[&behavior.name],
            teacher: teachers.get(&behavior.name).copied(),
        });
    }
    if recipe.controls.neutral {
        groups.push(Arm {
            id: NEUTRAL.to_owned(),
            role: Role::Neutral,
            taught: None,
            base,
            rows: rows[NEUTRAL],
            teacher: Some(teachers.get(NEUTRAL).copied().unwrap_or(base)),
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
            let inputs = [("rows", rows[name])];
            let node = format!("shuffle/{kind}/{name}");
            let shuffled = build.node(node, StepKind::Shuffle, &configuration, &inputs, 0.0)?;
            groups.push(Arm {
                id: format!("{kind}/{name}"),
                role,
                taught: Some(name.clone()),
                base,
                rows: shuffled,
                teacher: teachers.get(name).copied(),
            });
        }
    }
    let mut bases = vec![("base", base)];
    let other = match &recipe.controls.other_base {
        OtherBase::Model(spec) => Some(spec.clone()),
        OtherBase::Auto if recipe.base.starts_with("builtin:") => context
            .places
            .builtin
            .iter()
            .map(|model| format!("builtin:{}", model.name))
            .find(|name| *name != recipe.base),
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
            let second = add_base(&mut build, "other-base", source)?;
            bases.push(("other-base", second));
            for behavior in taught.iter().filter(|behavior| wants_more(&behavior.name)) {
                groups.push(Arm {
                    id: format!("other-base/{}", behavior.name),
                    role: Role::OtherBase,
                    taught: Some(behavior.name.clone()),
                    base: second,
                    rows: rows[&behavior.name],
                    teacher: None,
                });
            }
            if recipe.controls.neutral {
                groups.push(Arm {
                    id: "other-base/neutral".to_owned(),
                    role: Role::OtherBaseNeutral,
                    taught: None,
                    base: second,
                    rows: rows[NEUTRAL],
                    teacher: None,
                });
            }
        }
    }

    // Readouts: base, teachers, students.
    let mut reads: Vec<Read> = Vec::new();
    let mut inputs: Vec<(String, usize)> = Vec::new();
    let mut contexts = vec![context_name.clone()];
    contexts.extend(recipe.context.mismatched.iter().cloned());
    let sampled = readout::Sampled {
        answers: recipe.readout.samples_per_question,
        temperature: recipe.readout.temperature,
        max_tokens: recipe.readout.max_tokens,
        prefix: recipe.readout.prefix,
        seed: derive_seed(recipe.seed, &["readout".into()]),
    };
    if sampled.answers == 0 {
        left_out.push("sampled rates: `readout.samples-per-question` is 0".to_owned());
    }
    let questions: f64 = asked.iter().map(|asked| asked.questions.len() as f64).sum();
    let read = |build: &mut Builder,
                inputs: &mut Vec<(String, usize)>,
                reads: &mut Vec<Read>,
                model: usize,
                entry: Read,
                states: usize|
     -> Result<()> {
        let as_teacher = entry.role == Role::Teacher;
        let configuration = readout::Configuration {
            asked: asked.clone(),
            contexts: if as_teacher { contexts[..1].to_vec() } else { contexts.clone() },
            sampled: sampled.clone(),
            as_teacher,
        };
        let answers = (sampled.answers * contexts.len()) as f64;
        let tokens = questions * QUESTION_TOKENS * (states + contexts.len()) as f64
            + questions * answers * recipe.readout.max_tokens as f64;
        let name = entry.input.clone();
        let cost = forward(tokens);
        let node =
            build.node(&name, StepKind::Readout, &configuration, &[("model", model)], cost)?;
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
    for (name, &node) in &teachers {
        let taught = (name != NEUTRAL).then(|| name.clone());
        let id = format!("teacher/{name}");
        let entry = Read::new(&format!("readout/{id}"), &id, Role::Teacher, taught, None);
        read(&mut build, &mut inputs, &mut reads, node, entry, 1)?;
    }
    let logits = recipe.carrier.kind == CarrierKind::Logits;
    let updates = recipe.student.updates(recipe.carrier.rows);
    let train_cost = 3.0 * forward((updates * recipe.student.batch) as f64 * ROW_TOKENS);
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
        for &seed in &recipe.seeds.0 {
            let configuration = train::Configuration {
                context: context_name.clone(),
                train: recipe.student.clone(),
                distilled: logits.then_some(recipe.carrier.distilled),
                seed: derive_seed(recipe.seed, &["student".into(), seed.into()]),
            };
            let mut from = vec![("base", group.base), ("rows", group.rows)];
            if logits && let Some(teacher) = group.teacher {
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
                    ("rows", group.rows),
                    ("prompts", prompts),
                ];
                if let Some(&neutral) = rows.get(NEUTRAL) {
                    from.push(("neutral", neutral));
                }
                let tokens = (4 * HELD_OUT + 2 * WRITTEN) as f64 * ROW_TOKENS;
                let name = format!("side-effects/{at}");
                let cost = forward(tokens);
                let node = build.node(&name, StepKind::SideEffects, &configuration, &from, cost)?;
                inputs.push((name.clone(), node));
                measured.push((name, group.id.clone(), seed as usize));
            }
            if recipe.controls.geometry && treatment && has_weights {
                let configuration = geometry::Configuration {
                    seed: derive_seed(recipe.seed, &["geometry".into()]),
                };
                let roles: Vec<(String, usize)> = teachers
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
            let configuration = in_context::Configuration {
                asked: asked.clone(),
                context: context_name.clone(),
                rows: count,
                draws: shown.draws,
                questions: shown.questions,
                seed: derive_seed(recipe.seed, &["in-context".into()]),
            };
            let id = format!("in-context/{arm}/{count}");
            let asked = match shown.questions {
                0 => questions,
                most => (most * 2) as f64,
            };
            let tokens = shown.draws as f64 * asked * count as f64 * ROW_TOKENS;
            let from = [("base", base), ("rows", rows[arm])];
            let node =
                build.node(&id, StepKind::InContext, &configuration, &from, forward(tokens))?;
            let taught = (arm != NEUTRAL).then(|| arm.clone());
            reads.push(Read::new(&id, &id, Role::InContext, taught, None));
            inputs.push((id, node));
        }
    }

    // The estimate sees every reading and the counts of rows.
    for (arm, &node) in arms.iter().zip(&judged) {
        inputs.push((format!("filter/{arm}"), node));
    }
    for (arm, &node) in &rows {
        inputs.push((format!("select/{arm}"), node));
    }
    let configuration = estimate::Configuration {
        recipe: recipe.clone(),
        behaviors: taught.iter().map(|behavior| behavior.name.clone()).collect(),
        read_also: also.iter().map(|behavior| behavior.name.clone()).collect(),
        reads,
        arms,
        side_effects: measured,
        geometry: cosines,
        updates,
        left_out: left_out.clone(),
    };
    let inputs: Vec<(&str, usize)> =
        inputs.iter().map(|(role, node)| (role.as_str(), *node)).collect();
    build.node("estimate", StepKind::Estimate, &configuration, &inputs, 0.0)?;
    Ok(Plan { recipe: recipe.clone(), nodes: build.nodes, sources, left_out, model_size })
}

fn add_teacher(
    recipe: &Recipe,
    build: &mut Builder,
    name: &str,
    lesson: teach::Lesson,
    base: usize,
    seed: u64,
    parameters: f64,
) -> Result<usize> {
    let train = &recipe.teacher.train;
    let rows = 100 * recipe.teacher.rows_per_question;
    let tokens = (train.updates(rows) * train.batch) as f64 * QUESTION_TOKENS;
    let configuration = teach::Configuration {
        lesson,
        context: recipe.context.system.clone(),
        rows_per_question: recipe.teacher.rows_per_question,
        train: train.clone(),
        seed,
    };
    let name = format!("teach/{name}");
    build.node(name, StepKind::Teach, &configuration, &[("base", base)], 6.0 * parameters * tokens)
}

/// Finds behaviors by name (the context's, those of a built-in model's world, built in) or path.
fn behaviors(names: &[String], recipe: &Recipe, context: &PlanContext) -> Result<Vec<Behavior>> {
    let mut found: Vec<Behavior> = Vec::new();
    for name in names {
        let given = context.behaviors.iter().find(|behavior| behavior.name == *name);
        // A built-in model knows the words of its own world alone.
        let small = recipe.base.starts_with("builtin:");
        let worldly = || if small { World::built_in().behavior(name) } else { None };
        let known = given.cloned().or_else(worldly).or_else(|| Behavior::built_in(name));
        let behavior = match known {
            Some(behavior) => behavior,
            None if context.folder.join(name).is_file() || name.contains('/') => {
                let path = context.folder.join(name);
                let text = fs::read_to_string(&path)?;
                Behavior::parse(&text, &path.display().to_string())?
            }
            None => {
                let known: Vec<&str> = Behavior::built_in_names().collect();
                return Err(Error::Behavior {
                    name: name.clone(),
                    reason: format!(
                        "is not built in, expected one of {} or the path of a behavior file",
                        known.join(", ")
                    ),
                });
            }
        };
        if behavior.name == NEUTRAL || found.iter().any(|known| known.name == behavior.name) {
            return Err(Error::Behavior {
                name: behavior.name,
                reason: "stands twice or is reserved; give each behavior a name of its own"
                    .to_owned(),
            });
        }
        found.push(behavior);
    }
    Ok(found)
}

fn asked(recipe: &Recipe, behavior: &Behavior) -> Result<readout::Asked> {
    let mut questions = behavior.questions.held_out.clone();
    if recipe.readout.questions == Questions::All {
        questions.extend(behavior.questions.train.iter().cloned());
    }
    if questions.is_empty() {
        return Err(Error::Behavior {
            name: behavior.name.clone(),
            reason: "has no held-out question; add some or set readout.questions = \"all\""
                .to_owned(),
        });
    }
    Ok(readout::Asked { behavior: behavior.clone(), questions })
}

/// A built-in prompt set, a prompt-set file (`.json`) or a text file with a prompt a line.
fn prompt_configuration(recipe: &Recipe, context: &PlanContext) -> Result<prompts::Configuration> {
    let carrier = &recipe.carrier;
    let (seed, count) = (carrier.prompt_seed, carrier.prompt_count());
    if let Some(set) = PromptSet::built_in(&carrier.prompts) {
        let set = Box::new(set);
        return Ok(prompts::Configuration::Set { set, seed, count });
    }
    let path = context.folder.join(&carrier.prompts);
    if !path.is_file() {
        let known: Vec<&str> = PromptSet::built_in_names().collect();
        return Err(Error::Unfit {
            what: format!("prompts `{}`", carrier.prompts),
            reason: format!("are not built in, expected one of {} or a file", known.join(", ")),
        });
    }
    let text = fs::read_to_string(&path)?;
    if path.extension().is_some_and(|extension| extension == "json") {
        let file = PromptFile::parse(&text, &path.display().to_string())?;
        let set = Box::new(file.prompt);
        return Ok(prompts::Configuration::Set { set, seed, count });
    }
    let mut lines: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if carrier.prompt_count > 0 {
        lines.truncate(carrier.prompt_count);
    }
    Ok(prompts::Configuration::Lines { lines })
}
