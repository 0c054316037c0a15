//! What a matrix of bases found.
//!
//! Like [`crate::kind::inherit::result`]: computed by a step from artifacts, same artifacts, same bytes.

use serde::{Deserialize, Serialize};

use crate::kind::VerdictLine;
use crate::kind::inherit::result::{Measure, Outcome, Rule, Scope, Verdict};
pub use crate::kind::together::Told;
use crate::value::estimate::Estimate;

/// The version of a matrix's `result.json` that this build writes and reads.
pub const FORMAT: u32 = 1;

/// What tells this result from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tag {
    /// An `inherit` recipe over pairs of bases.
    Matrix,
}

/// The whole answer of a matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MatrixResult {
    /// Version of this format.
    pub format: u32,
    /// `matrix`.
    pub kind: Tag,
    /// Name of the recipe.
    pub name: String,
    /// What the recipe says it is about.
    pub description: String,
    /// The bases, as the recipe names them: of teachers and of students.
    pub bases: Vec<String>,
    /// Taught behaviors, in the recipe's order.
    pub behaviors: Vec<String>,
    /// Name of the carrier.
    pub carrier: String,
    /// The seeds, the same in every cell.
    pub seeds: Vec<u64>,
    /// The unit of replication and what it holds.
    pub unit: String,
    /// What verdicts are about.
    pub scope: Scope,
    /// Unique rows each student saw.
    pub unique_rows: usize,
    /// Updates each student took.
    pub updates: usize,
    /// What the verdicts rest on.
    pub primary: Measure,
    /// What decides them, fixed before the run; p is corrected over behaviors.
    pub rule: Rule,
    /// What makes verdicts easier to have than by the defaults.
    pub caveats: Vec<String>,
    /// One per taught behavior.
    pub findings: Vec<Finding>,
    /// What would mislead a reader who did not know it.
    pub warnings: Vec<Told>,
    /// Controls and readouts that the recipe turned off.
    pub left_out: Vec<String>,
}

/// What was found of one behavior, in the measure that verdicts rest on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Finding {
    /// The behavior.
    pub behavior: String,
    /// `cells[i][j]`: students of base `j` on rows by the teacher of base `i`, minus students of base `j` on rows by
    /// the neutral teacher of base `i`. Intervals hold together over all cells of the run (Bonferroni).
    pub cells: Vec<Vec<Estimate>>,
    /// Mean of the diagonal: students that share their teacher's base.
    pub within: Estimate,
    /// Mean of all other cells.
    pub across: Estimate,
    /// Mean of the diagonal minus mean of the rest.
    pub lambda: Estimate,
    /// The same at each seed, in the order of the seeds.
    pub per_seed: Vec<f64>,
    /// Permutation p of lambda (relabelling the teachers' bases within repetitions); `None` where repetitions share
    /// their rows, whose luck no relabelling undoes.
    pub lambda_p: Option<f64>,
    /// Lambda in other measures.
    pub others: Vec<Other>,
    /// The answer.
    pub verdict: Verdict,
}

/// Lambda in another measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Other {
    /// The measure.
    pub measure: Measure,
    /// Mean of the diagonal minus mean of the rest.
    pub lambda: Estimate,
}

/// An outcome in words: what was asked is whether sharing a base matters.
pub(super) fn word(scope: Scope, outcome: Outcome) -> String {
    let own = match outcome {
        Outcome::Inherited => "inherited within bases",
        Outcome::NotDetected => "no more within bases",
        Outcome::Unconfirmed | Outcome::TooFew | Outcome::Uninterpretable => {
            return scope.word(outcome);
        }
    };
    match scope {
        Scope::Anew => own.to_owned(),
        Scope::TheseRows => format!("{own} for these rows"),
    }
}

impl MatrixResult {
    /// The verdicts.
    pub fn verdicts(&self) -> impl Iterator<Item = VerdictLine> {
        self.findings.iter().map(|finding| {
            let outcome = finding.verdict.outcome;
            VerdictLine {
                behavior: finding.behavior.clone(),
                at: String::new(),
                outcome: outcome.id().to_owned(),
                word: word(self.scope, outcome),
                caveats: self.scope.beside(outcome, &self.caveats),
                mark: self.scope.mark(outcome, &self.caveats),
                measure: self.primary,
                over_neutral: Some(finding.within.value),
                interval: finding.within.interval,
                n: finding.within.n,
                try_number: None,
            }
        })
    }
}
