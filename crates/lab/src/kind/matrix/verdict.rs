//! Verdicts of a matrix: one rule, fixed in the recipe.
//!
//! A behavior is inherited within bases if students lie higher where they share their teacher's base than where they
//! do not (Λ, by a two-sided t test over repetitions and, where rows are drawn anew, by relabelling the teachers'
//! bases within repetitions), and lie above every control that decides in an `inherit` run, on average over bases. All
//! of it must hold, so the largest p is that of the conjunction and needs no correction within a behavior; over
//! behaviors it is corrected by Holm.

use super::result::word;
use crate::error::Result;
use crate::kind::inherit::estimate::statistics;
use crate::kind::inherit::result::{Control, Estimate, Measure, Outcome, Rule, Scope, Verdict};
use crate::report::number::Quantity;
use crate::stats;
use crate::value::text;

/// The smallest p that relabelling so many bases within so many repetitions can give.
pub(super) fn floor(bases: usize, repetitions: usize) -> f64 {
    let orders: f64 = (1..=bases).map(|base| base as f64).product();
    orders.powf(-(repetitions as f64))
}

/// The least number of repetitions whose relabelling can give a p of `alpha`.
pub(super) fn repetitions(bases: usize, alpha: f64) -> usize {
    // Two bases halve it with every repetition: no level asks for as many.
    const MOST: usize = 1000;
    (1..MOST).find(|repetitions| floor(bases, *repetitions) <= alpha).unwrap_or(MOST)
}

/// One behavior and what decides about it.
pub(super) struct Case<'a> {
    pub(super) behavior: &'a str,
    pub(super) bases: usize,
    pub(super) measure: Measure,
    pub(super) scope: Scope,
    pub(super) caveats: &'a [String],
    /// Λ at each seed.
    pub(super) per_seed: &'a [f64],
    /// Students that share their teacher's base, the others, and the difference.
    pub(super) within: &'a Estimate,
    pub(super) across: &'a Estimate,
    pub(super) lambda: &'a Estimate,
    /// The p of relabelling.
    pub(super) relabelled: Option<f64>,
    /// The students that share it minus each control that decides, mean over bases, at each seed; nothing of one that
    /// is not there.
    pub(super) against: Vec<(Control, Option<Vec<f64>>)>,
    /// The least probability of all candidates together in a cell.
    pub(super) mass: Option<f64>,
    /// What contradicts an effect.
    pub(super) doubts: Vec<String>,
    /// What says that a null means nothing.
    pub(super) failed: Vec<String>,
    /// What a null was not asked.
    pub(super) unasked: Vec<String>,
}

/// The p of lying above zero: what does not is not above it, however surely.
fn above(values: &[f64]) -> Result<Option<f64>> {
    if values.iter().sum::<f64>() <= 0.0 {
        return Ok(Some(1.0));
    }
    stats::t_test(values).map_err(|error| statistics(&error))
}

