//! Student's t test of a mean against zero, and how many units it takes to see an effect.
//!
//! The test is the one its interval is made of: two-sided p ≤ 1 - level exactly where the t interval of
//! that level leaves out zero. Formulas: Student 1908; sizes by the central t approximation to the power
//! of the t test (Guenther 1981), which is 5 % below the exact noncentral answer at three units and 1 %
//! below it at six (against `TTestPower` of statsmodels; a test holds it there).

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{StatisticsError, finite, mean, standard_deviation};

/// The power that sizes are told for.
pub const POWER: f64 = 0.8;

/// Most units that are looked through for a size.
const MOST_UNITS: usize = 10_000;

/// Two-sided p of the hypothesis that units with these `values` have mean zero. `None` for one unit, and
/// for units that do not differ at all: nothing says how far further ones would lie.
///
/// # Errors
/// A value that is not finite.
pub fn t_test(values: &[f64]) -> Result<Option<f64>, StatisticsError> {
    finite("t test", values, 1)?;
    if values.len() < 2 || do_not_differ(values) {
        return Ok(None);
    }
    let t = mean(values)? * (values.len() as f64).sqrt() / standard_deviation(values)?;
    Ok(Some((2.0 * students(values.len()).sf(t.abs())).min(1.0)))
}

/// Whether values are one number, up to the rounding of the means that they are.
pub fn do_not_differ(values: &[f64]) -> bool {
    let largest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    values.iter().all(|value| (value - values[0]).abs() <= 1e-12 * largest)
}

/// The least effect, in standard deviations between units, that `units` of them show with [`POWER`] in a
/// two-sided test at `alpha`. Infinite for one unit.
pub fn detectable(units: usize, alpha: f64) -> f64 {
    if units < 2 {
        return f64::INFINITY;
    }
    let t = students(units);
    (t.inverse_cdf(1.0 - alpha / 2.0) + t.inverse_cdf(POWER)) / (units as f64).sqrt()
}

/// The least number of units that show an effect of `effect` standard deviations with [`POWER`] in a
/// two-sided test at `alpha`; `None` above ten thousand.
pub fn units_needed(effect: f64, alpha: f64) -> Option<usize> {
    let fits = |units: &usize| detectable(*units, alpha) <= effect;
    (2..=MOST_UNITS).find(fits)
}

/// Student's distribution for the mean of `units`, two at least.
fn students(units: usize) -> StudentsT {
    StudentsT::new(0.0, 1.0, (units - 1) as f64)
        .expect("a t distribution exists because there are at least two units")
}
