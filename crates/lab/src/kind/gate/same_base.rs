//! `same-base`: whether two models share a base, from their weights.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::compare::{self, Compared, Comparison, Settings};
use crate::error::Result;
use crate::step::{Step, StepContext};

/// What the step writes.
pub(super) const FILE: &str = "comparison.json";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// What the two are called.
    pub(super) names: [String; 2],
    /// Seed of the draws of rows and orders.
    pub(super) seed: u64,
}

/// The step.
pub(super) struct SameBase;

impl Step for SameBase {
    type Configuration = Configuration;
    const KIND: &'static str = "same-base";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "comparison";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { names: [base, teacher], seed } = configuration;
        let open = |role: &str, name: String| -> Result<Compared> {
            let weights = context.models.weights(&name, context.input(role)?)?;
            Ok(Compared::new(name, weights))
        };
        let mut models = [open("base", base)?, open("teacher", teacher)?];
        let settings = Settings {
            seed,
            threads: context.threads.clone(),
            interrupt: context.interrupt.clone(),
            progress: &|_, done, total| context.report(done, total, "layers", None),
        };
        let found: Comparison = compare::compare(&mut models, &settings)?;
        context.write_json(FILE, &found)?;
        Ok(json!({ "verdict": found.pairs[0].verdict, "p": found.pairs[0].p }))
    }
}
