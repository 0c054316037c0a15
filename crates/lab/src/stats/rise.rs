//! One-sided tests of a rise: of a mean over many rows, and of one set of rows over others that nobody meddled
//! with.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::test::POWER;
use super::{StatisticsError, finite, mean, standard_deviation};

/// A rise: how many standard errors, and the one-sided p of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rise {
    /// Standard errors above zero.
    pub t: f64,
    /// One-sided p of a mean of zero or below.
    pub p: f64,
}

/// Whether the mean of `values` lies above zero. One of values that are all alike is none.
///
/// # Errors
/// Fewer than two values, or one that is not finite.
pub fn mean_rise(values: &[f64]) -> Result<Rise, StatisticsError> {
    let error = standard_deviation(values)? / (values.len() as f64).sqrt();
    if error == 0.0 {
        return Ok(Rise { t: 0.0, p: 1.0 });
    }
    let t = mean(values)? / error;
    Ok(Rise { t, p: students(values.len() - 1).sf(t) })
}

/// The share of a mean of `full` that `units` with this deviation show with [`POWER`] in a one-sided test at
/// `alpha`; above 1 where not even the whole is shown, infinite where there is nothing to show.
pub fn share_shown(full: f64, deviation: f64, units: usize, alpha: f64) -> f64 {
    if full <= 0.0 || units < 2 {
        return f64::INFINITY;
    }
    let normal = Normal::standard();
    let wanted = normal.inverse_cdf(1.0 - alpha) + normal.inverse_cdf(POWER);
    wanted * deviation / (full * (units as f64).sqrt())
}

/// Degrees of freedom that the spread of all quantities together counts for beside a quantity's own: few enough
/// that one which spreads more keeps most of its own.
// Smyth 2004 estimates it from the spreads; with fifteen quantities of four runs each that estimate is itself
// mostly luck. What this number is worth was measured at nulls (LOG 2026-11-29, the screen).
const PRIOR: f64 = 8.0;

/// Whether one set of rows raises some quantities above what sets that nobody meddled with come to: the sets differ,
/// and the students of each, so what is asked is whether the given one lies among further such sets. Its students
/// share its rows, those of the others do not.
#[derive(Clone, Debug)]
pub struct Among {
    /// Mean over students of the given set, minus that of the others, by quantity.
    rises: Vec<f64>,
    /// Moderated standard deviations of single sets.
    deviations: Vec<f64>,
    /// Pairs of students.
    pairs: usize,
}

impl Among {
    /// `given` and `others` are `[students][quantities]`, each of the others of a set of its own.
    ///
    /// # Errors
    /// Fewer than two students, or a value that is not finite.
    pub fn new(given: &[Vec<f64>], others: &[Vec<f64>]) -> Result<Self, StatisticsError> {
        let column =
            |rows: &[Vec<f64>], at: usize| -> Vec<f64> { rows.iter().map(|row| row[at]).collect() };
        let width = others.first().map_or(0, Vec::len);
        let mut rises = Vec::with_capacity(width);
        let mut variances = Vec::with_capacity(width);
        for at in 0..width {
            let (own, other) = (column(given, at), column(others, at));
            finite("students of the rows", &own, 2)?;
            rises.push(mean(&own)? - mean(&other)?);
            variances.push(standard_deviation(&other)?.powi(2));
        }
        let freedom = others.len() as f64 - 1.0;
        let common = variances.iter().sum::<f64>() / variances.len().max(1) as f64;
        let moderated = |own: &f64| ((PRIOR * common + freedom * own) / (PRIOR + freedom)).sqrt();
        let deviations = variances.iter().map(moderated).collect();
        Ok(Self { rises, deviations, pairs: others.len() })
    }

    /// Standard deviation of the difference between the given set and the mean of the others, if nothing were
    /// there. The mean over students of one set has at least the spread of a set, and at most that of a student.
    fn error(&self, at: usize) -> f64 {
        self.deviations[at] * (1.0 + 1.0 / self.pairs as f64).sqrt()
    }

