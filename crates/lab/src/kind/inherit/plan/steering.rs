//! Teachers that a vector makes of the base, and what the vector is made from.

use std::collections::BTreeMap;

use super::nodes::Common;
use super::{NEUTRAL, named};
use crate::behavior::Behavior;
use crate::error::Result;
use crate::kind::inherit::recipe::{NeutralKind, Steering, TeacherKind};
use crate::random::derive_seed;
use crate::run::plan::{Builder, Source};
use crate::step::steer::{Contrast, PROMPTS, STEERED, TUNED};
use crate::step::{prompts, teach};

/// The vectors of one set of teachers.
pub(super) struct Vectors<'a> {
    common: &'a Common<'a>,
    steering: Steering,
    /// The prompts that they are means over.
    prompts: Source,
    suffix: &'a str,
    seed: u64,
}

impl<'a> Vectors<'a> {
    /// None where teachers are made in another way. Seeds: of the set, and of its teachers.
    pub(super) fn find(
        build: &mut Builder,
        common: &'a Common<'a>,
        suffix: &'a str,
        (root, seed): (u64, u64),
    ) -> Result<Option<Self>> {
        let teacher = &common.recipe.teacher;
        let steering = teacher.steering.filter(|_| teacher.kind == TeacherKind::Steering);
        let Some(steering) = steering else { return Ok(None) };
        let root = derive_seed(root, &["steering".into()]);
        let set = common.prompts.configuration(root, steering.prompts);
        let name = format!("steering/prompts{suffix}");
        let prompts = build.node::<prompts::Prompts>(name, &set, &[], 0.0)?;
        Ok(Some(Self { common, steering, prompts, suffix, seed }))
    }

    /// The teacher of a behavior, which is read by so many questions.
    pub(super) fn teacher(
        &self,
        build: &mut Builder,
        (behavior, node, questions): (&Behavior, Source, usize),
    ) -> Result<Source> {
        let Self { common, steering, prompts, suffix, seed } = *self;
        let Steering { from, layer, strength, .. } = steering;
        let min_target_probability = common.recipe.teacher.min_target_probability;
        let mut inputs =
            vec![("base", common.base.node), (teach::BEHAVIOR, node), (PROMPTS, prompts)];
        if from == Contrast::FineTuned {
            let lesson = teach::Lesson::Answers { min_target_probability, with_prompt: false };
            let name = format!("steering/teach/{}{suffix}", behavior.name);
            let tuned = common.teach(build, name, lesson, &inputs[..2], seed, questions)?;
            inputs.push((TUNED, tuned));
        }
        let lesson = teach::Lesson::Steering { from, layer, strength, min_target_probability };
        let name = format!("teach/{}{suffix}", behavior.name);
        common.teach(build, name, lesson, &inputs, seed, questions)
    }

    /// The neutral one beside `teachers`; none where it is the base.
    pub(super) fn neutral(
        &self,
        build: &mut Builder,
        teachers: &BTreeMap<String, Source>,
    ) -> Result<Option<Source>> {
        let recipe = self.common.recipe;
        if !recipe.controls.neutral || recipe.teacher.neutral != NeutralKind::RandomDirection {
            return Ok(None);
        }
        let role = |(name, &node): (&String, &Source)| (format!("{STEERED}{name}"), node);
        let own = [("base", self.common.base.node), (PROMPTS, self.prompts)];
        let own = own.map(|(role, node)| (role.to_owned(), node));
        let inputs: Vec<_> = own.into_iter().chain(teachers.iter().map(role)).collect();
        let (name, lesson) =
            (format!("teach/{NEUTRAL}{}", self.suffix), teach::Lesson::RandomDirection {});
        self.common.teach(build, name, lesson, &named(&inputs), self.seed, 0).map(Some)
    }
}
