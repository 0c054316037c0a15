//! Arms: the conditions that an experiment compares, and the controls among them.
//!
//! An arm is a value; [`Arm::fmt`] spells it in files and [`Arm::from_str`] reads it back. A new arm is one
//! variant, and the compiler names each place that must say something of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// How the arms and rows of the neutral teacher are spelled.
pub const NEUTRAL: &str = "neutral";

/// Whose rows: those of a behavior's teacher, or the neutral one's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taught {
    /// The teacher with this behavior.
    Behavior(String),
    /// The teacher with none.
    Neutral,
}

impl Taught {
    /// By its name: a behavior, or `neutral`.
    pub fn named(name: &str) -> Self {
        if name == NEUTRAL { Self::Neutral } else { Self::Behavior(name.to_owned()) }
    }

    /// Its name: the behavior, or `neutral`.
    pub fn name(&self) -> &str {
        match self {
            Self::Behavior(behavior) => behavior,
            Self::Neutral => NEUTRAL,
        }
    }

    /// Its behavior, where it has one.
    pub fn behavior(&self) -> Option<&str> {
        match self {
            Self::Behavior(behavior) => Some(behavior),
            Self::Neutral => None,
        }
    }
}

/// A group of models (one per seed, or a single one) that is compared with others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Arm {
    /// The untouched base.
    Base,
    /// A teacher.
    Teacher(Taught),
    /// Students of a teacher's rows.
    Student(Taught),
    /// Students of rows whose numbers were shuffled within each row.
    ShuffledWithin(Taught),
    /// Students of rows whose numbers were shuffled across rows.
    ShuffledAcross(Taught),
    /// Students of another base (or initialisation) on the same rows.
    OtherBase(Taught),
    /// The base with rows shown in its context, not trained on.
    InContext {
        /// Whose rows.
        of: Taught,
        /// How many.
        rows: usize,
    },
}

/// What an arm is when one behavior is asked about: decides how it is drawn.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    VariantArray,
    IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Part {
    /// The students of the behavior's own teacher.
    Treatment,
    /// A control.
    Control,
    /// The untouched base or a teacher: where things started.
    Reference,
}

impl Part {
    /// All of them.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The character that stands for it, in the shape it is drawn in.
    pub fn sign(self) -> char {
        match self {
            Self::Treatment => '●',
            Self::Control => '■',
            Self::Reference => '◆',
        }
    }

    /// One word, as style sheets and figures name it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Arm {
    /// Students of the teacher with this behavior.
    pub fn student(behavior: &str) -> Self {
        Self::Student(Taught::named(behavior))
    }

    /// Students of the neutral teacher.
    pub const NEUTRAL: Self = Self::Student(Taught::Neutral);

    /// Whose rows its models saw; for a teacher, itself.
    pub fn teacher(&self) -> Option<&Taught> {
        match self {
            Self::Base => None,
            Self::Teacher(teacher)
            | Self::Student(teacher)
            | Self::ShuffledWithin(teacher)
            | Self::ShuffledAcross(teacher)
            | Self::OtherBase(teacher)
            | Self::InContext { of: teacher, .. } => Some(teacher),
        }
    }

    /// The behavior whose teacher wrote its rows, where there is one.
    pub fn taught(&self) -> Option<&str> {
        self.teacher()?.behavior()
    }

    /// What a person reads.
    pub fn label(&self) -> String {
        let control = |control: Control, teacher: &Taught| match teacher {
            Taught::Behavior(behavior) => format!("{}, {behavior}", control.label()),
            Taught::Neutral => format!("{}, neutral rows", control.label()),
        };
        match self {
            Self::Base => Control::Base.label().to_owned(),
            Self::Teacher(teacher) => format!("{} teacher", teacher.name()),
            Self::Student(teacher) => format!("students of the {} teacher", teacher.name()),
            Self::ShuffledWithin(teacher) => control(Control::ShuffledWithin, teacher),
            Self::ShuffledAcross(teacher) => control(Control::ShuffledAcross, teacher),
            Self::OtherBase(teacher) => control(Control::OtherBase, teacher),
            Self::InContext { of, rows } => format!("base shown {rows} {} rows", of.name()),
        }
    }