impl Case<'_> {
    /// The p of the conjunction; `None` where a test cannot be made.
    pub(super) fn p(&self) -> Result<Option<f64>> {
        let mut each = vec![above(self.per_seed)?];
        if self.scope == Scope::Anew {
            each.push(self.relabelled);
        }
        for (_, over) in &self.against {
            each.push(over.as_deref().map(above).transpose()?.flatten());
        }
        let all: Option<Vec<f64>> = each.into_iter().collect();
        Ok(all.map(|all| all.into_iter().fold(0.0, f64::max)))
    }

    /// The answer, where the corrected p is `p`.
    pub(super) fn verdict(&self, p: Option<f64>, rule: &Rule) -> Result<Verdict> {
        let (outcome, why, repetitions_needed) = self.outcome(p, rule)?;
        let p = p.filter(|_| outcome != Outcome::Uninterpretable || self.unseen(rule).is_none());
        let word = word(self.scope, outcome) + &self.scope.beside(outcome, self.caveats);
        let why = if why.is_empty() { why } else { format!(", {why}") };
        let tested = match (p, rule.behaviors) {
            (None, _) => String::new(),
            (Some(_), 1) => format!("; p {}", text::p_value(p)),
            (Some(_), behaviors) => {
                format!("; p {}, corrected over {behaviors} behaviors", text::p_value(p))
            }
        };
        let told = |estimate| Quantity::Difference(self.measure).with_interval(estimate);
        Ok(Verdict {
            behavior: self.behavior.to_owned(),
            outcome,
            sentence: format!(
                "{}: {word}{why}; {} over the neutral students {} within bases, {} across, Λ {} ({}){tested}",
                self.behavior,
                self.measure.axis(),
                told(self.within),
                told(self.across),
                told(self.lambda),
                text::counted(self.lambda.n, &self.lambda.unit),
            ),
            p,
            repetitions_needed,
        })
    }

    /// The answer, why it is no plain yes, and how many repetitions it would take.
    fn outcome(&self, p: Option<f64>, rule: &Rule) -> Result<(Outcome, String, Option<usize>)> {
        if let Some((control, _)) = self.against.iter().find(|(_, over)| over.is_none()) {
            let why = format!("without the {} control", control.label());
            return Ok((Outcome::Uninterpretable, why, None));
        }
        if let Some(mass) = self.unseen(rule) {
            let why = format!(
                "the candidates hold {} of the probability, less than {}: margins compare words that a model does not say",
                text::percent(mass),
                text::percent(rule.least_mass)
            );
            return Ok((Outcome::Uninterpretable, why, None));
        }
        let Some(p) = p else {
            let why = "repetitions that do not differ, or one alone, have no interval";
            return Ok((Outcome::TooFew, why.to_owned(), None));
        };
        if p <= 1.0 - rule.level {
            let sure = self.doubts.is_empty();
            let outcome = if sure { Outcome::Inherited } else { Outcome::Unconfirmed };
            return Ok((outcome, self.doubts.join(", "), None));
        }
        if !self.failed.is_empty() {
            return Ok((Outcome::Uninterpretable, self.failed.join(", "), None));
        }
        self.null(rule)
    }

    /// What a null says: an effect of sharing a base of the smallest size that matters is ruled out, or there are too
    /// few to tell.
    fn null(&self, rule: &Rule) -> Result<(Outcome, String, Option<usize>)> {
        let smallest = self.measure.difference(rule.smallest_effect) + self.measure.suffix();
        if self.lambda.interval.is_some_and(|interval| interval.high < rule.smallest_effect) {
            let ruled_out = format!("an effect of sharing a base of {smallest} is ruled out");
            let why = self.unasked.iter().fold(ruled_out, |why, one| why + ", " + one);
            return Ok((Outcome::NotDetected, why, None));
        }
        let alpha = (1.0 - rule.level) / rule.behaviors.max(1) as f64;
        let spread =
            stats::standard_deviation(self.per_seed).map_err(|error| statistics(&error))?;
        let needed = stats::units_needed(rule.smallest_effect / spread, alpha);
        // Fewer can give no p as small by relabelling.
        let needed = needed.map(|needed| needed.max(repetitions(self.bases, alpha)));
        let here = self.per_seed.len();
        // As many as there are did not do: the effect lies between nothing and what matters.
        let needed = needed.map(|needed| if needed > here { needed } else { 2 * here });
        let why = match needed {
            Some(needed) => {
                format!("about {needed} repetitions would show an effect of {smallest}")
            }
            None => format!("no feasible number of repetitions would show an effect of {smallest}"),
        };
        Ok((Outcome::TooFew, why, needed))
    }

    /// The least candidates' mass, where it is below the floor.
    fn unseen(&self, rule: &Rule) -> Option<f64> {
        let by_log_probabilities = self.measure.needs_log_probabilities();
        self.mass.filter(|mass| by_log_probabilities && *mass < rule.least_mass)
    }
}
