//! An estimate: a number with its interval, its unit of replication, and what it is measured
//! against.
//!
//! The constructors are the only analyses the lab reports: a condition, a difference of pairs, a
//! single model's proportion, the diagonal of a matrix. Each says in words how its interval and
//! its p-value were made, and keeps the values it was made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Arrangements, Interval, Matrix, PermutationTest, StatisticsError, finite, holm, lambda, mean,
    pairs_by_seed, relabelling, sign_flips, t_interval, wilson,
};

/// A number with everything needed to read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its interval, where there is one to be had.
    pub interval: Option<Interval>,
    /// Why there is no interval.
    pub without_interval: Option<String>,
    /// The unit of replication, such as `student` or `student pair`.
    pub unit: String,
    /// How many units.
    pub n: usize,
    /// What the number is measured against: a named control, or what zero means.
    pub reference: String,
    /// How interval and p-value were made.
    pub method: String,
    /// The raw p-value.
    pub p: Option<f64>,
    /// The smallest p-value these data could have given.
    pub p_floor: Option<f64>,
    /// The p-value after correction for the number of comparisons.
    pub p_adjusted: Option<f64>,
    /// One value per unit, in the order of seeds or replicates.
    pub values: Vec<f64>,
}

/// The words an estimate carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names<'a> {
    /// The unit of replication.
    pub unit: &'a str,
    /// The named control.
    pub reference: &'a str,
}

/// Which alternative a p-value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sides {
    /// The value is above its reference.
    Greater,
    /// The value differs from its reference.
    Both,
}

impl Estimate {
    /// The mean of a condition over its students (or other units), with a t interval.
    pub fn of_units(values: &[f64], level: f64, names: Names) -> Result<Self, StatisticsError> {
        let value = mean(values)?;
        let (interval, without_interval) = spread(values, level, names.unit)?;
        Ok(Self {
            value,
            interval,
            without_interval,
            unit: names.unit.to_owned(),
            n: values.len(),
            reference: names.reference.to_owned(),
            method: format!("mean over {}s, t interval", names.unit),
            p: None,
            p_floor: None,
            p_adjusted: None,
            values: values.to_vec(),
        })
    }

    /// Treatment minus control, paired by seed: t interval over differences, p by sign flips.
    pub fn paired(
        treatment: &BTreeMap<u64, f64>,
        control: &BTreeMap<u64, f64>,
        level: f64,
        sides: Sides,
        names: Names,
    ) -> Result<Self, StatisticsError> {
        let differences: Vec<f64> = pairs_by_seed(treatment, control)?.into_values().collect();
        let mut estimate = Self::of_units(&differences, level, names)?;
        let method = format!("mean of differences paired by seed, t interval over {}s", names.unit);
        let test = sign_flips(&differences, 0)?;
        estimate.set_test(&method, "sign flips", &test, sides);
        Ok(estimate)
    }

    /// Hits over answers of one model, with Wilson's interval. It generalises to further answers
    /// of this model, not to further models.
    pub fn of_one_model(
        hits: u64,
        n: u64,
        level: f64,
        reference: &str,
    ) -> Result<Self, StatisticsError> {
        let interval = wilson(hits, n, level)?;
        Ok(Self {
            value: hits as f64 / n as f64,
            interval: Some(interval),
            without_interval: None,
            unit: "answer of one model".to_owned(),
            n: usize::try_from(n).unwrap_or(usize::MAX),
            reference: reference.to_owned(),
            method: "Wilson interval, single model".to_owned(),
            p: None,
            p_floor: None,
            p_adjusted: None,
            values: Vec::new(),
        })
    }

    /// λ over replicates of a behavior matrix: t interval over replicates, p by relabelling
    /// teachers within replicates (left out, and said so, when cells are missing).
    pub fn of_diagonal(
        replicates: &[Matrix],
        level: f64,
        sides: Sides,
        seed: u64,
        names: Names,
    ) -> Result<Self, StatisticsError> {
        let lambdas: Vec<f64> = replicates.iter().map(lambda).collect::<Result<_, _>>()?;
        finite("λ over replicates", &lambdas, 1)?;
        let mut estimate = Self::of_units(&lambdas, level, names)?;
        let method = format!("mean over {}s of λ, t interval", names.unit);
        if replicates.iter().all(|replicate| replicate.full().is_some()) {
            let test = relabelling(replicates, seed)?;
            estimate.set_test(&method, "relabelling of teachers", &test, sides);
        } else {
            estimate.method = format!("{method}; no p, cells are missing");
        }
        Ok(estimate)
    }

    fn set_test(&mut self, method: &str, test_name: &str, test: &PermutationTest, sides: Sides) {
        let (p, floor, alternative) = match sides {
            Sides::Greater => (test.p_greater, test.floor_greater, "one-sided"),
            Sides::Both => (test.p_two_sided, test.floor_two_sided, "two-sided"),
        };
        let how = match &test.arrangements {
            Arrangements::Listed { count } => format!("exact, {count} arrangements"),
            Arrangements::Sampled { count, seed, .. } => {
                format!("Monte Carlo, {count} arrangements, seed {seed}")
            }
        };
        self.method = format!("{method}; p by {test_name}, {alternative}, {how}");
        self.p = Some(p);
        self.p_floor = Some(floor);
    }

    /// Whether the interval lies wholly above zero; without an interval it does not.
    pub fn is_above_zero(&self) -> bool {
        self.interval.is_some_and(|interval| interval.low > 0.0)
    }

    /// Fills `p_adjusted` of every estimate that has a p-value, by Holm over all of them, and
    /// returns how many comparisons that were.
    pub fn adjust(estimates: &mut [&mut Estimate]) -> Result<usize, StatisticsError> {
        let raw: Vec<f64> = estimates.iter().filter_map(|estimate| estimate.p).collect();
        let mut adjusted = holm(&raw)?.into_iter();
        for estimate in estimates.iter_mut().filter(|estimate| estimate.p.is_some()) {
            estimate.p_adjusted = adjusted.next();
        }
        Ok(raw.len())
    }
}

/// The interval over units, or why there is none.
fn spread(
    values: &[f64],
    level: f64,
    unit: &str,
) -> Result<(Option<Interval>, Option<String>), StatisticsError> {
    if values.len() < 2 {
        return Ok((None, Some(format!("one {unit} has no spread; add seeds"))));
    }
    let interval = t_interval(values, level)?;
    if values.iter().all(|value| *value == values[0]) {
        let reason = format!(
            "all {} {unit}s have the same value, so their spread says nothing",
            values.len()
        );
        return Ok((None, Some(reason)));
    }
    Ok((Some(interval), None))
}
