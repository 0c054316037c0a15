//! What a plan leaves out: a report says so.

use super::nodes::Common;
use crate::ask::LogProbabilities;
use crate::kind::inherit::recipe::{Recipe, Replicated, TeacherKind};
use crate::recipe::{Learn, Support};
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
    let (recipe, can, mut all) = (common.recipe, common.base.can, Vec::new());
    let (controls, taught) = (&recipe.controls, common.taught.len());
    let is_tuned = recipe.teacher.kind == TeacherKind::FineTune;
    let mut say = |is_so: bool, what: &str| all.extend(is_so.then(|| what.to_owned()));
    say(!controls.neutral, "neutral teacher: without it no answer can be given");
    let is_given = recipe.teacher.kind == TeacherKind::Given;
    say(
        is_given,
        "teachers: rows were given, so whether their writers show the behavior is not known, and their luck is in no interval",
    );
    say(
        recipe.replication.teacher == Replicated::Shared && !is_given,
        "teacher luck: one teacher and one set of rows per behavior serve all seeds; set replication.teacher = \"per-seed\" to hold it in the intervals",
    );
    let one = "other-behavior control: one behavior is taught, and without the control there is no verdict; name two or more in `behaviors`";
    say(taught < 2, one);
    say(taught > 1 && !controls.other_behavior, "other-behavior control");
    for (on, control) in [
        (controls.shuffled_within, Control::ShuffledWithin),
        (controls.shuffled_across, Control::ShuffledAcross),
    ] {
        say(!on, &format!("{} control", control.label()));
    }
    let other_base = without_other_base(recipe, has_other_base);
    say(other_base.is_some(), other_base.unwrap_or_default());
    say(common.sampled.answers == 0, "sampled rates: `readout.samples-per-question` is 0");
    say(!controls.untouched_base, "untouched base");
    say(
        recipe.student.learn == Learn::Distributions
            && recipe.student.support == Support::AllTokens,
        "hiding of the target: `student.support = \"all-tokens\"` shows students the teacher's probability of every word, the target's among them",
    );
    say(!controls.side_effects, "side effects");
    say(
        controls.side_effects && !can.weights,
        "held-out loss and ability of students: the API computes no loss of given rows",
    );
    say(!can.weights, "geometry of updates: the weights are behind an endpoint");
    say(can.weights && !controls.geometry, "geometry of updates");
    say(
        can.weights && controls.geometry && !is_tuned,
        "geometry of updates: a teacher that was not trained has no update",
    );
    let has_teachers = !matches!(recipe.teacher.kind, TeacherKind::Given | TeacherKind::Untaught);
    say(
        controls.mechanisms && !has_teachers,
        "hidden states: there is no teacher whose way students could go",
    );
    let is_mute = can.log_probabilities == LogProbabilities::None;
    say(is_mute, "margins: `base.top-logprobs` is 0");
    say(controls.in_context.rows.is_empty(), "in-context control");
    all
}
