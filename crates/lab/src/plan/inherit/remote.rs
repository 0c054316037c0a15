//! The graph of an `inherit` recipe whose base is behind an endpoint: the same experiment by steps that
//! ask. Prompts, filters, shuffles and the estimate are the local ones.

use std::collections::BTreeMap;

use super::find::{self, Prompts};
use super::rows::OWN_ANSWERS;
use super::{HELD_OUT, NEUTRAL, PREFIX_SEED, WRITTEN};
use crate::behavior::Behavior;
use crate::error::{Error, Result};
use crate::estimate::{self, Read};
use crate::plan::{Builder, Outline, PlanContext, Source};
use crate::random::derive_seed;
use crate::recipe::{Decoding, Endpoint, NeutralKind, Recipe, Replicated, TeacherKind};
use crate::result::Role;
use crate::step::readout::Sampled;
use crate::step::remote::{base, generate, in_context, readout, side_effects, teach, train};
use crate::step::teach::{BEHAVIOR, Lesson};
use crate::step::{StepKind, behavior, filter, select, shuffle};

/// Seconds of one answer and of one job, until some were seen: near enough to tell minutes from days.
const ANSWER_SECONDS: f64 = 0.5;
const JOB_SECONDS: f64 = 30.0;
/// What a plan counts for a second, before it knows better.
const WORK_PER_SECOND: f64 = 5e10;

/// One set of teachers with the rows they wrote.
struct Replicate {
    seed: Option<u64>,
    suffix: String,
    teachers: BTreeMap<String, Source>,
    prompts: Source,
    judged: BTreeMap<String, Source>,
    rows: BTreeMap<String, Source>,
}

/// What all parts of the plan have in common.
struct Common<'a> {
    recipe: &'a Recipe,
    endpoint: &'a Endpoint,
    taught: &'a [Behavior],
    /// Nodes of the taught behaviors.
    behaviors: &'a [Source],
    base: Source,
    prompts: &'a Prompts,
    arms: &'a [String],
    sampled: &'a Sampled,
    /// Questions that each taught behavior is read by.
    questions: &'a [usize],
}

impl Common<'_> {
    fn answers(&self, count: usize) -> f64 {
        let seconds = count as f64 * ANSWER_SECONDS / self.endpoint.requests_at_once as f64;
        seconds * WORK_PER_SECOND
    }
}

/// A group of students with what they are trained on.
struct Arm {
    id: String,
    role: Role,
    taught: Option<String>,
    rows: Vec<Source>,
}

