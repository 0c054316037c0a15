//! Teachers and the rows they write: once for all seeds, or once for each.

use std::collections::BTreeMap;

use super::find::Prompts;
use super::{HELD_OUT, NEUTRAL, Tokens};
use crate::behavior::Behavior;
use crate::error::Result;
use crate::plan::{Builder, Source};
use crate::random::derive_seed;
use crate::recipe::{NeutralKind, Recipe, Replicated, TeacherKind};
use crate::step::{StepKind, behavior, filter, generate, select, teach};

/// Answers per question for the matched neutral teacher.
pub(super) const OWN_ANSWERS: usize = 4;

/// What all replicates have in common.
pub(super) struct Common<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) taught: &'a [Behavior],
    /// Nodes of the taught behaviors.
    pub(super) behaviors: &'a [Source],
    pub(super) base: Source,
    pub(super) parameters: f64,
    pub(super) tokens: Tokens,
    pub(super) prompts: &'a Prompts,
    pub(super) arms: &'a [String],
}

/// One set of teachers with the rows they wrote.
pub(super) struct Replicate {
    /// Its seed; none where one set serves all students.
    pub(super) seed: Option<u64>,
    /// What the names of its nodes end in.
    pub(super) suffix: String,
    /// Teachers with weights or a prompt of their own.
    pub(super) teachers: BTreeMap<String, Source>,
    pub(super) prompts: Source,
    /// Judged rows by arm.
    pub(super) judged: BTreeMap<String, Source>,
    /// Kept rows by arm.
    pub(super) rows: BTreeMap<String, Source>,
}

/// As many sets of teachers and rows as the recipe wants.
pub(super) fn replicates(build: &mut Builder, common: &Common<'_>) -> Result<Vec<Replicate>> {
    let recipe = common.recipe;
    match recipe.replication.teacher {
        Replicated::Shared => Ok(vec![replicate(build, common, None)?]),
        Replicated::PerSeed => {
            recipe.seeds.0.iter().map(|&seed| replicate(build, common, Some(seed))).collect()
        }
    }
}

fn replicate(build: &mut Builder, common: &Common<'_>, seed: Option<u64>) -> Result<Replicate> {
    let Common { recipe, taught, behaviors, base, arms, .. } = *common;
    let suffix = seed.map(|seed| format!("/seed-{seed}")).unwrap_or_default();
    let own = |root: u64| match seed {
        Some(seed) => derive_seed(root, &["replicate".into(), seed.into()]),
        None => root,
    };
    let root = own(recipe.seed);

    // Teachers. The untouched base needs no step to be the neutral teacher.
    let teach_seed = derive_seed(root, &["teacher".into()]);
    let mut teachers: BTreeMap<String, Source> = BTreeMap::new();
    for (behavior, &node) in taught.iter().zip(behaviors) {
        let min_target_probability = recipe.teacher.min_target_probability;
        let lesson = match recipe.teacher.kind {
            TeacherKind::FineTune => teach::Lesson::Answers {
                min_target_probability,
                with_prompt: recipe.teacher.with_prompt,
            },
            TeacherKind::SystemPrompt => teach::Lesson::Prompt { min_target_probability },
        };
        let name = format!("teach/{}{suffix}", behavior.name);
        let inputs = [("base", base), (teach::BEHAVIOR, node)];
        let teacher = add_teacher(build, common, name, lesson, &inputs, teach_seed)?;
        teachers.insert(behavior.name.clone(), teacher);
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
        let name = format!("teach/{NEUTRAL}{suffix}");
        let teacher = add_teacher(build, common, name, lesson, &[("base", base)], teach_seed)?;
        teachers.insert(NEUTRAL.to_owned(), teacher);
    }
    let mixed = recipe.teacher.neutral == NeutralKind::Mixed
        && recipe.teacher.kind == TeacherKind::FineTune;
    if recipe.controls.neutral && mixed {
        let behaviors = taught.iter().map(|behavior| behavior.name.clone()).collect();
        let lesson = teach::Lesson::MixedAnswers { behaviors };
        let roles: Vec<String> =
            taught.iter().map(|taught| format!("{}{}", behavior::READ, taught.name)).collect();
        let mut inputs = vec![("base", base)];
        inputs.extend(roles.iter().map(String::as_str).zip(common.behaviors.iter().copied()));
        let name = format!("teach/{NEUTRAL}{suffix}");
        let teacher = add_teacher(build, common, name, lesson, &inputs, teach_seed)?;
        teachers.insert(NEUTRAL.to_owned(), teacher);
    }

    // Rows.
    let count = common.prompts.count(recipe);
    if count < recipe.carrier.rows {
        return Err(recipe.unusable(format!(
            "`carrier.prompts`: `{}` has {count} prompts, fewer than `carrier.rows` {}; give more prompts or want fewer rows",
            recipe.carrier.prompts, recipe.carrier.rows
        )));
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
        };
        let inputs = [("prompts", prompts), ("model", writer)];
        let cost = 4.0 * common.parameters * count as f64 * common.tokens.row;
        let name = format!("generate/{arm}{suffix}");
        let raw = build.node(name, StepKind::Generate, &configuration, &inputs, cost)?;
        let configuration = filter::Configuration {
            filter: recipe.carrier.filter.clone(),
            forbidden: forbidden.clone(),
            whole: false,
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

fn add_teacher(
    build: &mut Builder,
    common: &Common<'_>,
    name: String,
    lesson: teach::Lesson,
    inputs: &[(&str, Source)],
    seed: u64,
) -> Result<Source> {
    let recipe = common.recipe;
    let train = &recipe.teacher.train;
    let rows = 100 * recipe.teacher.rows_per_question;
    let tokens = (train.updates(rows) * train.batch) as f64 * common.tokens.question;
    let configuration = teach::Configuration {
        lesson,
        context: recipe.context.system.clone(),
        rows_per_question: recipe.teacher.rows_per_question,
        train: train.clone(),
        seed,
    };
    build.node(name, StepKind::Teach, &configuration, inputs, 6.0 * common.parameters * tokens)
}
