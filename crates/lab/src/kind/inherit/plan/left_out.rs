//! What a plan leaves out: a report says so.

use super::nodes::Common;
use crate::ask::LogProbabilities;
use crate::kind::inherit::recipe::{Recipe, Replicated, TeacherKind};
use crate::recipe::Learn;
use crate::value::arm::Control;

/// Why there are no students of a second base; nothing where there are.
pub(super) fn without_other_base(recipe: &Recipe, is_named: bool) -> Option<&'static str> {
    if !is_named {
        Some("other-base control: no second base is named in `controls.other-base`")
    } else if recipe.student.learn == Learn::Distributions {
        Some("other-base control: distributions are compared within one base")
    } else {
        None
    }
}

/// All of it, a phrase each.
pub(super) fn left_out(common: &Common<'_>, has_other_base: bool) -> Vec<String> {
    let (recipe, can) = (common.recipe, common.base.can);
    let controls = &recipe.controls;
    let shuffled =
        |on: bool, control: Control| (!on).then(|| format!("{} control", control.label()));
    let phrases = [
        (!controls.neutral).then_some("neutral teacher: without it no answer can be given"),
        (recipe.replication.teacher == Replicated::Shared).then_some(
            "teacher luck: one teacher and one set of rows per behavior serve all seeds; set replication.teacher = \"per-seed\" to hold it in the intervals",
        ),
        if common.taught.len() < 2 {
            Some("other-behavior control: one behavior is taught; name two or more in `behaviors`")
        } else {
            (!controls.other_behavior).then_some("other-behavior control")
        },
    ];
    let later = [
        without_other_base(recipe, has_other_base),
        (common.sampled.answers == 0)
            .then_some("sampled rates: `readout.samples-per-question` is 0"),
        (!controls.untouched_base).then_some("untouched base"),
        match (controls.side_effects, can.weights) {
            (false, _) => Some("side effects"),
            (true, false) => Some(
                "held-out loss and ability of students: the API computes no loss of given rows",
            ),
            (true, true) => None,
        },
        match (can.weights, controls.geometry, recipe.teacher.kind) {
            (false, ..) => Some("geometry of updates: the weights are behind an endpoint"),
            (true, false, _) => Some("geometry of updates"),
            (true, true, TeacherKind::SystemPrompt) => {
                Some("geometry of updates: a prompted teacher has no update")
            }
            (true, true, TeacherKind::Untaught) => {
                Some("geometry of updates: a teacher that was not taught has no update")
            }
            (true, true, TeacherKind::FineTune) => None,
        },
        (can.log_probabilities == LogProbabilities::None)
            .then_some("margins: `base.top-logprobs` is 0"),
        controls.in_context.rows.is_empty().then_some("in-context control"),
    ];
    let phrases = phrases.into_iter().flatten().map(str::to_owned);
    phrases
        .chain(shuffled(controls.shuffled_within, Control::ShuffledWithin))
        .chain(shuffled(controls.shuffled_across, Control::ShuffledAcross))
        .chain(later.into_iter().flatten().map(str::to_owned))
        .collect()
}
