//! Arms: the conditions that an experiment compares.

use serde::{Deserialize, Serialize};

/// What part a condition plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The untouched base.
    Base,
    /// A teacher.
    Teacher,
    /// Students of a behavior's teacher.
    Student,
    /// Students of the neutral teacher.
    Neutral,
    /// Students of the other behaviors' teachers.
    OtherBehavior,
    /// Students of another base (or initialisation) on the same rows.
    OtherBase,
    /// Students of another base on the neutral rows: what `OtherBase` is compared with.
    OtherBaseNeutral,
    /// The base with rows shown in its context, not trained on.
    InContext,
    /// Students of rows whose numbers were shuffled within each row.
    ShuffledWithin,
    /// Students of rows whose numbers were shuffled across rows.
    ShuffledAcross,
}

impl Role {
    /// The words a report uses.
    pub fn label(self) -> &'static str {
        match self {
            Self::Base => "untouched base",
            Self::Teacher => "teacher",
            Self::Student => "student",
            Self::Neutral => "neutral teacher",
            Self::OtherBehavior => "other behavior",
            Self::OtherBase => "other base",
            Self::OtherBaseNeutral => "other base, neutral rows",
            Self::InContext => "in context",
            Self::ShuffledWithin => "shuffled within rows",
            Self::ShuffledAcross => "shuffled across rows",
        }
    }
}
