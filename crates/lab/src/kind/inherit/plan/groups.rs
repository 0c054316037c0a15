//! Groups of students: of taught behaviors, of the neutral teacher, of controls.

use super::left_out::without_other_base;
use super::nodes::{self, Common, Group};
use super::rows::Replicate;
use crate::carrier::Reach;
use crate::error::Result;
use crate::kind::cost::Tokens;
use crate::kind::inherit::recipe::OtherBase;
use crate::kind::models::Models;
use crate::model::spec::Spec;
use crate::model::world::BuiltinModel;
use crate::run::plan::{Builder, PlanContext, Source};
use crate::step::shuffle;
use crate::value::arm::{Arm, NEUTRAL, Taught};

/// What groups are made of.
pub(super) struct Groups<'a> {
    common: &'a Common<'a>,
    replicates: &'a [Replicate],
}

impl<'a> Groups<'a> {
    pub(super) fn new(common: &'a Common<'a>, replicates: &'a [Replicate]) -> Self {
        Self { common, replicates }
    }

    fn rows(&self, writer: &str) -> Vec<Source> {
        self.replicates.iter().map(|replicate| replicate.rows_of(writer)).collect()
    }

    fn teachers(&self, name: &str) -> Vec<Option<Source>> {
        self.replicates.iter().map(|replicate| replicate.writer(name)).collect()
    }

    /// Names of the behaviors whose controls train further students.
    fn controlled(&self) -> impl Iterator<Item = &'a str> {
        let recipe = self.common.recipe;
        let wanted = &recipe.controls.behaviors;
        let taught = self.common.taught.iter().zip(&recipe.behaviors);
        let taught = taught.filter(move |(_, name)| wanted.is_empty() || wanted.contains(name));
        taught.map(|(behavior, _)| behavior.name.as_str())
    }

    /// Students of every teacher's rows.
    pub(super) fn students(&self) -> Vec<Group<'a>> {
        let Common { recipe, base, taught, .. } = *self.common;
        let student = |name: &str| {
            let teacher = Taught::named(name);
            // The untouched base is the neutral teacher where none was trained.
            let instead = Some(base.node);
            let teachers = self.teachers(name).into_iter().map(|own| own.or(instead)).collect();
            let (arm, writer) = (Arm::Student(teacher), name.to_owned());
            Group { arm, base, writer, rows: self.rows(name), teachers }
        };
        let neutral = recipe.controls.neutral.then_some(NEUTRAL);
        taught.iter().map(|behavior| behavior.name.as_str()).chain(neutral).map(student).collect()
    }

    /// Students of shuffled rows.
    pub(super) fn shuffled(&self, build: &mut Builder) -> Result<Vec<Group<'a>>> {
        let Common { recipe, base, .. } = *self.common;
        let mut groups = Vec::new();
        for reach in [Reach::Within, Reach::Across] {
            let shuffled: fn(Taught) -> Arm = match reach {
                Reach::Within => Arm::ShuffledWithin,
                Reach::Across => Arm::ShuffledAcross,
            };
            let names = self.controlled().filter(|_| recipe.controls.shuffled(reach));
            for name in names {
                let arm = shuffled(Taught::named(name));
                let medium = recipe.carrier.medium.clone();
                let configuration =
                    shuffle::Configuration { writer: name.to_owned(), medium, reach };
                let of = |replicate: &Replicate| {
                    let node = format!("shuffle/{arm}{}", replicate.suffix);
                    let inputs = [("rows", replicate.rows_of(name))];
                    build.node::<shuffle::Shuffle>(node, &configuration, &inputs, 0.0)
                };
                let rows = self.replicates.iter().map(of).collect::<Result<_>>()?;
                let (writer, teachers) = (name.to_owned(), self.teachers(name));
                groups.push(Group { arm, base, writer, rows, teachers });
            }
        }
        Ok(groups)
    }

    /// Students of the second base that `spec` names, on the same rows.
    pub(super) fn of_other_base(
        &self,
        build: &mut Builder,
        models: &mut Models,
        (spec, tokens): (Option<&'a Spec>, Tokens),
        context: &PlanContext,
    ) -> Result<Vec<Group<'a>>> {
        let recipe = self.common.recipe;
        let why = without_other_base(recipe, spec.is_some());
        let Some(spec) = spec.filter(|_| why.is_none()) else { return Ok(Vec::new()) };
        let at = "controls.other-base";
        nodes::check_trainable(recipe, at, spec)?;
        let (source, _) = Models::find(spec, context)?;
        let base = models.bind(build, ("other-base", at), spec, source, tokens)?;
        let group = |name: &str| Group {
            arm: Arm::OtherBase(Taught::named(name)),
            base,
            writer: name.to_owned(),
            rows: self.rows(name),
            teachers: vec![None; self.replicates.len()],
        };
        let neutral = recipe.controls.neutral.then_some(NEUTRAL);
        Ok(self.controlled().chain(neutral).map(group).collect())
    }
}

/// The second base: the one that is named, or the other built-in one of a base that is built in.
pub(super) fn other_base(common: &Common<'_>) -> Option<Spec> {
    let controls = &common.recipe.controls;
    let automatic = || {
        let own = BuiltinModel::find(common.recipe.base.here()?.strip_prefix("builtin:")?)?;
        let other = own.others().next().filter(|_| controls.other_base == OtherBase::Auto)?;
        Some(Spec::Here(format!("builtin:{}", other.name)))
    };
    controls.other_base.model().cloned().or_else(automatic)
}
