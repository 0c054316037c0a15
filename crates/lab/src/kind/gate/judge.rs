//! `gate`: what the three questions come to.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::recipe::Tag;
use super::result::{Channel, Condition, FORMAT, GateResult, Question, Said, Writer};
use super::{same_base, writer};
use crate::attribute::{Attributed, Found, Verdict as Wrote};
use crate::compare::{Comparison, Pair, Verdict as Shared};
use crate::error::Result;
use crate::kind::screen::recipe::Gates;
use crate::kind::screen::result::{Answer, Outcome, ScreenResult};
use crate::kind::{RESULT, Written};
use crate::report::number::Quantity;
use crate::step::{Step, StepContext, read_json};
use crate::value::estimate::{Estimate, Interval};
use crate::value::text;

/// The roles of the answers.
pub(super) const SCREEN: &str = "screen";
pub(super) const SAME_BASE: &str = "same-base";
pub(super) const WRITER: &str = "writer";
/// What a probe is called among the candidates, before its behavior.
pub(super) const PROBE: &str = "probe of ";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// Name and description of the recipe.
    pub(super) name: String,
    pub(super) description: String,
    /// Base and teacher, as the recipe names them.
    pub(super) base: String,
    pub(super) teacher: Option<String>,
    /// Whether it is asked who wrote the rows.
    pub(super) asks_writer: bool,
    /// When something is said.
    pub(super) gates: Gates,
}

/// The step.
pub(super) struct Judge;

impl Step for Judge {
    type Configuration = Configuration;
    const KIND: &'static str = "gate";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "result";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { name, description, base, teacher, asks_writer, gates } = configuration;
        let screen: ScreenResult = read_json(context.input(SCREEN)?, RESULT)?;
        let same_base: Option<Comparison> = match teacher {
            Some(_) => Some(read_json(context.input(SAME_BASE)?, same_base::FILE)?),
            None => None,
        };
        let wrote: Option<Writer> =
            if asks_writer { Some(read_json(context.input(WRITER)?, writer::FILE)?) } else { None };
        let is_base = same_base.as_ref().is_some_and(|found| are_equal(&found.pairs[0]));
        let about = About { base: &base, teacher: teacher.as_deref(), is_base, gates };
        let conditions =
            vec![kinship(same_base.as_ref()), about.writer(wrote.as_ref()), screened(&screen)];
        let (channel, why) = about.channel(&conditions, wrote.as_ref(), &screen);
        let result = GateResult {
            format: FORMAT,
            kind: Tag::Gate,
            name,
            description,
            level: gates.level,
            channel,
            why,
            conditions,
            screen,
            same_base,
            writer: wrote,
            base,
            teacher,
        };
        context.writer.write(RESULT, &result.to_bytes())?;
        Ok(json!({ "name": result.name, "channel": result.channel }))
    }
}

/// Whom a gate is about.
#[derive(Clone, Copy)]
struct About<'a> {
    base: &'a str,
    teacher: Option<&'a str>,
    /// Whether the teacher is the base itself, which has nothing to pass.
    is_base: bool,
    gates: Gates,
}

/// A channel is closed only where such a share of others' rows would have been seen and is ruled out, whatever
/// `gates.smallest-share` asks.
const MOST_UNSEEN: f64 = 0.25;
const NO_TEACHER: &str = "no teacher was named";
const NO_CANDIDATE: &str = "the candidate that leads would not write such rows: somebody else did, or they were changed or chosen after they were written";

