//! Readings of models by the held-out questions of behaviors, in a plan.

use std::collections::BTreeSet;

use super::cost::{Pace, Reading};
use crate::behavior::{Behavior, Kind};
use crate::error::{Error, Result};
use crate::model::chat;
use crate::run::plan::{Builder, Source, named};
use crate::step::behavior::{AskBehavior, Asked, READ};
use crate::step::readout::{Configuration, Readout, Sampled};
use crate::value::frame::Frame;

/// Reads the margins of behaviors, with no sampled answer, in one frame.
pub(in crate::kind) struct Reader {
    /// The roles of behaviors, and where they are had.
    asked: Vec<(String, Source)>,
    names: Vec<String>,
    /// Distinct questions: behaviors of a category share theirs.
    questions: usize,
    frame: Frame,
    pace: Pace,
}

impl Reader {
    /// Puts the behaviors into a plan.
    pub(in crate::kind) fn lay(
        build: &mut Builder,
        behaviors: &[Behavior],
        frame: Frame,
        pace: Pace,
    ) -> Result<Self> {
        let mut asked = Vec::with_capacity(behaviors.len());
        for one in behaviors {
            if one.kind == Kind::Judged {
                return Err(Error::Behavior {
                    name: one.name.clone(),
                    reason: "is read by judges, which only `inherit` recipes have; name another"
                        .to_owned(),
                });
            }
            let questions = one.questions.held_out.clone();
            let configuration = Asked { behavior: one.clone(), questions };
            let name = format!("behavior/{}", one.name);
            let node = build.node::<AskBehavior>(name, &configuration, &[], 0.0)?;
            asked.push((format!("{READ}{}", one.name), node));
        }
        let questions: BTreeSet<&String> =
            behaviors.iter().flat_map(|behavior| &behavior.questions.held_out).collect();
        let names = behaviors.iter().map(|behavior| behavior.name.clone()).collect();
        Ok(Self { asked, names, questions: questions.len(), frame, pace })
    }

    /// The behaviors by their roles, in the order that they were given in.
    pub(in crate::kind) fn asked(&self) -> &[(String, Source)] {
        &self.asked
    }

    /// Reads a model.
    pub(in crate::kind) fn read(
        &self,
        build: &mut Builder,
        role: &str,
        model: Source,
    ) -> Result<Source> {
        let configuration = Configuration {
            asked: self.names.clone(),
            frames: vec![self.frame],
            sentences: Vec::new(),
            contexts: vec![chat::DEFAULT.to_owned()],
            sampled: Sampled { answers: 0, temperature: 1.0, max_tokens: 1, seed: 0 },
            as_teacher: false,
            story_max_tokens: None,
        };
        let mut from = vec![("model".to_owned(), model)];
        from.extend(self.asked.iter().cloned());
        let cost = self.pace.read(Reading {
            questions: self.questions,
            contexts: 1,
            frames: 1,
            orders: 1,
            states: 1,
            answers: 0,
            max_tokens: 1,
        });
        let name = format!("readout/{role}");
        build.node::<Readout>(name, &configuration, &named(&from), cost)
    }
}