    /// What it is when `behavior` is asked about.
    pub fn part(&self, behavior: &str) -> Part {
        match self {
            Self::Student(Taught::Behavior(taught)) if taught == behavior => Part::Treatment,
            Self::Base | Self::Teacher(_) => Part::Reference,
            Self::Student(_)
            | Self::ShuffledWithin(_)
            | Self::ShuffledAcross(_)
            | Self::OtherBase(_)
            | Self::InContext { .. } => Part::Control,
        }
    }

    /// Whether it says something about `behavior`: all students do, others where they were taught it or
    /// nothing.
    pub fn concerns(&self, behavior: &str) -> bool {
        matches!(self, Self::Student(_)) || self.taught().is_none_or(|taught| taught == behavior)
    }

    /// What is repeated in it: the unit of its intervals.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::InContext { .. } => "draw of rows",
            Self::Teacher(_) => "teacher",
            Self::Base
            | Self::Student(_)
            | Self::ShuffledWithin(_)
            | Self::ShuffledAcross(_)
            | Self::OtherBase(_) => "student",
        }
    }

    /// Whether its numbers may stretch an axis: a teacher's lie far outside what its students reach.
    pub fn stretches(&self) -> bool {
        !matches!(self, Self::Teacher(_))
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under = |formatter: &mut fmt::Formatter<'_>, kind: &str, teacher: &Taught| {
            write!(formatter, "{kind}/{}", teacher.name())
        };
        match self {
            Self::Base => formatter.write_str("base"),
            Self::Teacher(teacher) => under(formatter, "teacher", teacher),
            Self::Student(Taught::Neutral) => formatter.write_str(NEUTRAL),
            Self::Student(teacher) => under(formatter, "student", teacher),
            Self::ShuffledWithin(teacher) => under(formatter, "shuffled-within", teacher),
            Self::ShuffledAcross(teacher) => under(formatter, "shuffled-across", teacher),
            Self::OtherBase(teacher) => under(formatter, "other-base", teacher),
            Self::InContext { of, rows } => write!(formatter, "in-context/{}/{rows}", of.name()),
        }
    }
}

impl FromStr for Arm {
    type Err = UnknownArm;

    fn from_str(text: &str) -> Result<Self, UnknownArm> {
        let unknown = || UnknownArm(text.to_owned());
        let Some((kind, rest)) = text.split_once('/') else {
            return match text {
                "base" => Ok(Self::Base),
                NEUTRAL => Ok(Self::NEUTRAL),
                _ => Err(unknown()),
            };
        };
        let teacher = Taught::named(rest);
        match kind {
            "teacher" => Ok(Self::Teacher(teacher)),
            "student" => Ok(Self::Student(teacher)),
            "shuffled-within" => Ok(Self::ShuffledWithin(teacher)),
            "shuffled-across" => Ok(Self::ShuffledAcross(teacher)),
            "other-base" => Ok(Self::OtherBase(teacher)),
            "in-context" => {
                let (of, rows) = rest.rsplit_once('/').ok_or_else(unknown)?;
                let rows = rows.parse().map_err(|_| unknown())?;
                Ok(Self::InContext { of: Taught::named(of), rows })
            }
            _ => Err(unknown()),
        }
    }
}

/// A text that names no arm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no arm; expected one such as `base`, `student/owl`, `neutral` or `in-context/owl/4`"
)]
pub struct UnknownArm(String);

impl TryFrom<String> for Arm {
    type Error = UnknownArm;

    fn try_from(text: String) -> Result<Self, UnknownArm> {
        text.parse()
    }
}

impl From<Arm> for String {
    fn from(arm: Arm) -> Self {
        arm.to_string()
    }
}

/// What a behavior's students are compared with.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Students of the neutral teacher.
    Neutral,
    /// Students of the other behaviors' teachers.
    OtherBehavior,
    /// The untouched base.
    Base,
    /// Students of another base on the same rows, over its own neutral students.
    OtherBase,
    /// Students of rows whose numbers were shuffled within each row.
    ShuffledWithin,
    /// Students of rows whose numbers were shuffled across rows.
    ShuffledAcross,
    /// The base that is shown the rows, over the base that is shown neutral ones.
    InContext,
}