    fn distribution(&self) -> StudentsT {
        StudentsT::new(0.0, 1.0, PRIOR + self.pairs as f64 - 1.0)
            .expect("a t distribution exists because its degrees of freedom are positive")
    }

    /// The rise of a quantity.
    pub fn rise(&self, at: usize) -> f64 {
        self.rises[at]
    }

    /// The test of a quantity; none where nothing spreads.
    pub fn test(&self, at: usize) -> Option<Rise> {
        let error = self.error(at);
        (error > 0.0).then(|| {
            let t = self.rises[at] / error;
            Rise { t, p: self.distribution().sf(t) }
        })
    }

    /// How far the rise of a quantity reaches at two-sided `level`: half its interval.
    pub fn reach(&self, at: usize, level: f64) -> f64 {
        self.distribution().inverse_cdf(f64::midpoint(1.0, level)) * self.error(at)
    }

    /// The least rise of a quantity that is shown with [`POWER`] in a one-sided test at `alpha`.
    pub fn shown(&self, at: usize, alpha: f64) -> f64 {
        let t = self.distribution();
        (t.inverse_cdf(1.0 - alpha) + t.inverse_cdf(POWER)) * self.error(at)
    }
}

fn students(freedom: usize) -> StudentsT {
    StudentsT::new(0.0, 1.0, freedom as f64)
        .expect("a t distribution exists because there are at least two values")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::numpy::Generator;
    use crate::stats;

    fn normals(random: &mut Generator, count: usize) -> Vec<f64> {
        let uniform = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        (0..count).map(|_| Normal::standard().inverse_cdf(uniform(random.next_u64()))).collect()
    }

    #[test]
    fn rows_that_nobody_meddled_with_rise_no_more_often_than_stated() {
        // Sets with a luck of their own, students with theirs, and quantities of unlike spread.
        const RUNS: usize = 3_000;
        let (pairs, width) = (4, 15);
        let mut random = Generator::new(7);
        let (mut raised, mut any) = (0, 0);
        for _ in 0..RUNS {
            let student = |set: &[f64], random: &mut Generator| -> Vec<f64> {
                let own = normals(random, width);
                let spread = |at: usize| 0.04 + 0.004 * at as f64;
                (0..width).map(|at| spread(at) * (set[at] + 0.5 * own[at])).collect()
            };
            let set = normals(&mut random, width);
            let given: Vec<_> = (0..pairs).map(|_| student(&set, &mut random)).collect();
            let others: Vec<_> = (0..pairs)
                .map(|_| {
                    let set = normals(&mut random, width);
                    student(&set, &mut random)
                })
                .collect();
            let among = Among::new(&given, &others).unwrap();
            let ps: Vec<f64> = (0..width).map(|at| among.test(at).unwrap().p).collect();
            raised += ps.iter().filter(|p| **p <= 0.05).count();
            any += usize::from(stats::holm(&ps).unwrap().iter().any(|p| *p <= 0.05));
        }
        let (raised, any) = (raised as f64 / (RUNS * width) as f64, any as f64 / RUNS as f64);
        assert!((0.02..=0.055).contains(&raised), "{raised}");
        assert!((0.01..=0.06).contains(&any), "{any}");
    }

    #[test]
    fn a_share_is_shown_by_as_many_rows_as_its_square_needs() {
        let share = |rows| share_shown(1.0, 1.0, rows, 0.025);
        assert!((share(100) - 0.280).abs() < 1e-3, "{}", share(100));
        assert!((share(100) / share(400) - 2.0).abs() < 1e-12);
        assert_eq!(share_shown(0.0, 1.0, 100, 0.025), f64::INFINITY);
    }

    #[test]
    fn a_mean_rises_by_its_standard_errors() {
        let rise = mean_rise(&[1.0, 2.0, 3.0]).unwrap();
        // scipy.stats.ttest_1samp([1, 2, 3], 0, alternative="greater")
        assert!((rise.t - 3.464_101_615).abs() < 1e-9 && (rise.p - 0.037_089_950).abs() < 1e-8);
        assert_eq!(mean_rise(&[0.5, 0.5]).unwrap(), Rise { t: 0.0, p: 1.0 });
    }
}
