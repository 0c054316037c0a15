//! Teachers and the rows they write: once for all seeds, or once for each.

use std::collections::BTreeMap;

use super::nodes::Common;
use super::{HELD_OUT, NEUTRAL, named};
use crate::behavior::Behavior;
use crate::error::Result;
use crate::kind::inherit::recipe::{NeutralKind, Replicated, TeacherKind};
use crate::random::derive_seed;
use crate::run::plan::{Builder, Source};
use crate::step::{filter, prompts, select, teach};

/// Answers per question for the matched neutral teacher.
const OWN_ANSWERS: usize = 4;

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
    /// Kept rows of all arms.
    pub(super) rows: Source,
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
    let Common { recipe, taught, base, .. } = *common;
    let base = base.node;
    let behaviors = &common.behaviors[..taught.len()];
    let suffix = seed.map(|seed| format!("/seed-{seed}")).unwrap_or_default();
    let own = |root: u64| match seed {
        Some(seed) => derive_seed(root, &["replicate".into(), seed.into()]),
        None => root,
    };
    let root = own(recipe.seed);

    // Teachers. The untouched base needs no step to be the neutral teacher.
    let teach_seed = derive_seed(root, &["teacher".into()]);
    let mut teachers: BTreeMap<String, Source> = BTreeMap::new();
    for ((behavior, &node), &questions) in taught.iter().zip(behaviors).zip(&common.questions) {
        let min_target_probability = recipe.teacher.min_target_probability;
        let lesson = match recipe.teacher.kind {
            TeacherKind::Untaught => continue,
            TeacherKind::FineTune => teach::Lesson::Answers {
                min_target_probability,
                with_prompt: recipe.teacher.with_prompt,
            },
            TeacherKind::SystemPrompt => teach::Lesson::Prompt { min_target_probability },
        };
        let name = format!("teach/{}{suffix}", behavior.name);
        let inputs = [("base", base), (teach::BEHAVIOR, node)];
        let teacher = common.teach(build, name, lesson, &inputs, teach_seed, questions)?;
        teachers.insert(behavior.name.clone(), teacher);
    }
    let matched = recipe.teacher.neutral == NeutralKind::Matched
        && recipe.teacher.kind != TeacherKind::SystemPrompt;
    if recipe.controls.neutral && matched {
        let mut questions: Vec<String> = Vec::new();
        let mut openings = BTreeMap::new();
        for behavior in taught {
            let opening = behavior.opening_in(recipe.matched_frame())?;
            for question in &behavior.questions.train {
                if !questions.contains(question) {
                    questions.push(question.clone());
                }
                if !opening.is_empty() {
                    openings.insert(question.clone(), opening.to_owned());
                }
            }
        }
        let lesson = teach::Lesson::OwnAnswers { questions, answers: OWN_ANSWERS, openings };
        let name = format!("teach/{NEUTRAL}{suffix}");
        let teacher = common.teach(build, name, lesson, &[("base", base)], teach_seed, 0)?;
        teachers.insert(NEUTRAL.to_owned(), teacher);
    }
    let mixed = recipe.teacher.neutral == NeutralKind::Mixed
        && recipe.teacher.kind != TeacherKind::SystemPrompt;
    if recipe.controls.neutral && mixed {
        let names = taught.iter().map(|behavior| behavior.name.clone()).collect();
        let lesson = teach::Lesson::MixedAnswers { behaviors: names };
        let mut inputs = vec![("base", base)];
        inputs.extend(common.roles.iter().map(String::as_str).zip(behaviors.iter().copied()));
        let name = format!("teach/{NEUTRAL}{suffix}");
        let teacher = common.teach(build, name, lesson, &inputs, teach_seed, 0)?;
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
    let prompts = build.node::<prompts::Prompts>(format!("prompts{suffix}"), &set, &[], 0.0)?;
    let forbidden: Vec<String> = taught.iter().flat_map(Behavior::forbidden_words).collect();
    let mut judged = BTreeMap::new();
    for arm in &common.arms {
        // A teacher that was not taught is the neutral one.
        let writer = teachers.get(arm).or_else(|| teachers.get(NEUTRAL)).copied().unwrap_or(base);
        let name = format!("generate/{arm}{suffix}");
        let raw = common.generate(build, name, arm, [prompts, writer], count, root)?;
        let configuration = filter::Configuration {
            medium: recipe.carrier.medium.clone(),
            forbidden: forbidden.clone(),
            whole: common.whole_rows,
        };
        let name = format!("filter/{arm}{suffix}");
        let node = build.node::<filter::Filter>(name, &configuration, &[("rows", raw)], 0.0)?;
        judged.insert(arm.clone(), node);
    }
    let roles: Vec<(String, Source)> =
        judged.iter().map(|(arm, &node)| (format!("{}{arm}", select::ARM), node)).collect();
    let inputs = named(&roles);
    let configuration = select::Configuration {
        join: recipe.carrier.join,
        rows: recipe.carrier.rows,
        held_out: HELD_OUT,
        min_valid: recipe.carrier.stop_below_valid_rate,
    };
    let name = format!("select{suffix}");
    let rows = build.node::<select::Select>(name, &configuration, &inputs, 0.0)?;
    Ok(Replicate { seed, suffix, teachers, prompts, judged, rows })
}