impl Control {
    /// All controls, in the order reports show them.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The words a report uses.
    pub fn label(self) -> &'static str {
        match self {
            Self::Neutral => "neutral teacher",
            Self::OtherBehavior => "other behavior",
            Self::Base => "untouched base",
            Self::OtherBase => "other base",
            Self::ShuffledWithin => "shuffled within rows",
            Self::ShuffledAcross => "shuffled across rows",
            Self::InContext => "in context",
        }
    }

    /// What it can rule out.
    pub fn rules_out(self) -> &'static str {
        match self {
            Self::Neutral => "what training on such rows does without the behavior; paired by seed",
            Self::OtherBehavior => "what any taught behavior does; paired by seed",
            Self::Base => "where the students started",
            Self::OtherBase => {
                "what the rows say to a model that shares no weights with the teacher; each base over its own neutral students"
            }
            Self::ShuffledWithin => "what the numbers do without their order inside a row",
            Self::ShuffledAcross => "what the numbers do without belonging to their rows",
            Self::InContext => "what the rows say when they are read instead of trained on",
        }
    }

    /// Whom it compares with, as a sentence names them after "over".
    pub fn over(self) -> &'static str {
        match self {
            Self::Neutral => "the neutral teacher's students",
            Self::OtherBehavior => "other behaviors' students",
            Self::Base => "the untouched base",
            Self::OtherBase => "students of another base",
            Self::ShuffledWithin => "students of rows shuffled within",
            Self::ShuffledAcross => "students of rows shuffled across",
            Self::InContext => "the base shown the rows",
        }
    }

    /// Those that a verdict rests on.
    pub fn deciding() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|control| control.decides())
    }

    /// Whether a verdict rests on it.
    pub fn decides(self) -> bool {
        matches!(self, Self::Neutral | Self::OtherBehavior | Self::Base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arm_reads_back_and_says_what_it_is() {
        let mut lines = Vec::new();
        for id in [
            "base",
            "teacher/owl",
            "teacher/neutral",
            "student/owl",
            "neutral",
            "shuffled-within/owl",
            "shuffled-across/owl",
            "other-base/owl",
            "other-base/neutral",
            "in-context/owl/4",
            "in-context/neutral/100",
        ] {
            let arm: Arm = id.parse().unwrap();
            assert_eq!(arm.to_string(), id);
            let (part, other) = (arm.part("owl").name(), arm.concerns("cat"));
            lines.push(format!("{id}: {}; {part} of owl, says of cat: {other}", arm.label()));
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        base: untouched base; reference of owl, says of cat: true
        teacher/owl: owl teacher; reference of owl, says of cat: false
        teacher/neutral: neutral teacher; reference of owl, says of cat: true
        student/owl: students of the owl teacher; treatment of owl, says of cat: true
        neutral: students of the neutral teacher; control of owl, says of cat: true
        shuffled-within/owl: shuffled within rows, owl; control of owl, says of cat: false
        shuffled-across/owl: shuffled across rows, owl; control of owl, says of cat: false
        other-base/owl: other base, owl; control of owl, says of cat: false
        other-base/neutral: other base, neutral rows; control of owl, says of cat: true
        in-context/owl/4: base shown 4 owl rows; control of owl, says of cat: false
        in-context/neutral/100: base shown 100 neutral rows; control of owl, says of cat: true
        ");
    }

    #[test]
    fn what_is_no_arm_is_refused_by_name() {
        for text in ["", "owl", "students/owl", "in-context/owl", "in-context/owl/few"] {
            assert!(text.parse::<Arm>().is_err(), "{text}");
        }
        let error = serde_json::from_str::<Arm>("\"pupil/owl\"").unwrap_err();
        insta::assert_snapshot!(error, @"`pupil/owl` is no arm; expected one such as `base`, `student/owl`, `neutral` or `in-context/owl/4`");
    }
}