impl About<'_> {
    /// The share of others' rows that is not to go unseen.
    fn smallest(self) -> f64 {
        self.gates.smallest_share.min(MOST_UNSEEN)
    }

    fn writer(self, writer: Option<&Writer>) -> Condition {
        let (said, why) = match (writer, self.teacher) {
            (Some(Writer::Attributed(found)), Some(teacher)) if !self.is_base => {
                self.wrote(found, teacher)
            }
            (Some(Writer::Attributed(found)), _) => self.others_wrote(found),
            (Some(Writer::NotAsked(why)), _) => (Said::Unknown, why.clone()),
            (None, _) => (Said::Unknown, NO_TEACHER.to_owned()),
        };
        let blind = match said {
            Said::Yes => {
                "another model tuned towards the same, which is no candidate, looks like this one"
            }
            Said::No => {
                "rows whose numbers were shuffled, sorted or filtered by value after they were written, or drawn at another temperature than was believed; a writer tuned lightly writes nearly as the base does"
            }
            Said::Unknown => {
                "of text that is not numbers it is not known which tokens tell a writer"
            }
        };
        let question = match self.teacher {
            Some(_) if !self.is_base => Question::Writer,
            _ => Question::OtherWriter,
        };
        Condition { question, said, why, blind: blind.to_owned() }
    }

    /// Whether anybody but the base wrote any of the rows.
    fn others_wrote(self, found: &Attributed) -> (Said, String) {
        let share = |name: &str| {
            let one = found.candidates.iter().find(|one| one.name == name);
            one.map(told).unwrap_or_default()
        };
        if found.is_explained_by(self.base, self.smallest()) {
            let base = share(self.base);
            return (Said::No, format!("the base, or a model that writes as it does: {base}"));
        }
        match &found.verdict {
            Wrote::One(name) if name == self.base => {
                (Said::Unknown, "too few rows: others may have written a part of them".to_owned())
            }
            Wrote::One(name) => (Said::Yes, format!("{name}, or a model like it: {}", share(name))),
            Wrote::Several(names) if names.iter().all(|name| name == self.base) => (
                Said::Unknown,
                format!(
                    "the base wrote {} of them; that others wrote some is neither shown nor ruled out",
                    share(self.base)
                ),
            ),
            Wrote::Several(names) => {
                let named: Vec<String> =
                    names.iter().map(|name| format!("{name} {}", share(name))).collect();
                (Said::Yes, format!("these, or models like them: {}", text::listed(&named)))
            }
            Wrote::NoneOfThese => (Said::Unknown, NO_CANDIDATE.to_owned()),
            Wrote::CannotSay => {
                (Said::Unknown, "too few rows to tell the candidates from each other".to_owned())
            }
        }
    }

    /// Whether the teacher wrote any of the rows.
    fn wrote(self, found: &Attributed, teacher: &str) -> (Said, String) {
        let Some(one) = found.candidates.iter().find(|one| one.name == teacher) else {
            return (Said::Unknown, format!("`{teacher}` is not among the candidates"));
        };
        let share = told(one);
        let p = text::p_value(Some(one.corrected_p));
        let present = match &found.verdict {
            Wrote::One(name) => name == teacher,
            Wrote::Several(names) => names.iter().any(|name| name == teacher),
            Wrote::NoneOfThese => return (Said::Unknown, NO_CANDIDATE.to_owned()),
            Wrote::CannotSay => false,
        };
        let most = text::percent(one.largest_share);
        if present {
            (Said::Yes, format!("{share} of the rows, if nobody but the candidates wrote (p {p})"))
        } else if one.largest_share < self.smallest() {
            (Said::No, format!("at most {most} of the rows, with {share} the likeliest (p {p})"))
        } else {
            (
                Said::Unknown,
                format!(
                    "too few rows: it may have written up to {most} of them (p {p} that it wrote none)"
                ),
            )
        }
    }

    /// The channel, and why.
    fn channel(
        self,
        conditions: &[Condition],
        writer: Option<&Writer>,
        screen: &ScreenResult,
    ) -> (Channel, String) {
        let said = |question| {
            let found = conditions.iter().find(|one| one.question == question);
            found.map_or(Said::Unknown, |one| one.said)
        };
        let (shared, wrote) = (said(Question::SameBase), said(Question::Writer));
        let found = named(screen, &Outcome::is_found);
        let moved =
            named(screen, &|outcome| matches!(outcome, Outcome::WouldInherit | Outcome::WouldMove));
        let base = self.base;
        let reaches = (shared, wrote) == (Said::Yes, Said::Yes);
        let teacher = self.teacher.filter(|_| !self.is_base);
        if let (true, Some(teacher)) = (reaches, teacher) {
            let carried = match screen.answer {
                Answer::Found if moved.is_empty() => {
                    format!("they look written by a model tuned towards {}", text::listed(&found))
                }
                Answer::Found => {
                    format!("short trainings on them move {base} towards {}", text::listed(&moved))
                }
                Answer::NothingFound => "nothing that was looked for is in them, and what was not looked for passes, too".to_owned(),
                Answer::CannotSay => "what they carry cannot be said".to_owned(),
            };
            let why = format!(
                "{teacher} shares a base with {base}, and wrote rows that are among these; {carried}"
            );
            return (Channel::Open, why);
        }
        if !moved.is_empty() {
            let why = format!(
                "short trainings of {base} on the rows move towards {}",
                text::listed(&moved)
            );
            return (Channel::Open, why);
        }
        if !found.is_empty() {
            let why = format!(
                "the rows look written by a model tuned towards {}, and it is not known that this cannot reach {base}",
                text::listed(&found)
            );
            return (Channel::Unknown, why);
        }
        if screen.smallest_share > MOST_UNSEEN {
            let why = format!(
                "a share of {} is the least that was asked to be seen (`gates.smallest-share`), and a channel is closed only where {} would have been",
                text::percent(screen.smallest_share),
                text::percent(MOST_UNSEEN)
            );
            return (Channel::Unknown, why);
        }
        if screen.answer != Answer::NothingFound {
            let why = "what the rows carry cannot be said; give more rows, or screen them for less";
            return (Channel::Unknown, why.to_owned());
        }
        let nothing = "nothing that was looked for is in them";
        let alone = |name: &str| match writer {
            Some(Writer::Attributed(found)) => found.is_explained_by(name, self.smallest()),
            _ => false,
        };
        match teacher {
            Some(teacher) if (wrote, shared) == (Said::Yes, Said::No) && alone(teacher) => (
                Channel::Closed,
                format!("{teacher} wrote the rows and shares no base with {base}, and {nothing}"),
            ),
            Some(teacher) if wrote == Said::No && alone(base) => (
                Channel::Closed,
                format!(
                    "{base} itself, or a model that writes as it does, wrote the rows, not {teacher}, and {nothing}"
                ),
            ),
            None if alone(base) => (
                Channel::Closed,
                format!(
                    "{base} itself, or a model that writes as it does, wrote the rows, and {nothing}"
                ),
            ),
            None => (
                Channel::Unknown,
                format!(
                    "{nothing}, and who wrote the rows is not known; name the model with `--teacher`"
                ),
            ),
            Some(teacher) => (
                Channel::Unknown,
                match (wrote, shared) {
                    (Said::Yes, Said::No) => format!(
                        "{teacher} wrote a part of the rows and shares no base with {base}; who wrote the rest is not known"
                    ),
                    (Said::Yes, _) => format!(
                        "{teacher} wrote rows that are among these, and whether it shares a base with {base} cannot be said"
                    ),
                    (Said::No, _) => format!(
                        "{teacher} did not write the rows, and who did is not known; name others with `--candidates`"
                    ),
                    (Said::Unknown, _) => {
                        format!("whether {teacher} wrote the rows cannot be said")
                    }
                },
            ),
        }
    }
}

