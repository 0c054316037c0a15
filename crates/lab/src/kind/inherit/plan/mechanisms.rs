//! Where hidden states moved: the steps that read it.

use super::named;
use super::nodes::{Common, Group};
use super::rows::Replicate;
use crate::behavior::Kind;
use crate::error::Result;
use crate::kind::cost::Reading;
use crate::kind::models::Bound;
use crate::random::derive_seed;
use crate::run::plan::{Builder, Source};
use crate::step::{intervene, mechanisms};
use crate::value::arm::Arm;

/// So many questions, read and not answered.
fn once(questions: usize) -> Reading {
    Reading { questions, contexts: 1, frames: 1, orders: 1, states: 0, answers: 0, max_tokens: 0 }
}

impl Common<'_> {
    /// Where a student's hidden state moved, beside its teachers'; none where nobody asks for it or sees inside.
    pub(super) fn mechanisms(
        &self,
        build: &mut Builder,
        name: &str,
        (student, own): (Source, &Bound<'_>),
        replicate: &Replicate,
    ) -> Result<Option<Source>> {
        let (recipe, base) = (self.recipe, &self.base);
        if !recipe.controls.mechanisms || !own.can.weights || replicate.teachers.is_empty() {
            return Ok(None);
        }
        let asked: Vec<String> = self.taught.iter().map(|one| one.name.clone()).collect();
        let mut from = self.with_asked(&[("base", base.node), ("student", student)]);
        from.truncate(2 + asked.len());
        if own.node != base.node {
            from.push((mechanisms::OWN_BASE.to_owned(), own.node));
        }
        let teachers = asked.iter().filter_map(|name| Some((name, *replicate.teachers.get(name)?)));
        from.extend(teachers.map(|(name, node)| (format!("{}{name}", mechanisms::TEACHER), node)));
        let (context, frame) = (recipe.context.system.clone(), recipe.matched_frame());
        let questions = 4 * self.questions[..asked.len()].iter().sum::<usize>();
        let configuration = mechanisms::Configuration { asked, context, frame };
        let cost = base.pace.read(once(questions));
        build.node::<mechanisms::Mechanisms>(name, &configuration, &named(&from), cost).map(Some)
    }

    /// A student without its shift along its teacher's, and the base with it; none where it is of no taught behavior.
    pub(super) fn intervene(
        &self,
        build: &mut Builder,
        name: &str,
        student: Source,
        (group, replicate): (&Group<'_>, &Replicate),
        seed: u64,
    ) -> Result<Option<Source>> {
        let recipe = self.recipe;
        let of = self.taught.iter().position(|one| group.arm == Arm::student(&one.name));
        let teacher = of.and_then(|of| replicate.teachers.get(&self.taught[of].name));
        let (Some(of), Some(&teacher), true) = (of, teacher, recipe.controls.mechanisms) else {
            return Ok(None);
        };
        if self.taught[of].kind == Kind::Judged {
            return Ok(None);
        }
        let configuration = intervene::Configuration {
            behavior: self.taught[of].name.clone(),
            context: recipe.context.system.clone(),
            frame: recipe.matched_frame(),
            seed: derive_seed(recipe.seed, &["intervene".into(), seed.into()]),
        };
        let from = [
            ("base", self.base.node),
            ("student", student),
            ("teacher", teacher),
            (self.roles[of].as_str(), self.behaviors[of]),
        ];
        // Three models' streams, six readings.
        let cost = self.base.pace.read(once(9 * self.questions[of]));
        build.node::<intervene::Intervene>(name, &configuration, &from, cost).map(Some)
    }
}