pub(super) fn plan(recipe: &Recipe, endpoint: &Endpoint, context: &PlanContext) -> Result<Outline> {
    let mut left_out = Vec::new();
    let mut build = Builder::default();
    let configuration =
        base::Configuration { endpoint: endpoint.endpoint.clone(), model: endpoint.model.clone() };
    let base = build.node("base", StepKind::RemoteBase, &configuration, &[], 0.0)?;
    let taught = find::behaviors(&recipe.behaviors, None, context)?;
    let also = find::behaviors(&recipe.read_also, None, context)?;
    let prompted = recipe.teacher.kind == TeacherKind::SystemPrompt || recipe.teacher.with_prompt;
    for behavior in taught.iter().filter(|_| prompted) {
        if behavior.teacher.system_prompt.trim().is_empty() {
            return Err(Error::Behavior {
                name: behavior.name.clone(),
                reason: "has no system prompt; set teacher.kind = \"fine-tune\" (without teacher.with-prompt) or write one into a behavior file".to_owned(),
            });
        }
    }
    let mut nodes = Vec::new();
    let mut questions = Vec::new();
    for behavior in taught.iter().chain(&also) {
        let (count, node) = find::asked(&mut build, recipe, behavior)?;
        questions.push(count);
        nodes.push(node);
    }
    let asked: Vec<String> =
        taught.iter().chain(&also).map(|behavior| behavior.name.clone()).collect();
    let roles: Vec<String> = asked.iter().map(|name| format!("{}{name}", behavior::READ)).collect();
    let with_asked = |first: &[(&'static str, Source)]| -> Vec<(String, Source)> {
        let first = first.iter().map(|&(role, source)| (role.to_owned(), source));
        first.chain(roles.iter().cloned().zip(nodes.iter().copied())).collect()
    };
    let sampled = Sampled {
        answers: recipe.readout.samples_per_question,
        temperature: recipe.readout.temperature,
        max_tokens: recipe.readout.max_tokens,
        seed: derive_seed(recipe.seed, &["readout".into()]),
    };

    // Teachers and rows.
    let prompts = Prompts::find(recipe, context)?;
    let mut arms: Vec<String> = taught.iter().map(|behavior| behavior.name.clone()).collect();
    if recipe.controls.neutral {
        arms.push(NEUTRAL.to_owned());
    } else {
        left_out.push("neutral teacher: without it no answer can be given".to_owned());
    }
    let common = Common {
        recipe,
        endpoint,
        taught: &taught,
        behaviors: &nodes[..taught.len()],
        base,
        prompts: &prompts,
        arms: &arms,
        sampled: &sampled,
        questions: &questions[..taught.len()],
    };
    let replicates = match recipe.replication.teacher {
        Replicated::Shared => {
            left_out.push(
                "teacher luck: one teacher and one set of rows per behavior serve all seeds; set replication.teacher = \"per-seed\" to hold it in the intervals"
                    .to_owned(),
            );
            vec![replicate(&mut build, &common, None)?]
        }
        Replicated::PerSeed => recipe
            .seeds
            .0
            .iter()
            .map(|&seed| replicate(&mut build, &common, Some(seed)))
            .collect::<Result<_>>()?,
    };
    let of_seed = |place: usize| if replicates.len() == 1 { 0 } else { place };
    let rows = |arm: &str| -> Vec<Source> {
        replicates.iter().map(|replicate| replicate.rows[arm]).collect()
    };

    // Students.
    let mut groups: Vec<Arm> = taught
        .iter()
        .map(|behavior| Arm {
            id: format!("student/{}", behavior.name),
            role: Role::Student,
            taught: Some(behavior.name.clone()),
            rows: rows(&behavior.name),
        })
        .collect();
    if recipe.controls.neutral {
        let (id, role) = (NEUTRAL.to_owned(), Role::Neutral);
        groups.push(Arm { id, role, taught: None, rows: rows(NEUTRAL) });
    }
    if taught.len() < 2 {
        left_out.push(
            "other-behavior control: one behavior is taught; name two or more in `behaviors`"
                .to_owned(),
        );
    } else if !recipe.controls.other_behavior {
        left_out.push("other-behavior control".to_owned());
    }
    groups.extend(shuffled(&mut build, &common, &replicates, &mut left_out)?);
    left_out.push("other-base control: the base is behind an endpoint".to_owned());

    // Readouts: base, teachers, students.
    let mut reads: Vec<Read> = Vec::new();
    let mut inputs: Vec<(String, Source)> = Vec::new();
    let mut contexts = vec![recipe.context.system.clone()];
    contexts.extend(recipe.context.mismatched.iter().cloned());
    let longest = questions.iter().copied().max().unwrap_or(0);
    let all_questions: usize = questions.iter().sum();
    let (prefixes, variants) = if recipe.readout.prefix {
        (prompts.prefixes(PREFIX_SEED, longest), 2)
    } else {
        (Vec::new(), 1)
    };
    let read = |build: &mut Builder,
                inputs: &mut Vec<(String, Source)>,
                reads: &mut Vec<Read>,
                model: Source,
                entry: Read|
     -> Result<()> {
        let as_teacher = entry.role == Role::Teacher;
        let configuration = readout::Configuration {
            asked: asked.clone(),
            prefixes: prefixes.clone(),
            contexts: if as_teacher { contexts[..1].to_vec() } else { contexts.clone() },
            sampled: sampled.clone(),
            as_teacher,
            top_logprobs: endpoint.top_logprobs,
        };
        let name = entry.input.clone();
        let count = all_questions * variants * contexts.len() * (sampled.answers + 1);
        let from = with_asked(&[("model", model)]);
        let from: Vec<(&str, Source)> =
            from.iter().map(|(role, at)| (role.as_str(), *at)).collect();
        let cost = common.answers(count);
        let node = build.node(&name, StepKind::RemoteReadout, &configuration, &from, cost)?;
        inputs.push((name, node));
        reads.push(entry);
        Ok(())
    };
    if recipe.controls.untouched_base {
        let entry = Read::new("readout/base", "base", Role::Base, None, None);
        read(&mut build, &mut inputs, &mut reads, base, entry)?;
    } else {
        left_out.push("untouched base".to_owned());
    }
    for Replicate { teachers, suffix, seed, .. } in &replicates {
        for (name, &node) in teachers {
            let taught = (name != NEUTRAL).then(|| name.clone());
            let id = format!("teacher/{name}");
            let input = format!("readout/{id}{suffix}");
            let entry = Read::new(&input, &id, Role::Teacher, taught, *seed);
            read(&mut build, &mut inputs, &mut reads, node, entry)?;
        }
    }
    let mut measured: Vec<(String, String, usize)> = Vec::new();
    for group in &groups {
        for (place, &seed) in recipe.seeds.0.iter().enumerate() {
            let own_rows = group.rows[of_seed(place)];
            let configuration = train::Configuration {
                context: recipe.context.system.clone(),
                epochs: recipe.student.epochs as usize,
                batch: recipe.student.batch,
                learning_rate_multiplier: endpoint.learning_rate_multiplier.student,
                seed: derive_seed(recipe.seed, &["student".into(), seed.into()]),
            };
            let at = format!("{}/seed-{seed}", group.id);
            let student = build.node(
                format!("train/{at}"),
                StepKind::RemoteTrain,
                &configuration,
                &[("base", base), ("rows", own_rows)],
                JOB_SECONDS * WORK_PER_SECOND,
            )?;
            let (role, taught) = (group.role, group.taught.clone());
            let entry = Read::new(&format!("readout/{at}"), &group.id, role, taught, Some(seed));
            read(&mut build, &mut inputs, &mut reads, student, entry)?;
            let treatment = matches!(group.role, Role::Student | Role::Neutral);
            if recipe.controls.side_effects && treatment {
                let configuration = side_effects::Configuration {
                    generate: generate::Configuration {
                        arm: "written".to_owned(),
                        context: recipe.context.system.clone(),
                        decoding: Decoding::Free { temperature: 1.0, top_p: 1.0 },
                        max_tokens: recipe.carrier.max_tokens,
                        seed: derive_seed(recipe.seed, &["written".into()]),
                        logprobs: false,
                    },
                    rows: WRITTEN.min(prompts.count(recipe)),
                    filter: recipe.carrier.filter.clone(),
                };
                let prompts = replicates[of_seed(place)].prompts;
                let from = [("student", student), ("prompts", prompts)];
                let name = format!("side-effects/{at}");
                let kind = StepKind::RemoteSideEffects;
                let cost = common.answers(WRITTEN);
                let node = build.node(&name, kind, &configuration, &from, cost)?;
                inputs.push((name.clone(), node));
                measured.push((name, group.id.clone(), seed as usize));
            }
        }
    }
    if recipe.controls.side_effects {
        left_out.push(
            "held-out loss and ability of students: the API computes no loss of given rows"
                .to_owned(),
        );
    } else {
        left_out.push("side effects".to_owned());
    }
    left_out.push("geometry of updates: the weights are behind an endpoint".to_owned());
    if endpoint.top_logprobs == 0 {
        left_out.push("margins: `base.top-logprobs` is 0".to_owned());
    }

    // Rows shown instead of trained on.
    let shown = &recipe.controls.in_context;
    if shown.rows.is_empty() {
        left_out.push("in-context control".to_owned());
    }
    let mut shown_arms: Vec<&str> = taught.iter().map(|behavior| behavior.name.as_str()).collect();
    shown_arms.extend(recipe.controls.neutral.then_some(NEUTRAL));
    for &count in &shown.rows {
        for &arm in &shown_arms {
            let id = format!("in-context/{arm}/{count}");
            for Replicate { rows, suffix, .. } in &replicates {
                let configuration = in_context::Configuration {
                    asked: asked.clone(),
                    context: recipe.context.system.clone(),
                    rows: count,
                    draws: shown.draws,
                    questions: shown.questions,
                    seed: derive_seed(recipe.seed, &["in-context".into()]),
                    sampled: sampled.clone(),
                };
                let from = with_asked(&[("base", base), ("rows", rows[arm])]);
                let from: Vec<(&str, Source)> =
                    from.iter().map(|(role, at)| (role.as_str(), *at)).collect();
                let name = format!("{id}{suffix}");
                let most = if shown.questions == 0 { longest } else { shown.questions };
                let cost = common.answers(most * asked.len() * shown.draws * sampled.answers);
                let kind = StepKind::RemoteInContext;
                let node = build.node(&name, kind, &configuration, &from, cost)?;
                let taught = (arm != NEUTRAL).then(|| arm.to_owned());
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
    let mut named = recipe.clone();
    named.base = recipe.base.without_limits();
    let configuration = estimate::Configuration {
        recipe: named,
        behaviors: taught.iter().map(|behavior| behavior.name.clone()).collect(),
        read_also: also.iter().map(|behavior| behavior.name.clone()).collect(),
        reads,
        arms: arms.clone(),
        counted,
        side_effects: measured,
        geometry: Vec::new(),
        updates: recipe.student.updates(recipe.carrier.rows),
        left_out: left_out.clone(),
    };
    let inputs: Vec<(&str, Source)> =
        inputs.iter().map(|(role, node)| (role.as_str(), *node)).collect();
    build.node("estimate", StepKind::Estimate, &configuration, &inputs, 0.0)?;
    Ok(Outline { nodes: build.nodes, sources: BTreeMap::new(), left_out, model_size: 0 })
}

/// The controls whose rows are shuffled.
fn shuffled(
    build: &mut Builder,
    common: &Common<'_>,
    replicates: &[Replicate],
    left_out: &mut Vec<String>,
) -> Result<Vec<Arm>> {
    let Common { recipe, taught, .. } = *common;
    let controls = &recipe.controls;
    let mut groups = Vec::new();
    for (on, role, reach, kind) in [
        (controls.shuffled_within, Role::ShuffledWithin, shuffle::Reach::Within, "shuffled-within"),
        (controls.shuffled_across, Role::ShuffledAcross, shuffle::Reach::Across, "shuffled-across"),
    ] {
        if !on {
            left_out.push(format!("{} control", role.label()));
            continue;
        }
        for (behavior, given) in taught.iter().zip(&recipe.behaviors) {
            let name = &behavior.name;
            if !controls.behaviors.is_empty() && !controls.behaviors.contains(given) {
                continue;
            }
            let configuration = shuffle::Configuration { reach };
            let mut rows = Vec::new();
            for replicate in replicates {
                let inputs = [("rows", replicate.rows[name])];
                let node = format!("shuffle/{kind}/{name}{}", replicate.suffix);
                rows.push(build.node(node, StepKind::Shuffle, &configuration, &inputs, 0.0)?);
            }
            let (id, taught) = (format!("{kind}/{name}"), Some(name.clone()));
            groups.push(Arm { id, role, taught, rows });
        }
    }
    Ok(groups)
}

/// Teachers and the rows they write.
fn replicate(build: &mut Builder, common: &Common<'_>, seed: Option<u64>) -> Result<Replicate> {
    let Common { recipe, endpoint, taught, behaviors, base, arms, .. } = *common;
    let suffix = seed.map(|seed| format!("/seed-{seed}")).unwrap_or_default();
    let own = |root: u64| match seed {
        Some(seed) => derive_seed(root, &["replicate".into(), seed.into()]),
        None => root,
    };
    let root = own(recipe.seed);
    let teach_seed = derive_seed(root, &["teacher".into()]);
    let min_target_probability = recipe.teacher.min_target_probability;
    let configuration = |lesson: Lesson| teach::Configuration {
        lesson,
        context: recipe.context.system.clone(),
        rows_per_question: recipe.teacher.rows_per_question,
        epochs: recipe.teacher.train.epochs as usize,
        batch: recipe.teacher.train.batch,
        learning_rate_multiplier: endpoint.learning_rate_multiplier.teacher,
        seed: teach_seed,
        sampled: common.sampled.clone(),
    };
    let mut teachers: BTreeMap<String, Source> = BTreeMap::new();
    for ((behavior, &node), &questions) in taught.iter().zip(behaviors).zip(common.questions) {
        let (lesson, job) = match recipe.teacher.kind {
            TeacherKind::FineTune => {
                let with_prompt = recipe.teacher.with_prompt;
                (Lesson::Answers { min_target_probability, with_prompt }, JOB_SECONDS)
            }
            TeacherKind::SystemPrompt => (Lesson::Prompt { min_target_probability }, 0.0),
        };
        let cost = job * WORK_PER_SECOND + common.answers(questions * common.sampled.answers);
        let name = format!("teach/{}{suffix}", behavior.name);
        let inputs = [("base", base), (BEHAVIOR, node)];
        let kind = StepKind::RemoteTeach;
        let teacher = build.node(name, kind, &configuration(lesson), &inputs, cost)?;
        teachers.insert(behavior.name.clone(), teacher);
    }
    if let Some((lesson, inputs)) = neutral_lesson(common) {
        let inputs: Vec<(&str, Source)> =
            inputs.iter().map(|(role, at)| (role.as_str(), *at)).collect();
        let name = format!("teach/{NEUTRAL}{suffix}");
        let (kind, cost) = (StepKind::RemoteTeach, JOB_SECONDS * WORK_PER_SECOND);
        let teacher = build.node(name, kind, &configuration(lesson), &inputs, cost)?;
        teachers.insert(NEUTRAL.to_owned(), teacher);
    }

    // Rows.
    let count = common.prompts.count(recipe);
    if count < recipe.carrier.rows {
        return Err(Error::Unfit {
            what: format!("prompts `{}`", recipe.carrier.prompts),
            reason: format!(
                "has {count} prompts, fewer than `carrier.rows` {}; give more prompts or want fewer rows",
                recipe.carrier.rows
            ),
        });
    }
    let set = common.prompts.configuration(own(recipe.carrier.prompt_seed), count);
    let prompts = build.node(format!("prompts{suffix}"), StepKind::Prompts, &set, &[], 0.0)?;
    let forbidden: Vec<String> = taught.iter().flat_map(Behavior::forbidden_words).collect();
    let mut judged = BTreeMap::new();
    for arm in arms {
        let writer = teachers.get(arm).copied().unwrap_or(base);
        let configuration = generate::Configuration {
            arm: arm.clone(),
            context: recipe.context.system.clone(),
            decoding: recipe.carrier.decoding.clone(),
            max_tokens: recipe.carrier.max_tokens,
            seed: derive_seed(root, &["rows".into()]),
            logprobs: endpoint.top_logprobs > 0,
        };
        let inputs = [("prompts", prompts), ("model", writer)];
        let name = format!("generate/{arm}{suffix}");
        let (kind, cost) = (StepKind::RemoteGenerate, common.answers(count));
        let raw = build.node(name, kind, &configuration, &inputs, cost)?;
        let configuration = filter::Configuration {
            filter: recipe.carrier.filter.clone(),
            forbidden: forbidden.clone(),
            whole: true,
        };
        let name = format!("filter/{arm}{suffix}");
        let node = build.node(name, StepKind::Filter, &configuration, &[("rows", raw)], 0.0)?;
        judged.insert(arm.clone(), node);
    }
    let roles: Vec<(String, Source)> =
        judged.iter().map(|(arm, &node)| (format!("{}{arm}", select::ARM), node)).collect();
    let inputs: Vec<(&str, Source)> =
        roles.iter().map(|(role, node)| (role.as_str(), *node)).collect();
    let mut rows: BTreeMap<String, Source> = BTreeMap::new();
    for arm in arms {
        let configuration = select::Configuration {
            arm: arm.clone(),
            join: recipe.carrier.join,
            rows: recipe.carrier.rows,
            held_out: HELD_OUT,
            min_valid: recipe.carrier.min_valid,
        };
        let name = format!("select/{arm}{suffix}");
        rows.insert(arm.clone(), build.node(name, StepKind::Select, &configuration, &inputs, 0.0)?);
    }
    Ok(Replicate { seed, suffix, teachers, prompts, judged, rows })
}

/// What a neutral teacher that is trained is taught, and from what.
fn neutral_lesson(common: &Common<'_>) -> Option<(Lesson, Vec<(String, Source)>)> {
    let Common { recipe, taught, behaviors, base, .. } = *common;
    let trained = recipe.controls.neutral && recipe.teacher.kind == TeacherKind::FineTune;
    let mut inputs = vec![("base".to_owned(), base)];
    match recipe.teacher.neutral {
        _ if !trained => None,
        NeutralKind::Base => None,
        NeutralKind::Matched => {
            let mut questions: Vec<String> = Vec::new();
            for question in taught.iter().flat_map(|behavior| &behavior.questions.train) {
                if !questions.contains(question) {
                    questions.push(question.clone());
                }
            }
            Some((Lesson::OwnAnswers { questions, answers: OWN_ANSWERS }, inputs))
        }
        NeutralKind::Mixed => {
            let names: Vec<String> = taught.iter().map(|behavior| behavior.name.clone()).collect();
            let roles = names.iter().map(|name| format!("{}{name}", behavior::READ));
            inputs.extend(roles.zip(behaviors.iter().copied()));
            Some((Lesson::MixedAnswers { behaviors: names }, inputs))
        }
    }
}