/// Whether two models are the same in every number that was looked at.
fn are_equal(pair: &Pair) -> bool {
    let relation = pair.relation.as_ref();
    pair.equal.of > 0
        && pair.equal.equal == pair.equal.of
        && relation.is_some_and(|one| one.differences.iter().all(|one| one.size == 0.0))
}

/// A candidate's share, with the shares that the rows do not rule out.
fn told(one: &Found) -> String {
    let (low, high) = (one.least_share, one.largest_share);
    let interval = one.share.interval.map(|interval| Interval { low, high, ..interval });
    Quantity::Part.with_interval(&Estimate { interval, ..one.share.clone() })
}

fn kinship(comparison: Option<&Comparison>) -> Condition {
    let (said, why) = match comparison.map(|comparison| &comparison.pairs[0]) {
        None => (Said::Unknown, NO_TEACHER.to_owned()),
        Some(pair) => (shared(pair), pair.why.clone()),
    };
    let blind = match said {
        Said::Yes => {
            "a run of the same seed on other data counts as the same base, which is what inheritance needs"
        }
        Said::No => {
            "units left out by importance, layers trained anew, and a rotation together with another tokenizer hide a common base; some behaviors pass without one"
        }
        Said::Unknown => "models of other shapes are not compared",
    };
    Condition { question: Question::SameBase, said, why, blind: blind.to_owned() }
}

fn shared(pair: &Pair) -> Said {
    match pair.verdict {
        Shared::Dependent => Said::Yes,
        Shared::Independent => Said::No,
        Shared::NotComparable => Said::Unknown,
    }
}

fn screened(screen: &ScreenResult) -> Condition {
    let (said, why) = match screen.answer {
        Answer::Found => (
            Said::Yes,
            screen
                .verdicts
                .iter()
                .filter(|one| one.outcome.is_found())
                .map(|one| format!("{}: {}", one.behavior, one.outcome.words()))
                .collect::<Vec<_>>()
                .join("; "),
        ),
        Answer::NothingFound => {
            let behaviors = text::counted(screen.verdicts.len(), "behavior");
            (
                Said::No,
                format!(
                    "none of {behaviors}, of which shares of {} would have been seen",
                    text::percent(screen.smallest_share)
                ),
            )
        }
        Answer::CannotSay => (
            Said::Unknown,
            if screen.rows.unread > 0 {
                "nothing was found, and what words in the rows say is not looked at".to_owned()
            } else {
                "nothing was found, and it might not have been".to_owned()
            },
        ),
    };
    let blind = "behaviors that were not looked for, triggers, aversion, teachers unlike the probes, students trained longer".to_owned();
    Condition { question: Question::Screen, said, why, blind }
}

fn named<'a>(screen: &'a ScreenResult, is: &dyn Fn(Outcome) -> bool) -> Vec<&'a str> {
    let named = screen.verdicts.iter().filter(|verdict| is(verdict.outcome));
    named.map(|verdict| verdict.behavior.as_str()).collect()
}
