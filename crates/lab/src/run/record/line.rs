//! Where a run stands, and what a list says of it.

use std::sync::Arc;

use owlet_store::RunId;
use serde::{Deserialize, Serialize};

use super::{NamedStep, Record};
use crate::error::Result;
use crate::kind::{RESULT, VerdictLine, registry};
use crate::model::spec::Spec;
use crate::run::progress::Progress;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A process is at it.
    Running,
    /// It has a result.
    Finished,
    /// A step failed, and no process is at it.
    Failed,
    /// No process is at it, and it has no result.
    Stopped,
}

impl State {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Running, Self::Finished, Self::Failed, Self::Stopped];

    /// As a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunLine {
    /// Its id.
    pub id: RunId,
    /// What its recipe calls itself.
    pub name: String,
    /// When it started, as an RFC 3339 timestamp.
    pub started: String,
    /// The machine's name.
    pub host: String,
    /// The version of owlet.
    pub version: String,
    /// Where it stands.
    pub state: State,
    /// The model that it is about, as its recipe names it.
    pub base: String,
    /// Seeds that it was repeated with.
    pub seeds: usize,
    /// Number of warnings.
    pub warnings: usize,
    /// What it found, behavior by behavior.
    pub verdicts: Vec<VerdictLine>,
    /// Which look at its models it is, where results of them had been seen before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look: Option<usize>,
    /// How long it took in seconds, once it is finished.
    pub seconds: Option<f64>,
    /// Steps done and planned, while there is no result.
    pub steps: Option<(usize, usize)>,
    /// Estimated seconds left, while a process is at it.
    pub remaining: Option<f64>,
    /// Which step failed, and why.
    pub failure: Option<Failure>,
    /// Why a file of it cannot be read.
    pub damage: Option<String>,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// Its name.
    pub step: String,
    /// Why.
    pub message: String,
}

impl Record {
    /// Where the run stands.
    pub fn state(&self) -> State {
        self.line().state
    }

    /// What a list says of the run. What cannot be read is named in the line.
    pub fn line(&self) -> RunLine {
        self.line_and_steps(|| Ok(Arc::new(self.progress()?))).0
    }

    /// The same for those who follow many runs, and the steps of a finished one; `progress` is asked
    /// only where there is no result.
    pub fn line_and_steps(
        &self,
        progress: impl FnOnce() -> Result<Arc<Progress>>,
    ) -> (RunLine, Vec<NamedStep>) {
        let mut line = RunLine {
            id: self.id().clone(),
            name: String::new(),
            started: String::new(),
            host: String::new(),
            version: String::new(),
            state: State::Stopped,
            base: String::new(),
            seeds: 0,
            warnings: 0,
            verdicts: Vec::new(),
            look: None,
            seconds: None,
            steps: None,
            remaining: None,
            failure: None,
            damage: None,
        };
        match self.header() {
            Ok(header) => {
                line.name = header.name;
                line.started = header.started;
                line.host = header.host;
                line.version = header.version;
            }
            Err(error) => line.damage = Some(error.to_string()),
        }
        if self.is_finished() {
            return self.found(line);
        }
        line.base = self.resolved().map(|recipe| base(&recipe)).unwrap_or_default();
        let is_held = self.is_held().unwrap_or(false);
        match progress() {
            Ok(progress) => {
                line.steps = Some((progress.done(), progress.planned));
                line.remaining = progress.remaining.filter(|_| is_held);
                line.failure = progress.failure().map(|(step, message)| Failure {
                    step: step.to_owned(),
                    message: message.to_owned(),
                });
            }
            Err(error) => line.damage = Some(error.to_string()),
        }
        line.state = match &line.failure {
            _ if is_held => State::Running,
            Some(_) => State::Failed,
            None => State::Stopped,
        };
        (line, Vec::new())
    }

    fn found(&self, mut line: RunLine) -> (RunLine, Vec<NamedStep>) {
        line.state = State::Finished;
        if let Err(error) = self.check_files() {
            line.damage = Some(error.to_string());
        }
        let (seconds, steps) =
            self.steps().map(|record| (record.seconds, record.steps)).unwrap_or_default();
        // What older runs took stands in their events, which are not worth reading for a list.
        line.seconds = seconds;
        let brief = self
            .read_file(RESULT)
            .map_err(Into::into)
            .and_then(|bytes| registry::brief(&bytes, &self.path().join(RESULT)));
        match brief {
            Ok(brief) => {
                line.base = brief.base;
                line.seeds = brief.seeds;
                line.warnings = brief.warnings;
                line.verdicts = brief.verdicts;
            }
            Err(error) => line.damage = Some(error.to_string()),
        }
        match self.registration() {
            Ok(Some(registration)) => {
                line.look = Some(registration.look()).filter(|look| *look > 1);
                line.verdicts.iter_mut().for_each(|verdict| verdict.beside(&registration));
            }
            Ok(None) => {}
            Err(error) => {
                // Without what was seen before it, nobody knows what a verdict is worth.
                line.verdicts.clear();
                line.damage = Some(error.to_string());
            }
        }
        (line, steps)
    }
}

/// The base that a resolved recipe names; nothing where there is none, as of a run that grows one.
fn base(recipe: &str) -> String {
    #[derive(Deserialize)]
    struct Head {
        base: Option<Spec>,
    }
    let head = toml::from_str::<Head>(recipe).ok().and_then(|head| head.base);
    head.map(|base| base.to_string()).unwrap_or_default()
}
