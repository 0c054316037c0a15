//! `gate`: may the base be trained on these rows? Before anything is trained.
//!
//! Three questions: do base and teacher share a base, did the teacher write the rows, and does a screen of the rows
//! find anything? Together they say whether what a teacher is can reach a student by its rows: the channel is open,
//! closed, or unknown.

mod judge;
mod plan;
pub mod recipe;
pub mod report;
pub mod result;
mod same_base;
mod writer;

use std::path::Path;

use schemars::{Schema, schema_for};
use serde_json::Value;

use super::{AnyRecipe, Brief, IsGrown, Kind, KindRecipe, KindResult, RunResult, VerdictLine};
use crate::error::Result;
use crate::recipe::{Layer, Setting};
use crate::report::block::{Mark, Report};
use crate::report::origin::Origin;
use crate::run::plan::{Outline, PlanContext};
use crate::step::Step;
use crate::value::measure::Measure;
use recipe::GateRecipe;

use result::{CHANNEL, Channel, FORMAT, GateResult};

/// The kind.
#[derive(Debug)]
pub struct Gate;

impl Kind for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn summary(&self) -> &'static str {
        "May a base be trained on given rows, by who wrote them and what they carry?"
    }

    fn defaults(&self) -> &'static str {
        recipe::DEFAULTS
    }

    fn example(&self) -> &'static str {
        "kind = \"gate\"\nrows = \"rows.jsonl\"\nteacher = \"teacher\""
    }

    fn schema(&self) -> Schema {
        schema_for!(GateRecipe)
    }

    fn judges_rows(&self, step: &str) -> bool {
        step == judge::Judge::KIND
    }

    fn judged(&self, _configuration: &Value, verdict: &VerdictLine) -> Vec<String> {
        // What a screen in it says is the screen's own result; the channel is about the rows that it looked at.
        if verdict.behavior == CHANNEL { vec![judge::SCREEN.to_owned()] } else { Vec::new() }
    }

    fn resolve(
        &self,
        layers: &[Layer],
        sets: &[Setting],
        is_grown: &IsGrown<'_>,
    ) -> Result<AnyRecipe> {
        Ok(GateRecipe::resolve(layers, sets, is_grown)?.into())
    }

    fn read(&self, bytes: &[u8], origin: &Path) -> Result<RunResult> {
        super::read_as::<GateResult>(bytes, origin, |result| result.format, FORMAT)
    }
}

impl KindRecipe for GateRecipe {
    fn kind(&self) -> &'static dyn Kind {
        &Gate
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn outline(&self, context: &PlanContext) -> Result<Outline> {
        plan::plan(self, context)
    }
}

impl KindResult for GateResult {
    fn kind(&self) -> &'static dyn Kind {
        &Gate
    }

    fn brief(&self) -> Brief {
        let mut brief = self.screen.brief();
        // The channel is what a gate is asked for.
        let channel = VerdictLine {
            behavior: CHANNEL.to_owned(),
            at: String::new(),
            outcome: self.channel.word().to_owned(),
            word: self.channel.word().to_owned(),
            caveats: String::new(),
            mark: match self.channel {
                Channel::Open => Mark::Yes,
                Channel::Closed => Mark::No,
                Channel::Unknown => Mark::Unclear,
            },
            measure: Measure::Margin,
            over_neutral: None,
            interval: None,
            n: 0,
            try_number: None,
        };
        // Of a screen that found nothing, the answer that stands out most says nothing of the channel.
        if !self.screen.verdicts.iter().any(|verdict| verdict.outcome.is_found()) {
            brief.verdicts.clear();
        }
        brief.verdicts.insert(0, channel);
        brief
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn report(&self, origin: &Origin<'_>) -> Report {
        report::report(self, origin)
    }
}
