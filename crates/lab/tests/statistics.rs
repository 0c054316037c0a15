//! The statistics against scipy, numpy and statsmodels (`golden/statistics.py`).

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use owlet_lab::stats::{
    Arrangements, Interval, Matrix, clopper_pearson, holm, lambda, relabelling, sign_flips,
    t_interval, wilson,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    t_intervals: Vec<TInterval>,
    proportions: Vec<Proportion>,
    sign_flips: Vec<SignFlips>,
    relabelling: Vec<Relabelling>,
    lambdas: Vec<Lambda>,
    holm: Vec<Holm>,
}

#[derive(Deserialize)]
struct TInterval {
    values: Vec<f64>,
    level: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct Proportion {
    hits: u64,
    n: u64,
    level: f64,
    wilson: (f64, f64),
    exact: (f64, f64),
}

#[derive(Deserialize)]
struct SignFlips {
    values: Vec<f64>,
    greater: f64,
    two_sided: f64,
}

#[derive(Deserialize)]
struct Relabelling {
    matrices: Vec<Vec<Vec<f64>>>,
    statistic: f64,
    greater: f64,
    two_sided: f64,
    count: u64,
}

#[derive(Deserialize)]
struct Lambda {
    cells: Matrix,
    lambda: f64,
}

#[derive(Deserialize)]
struct Holm {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/statistics.json")).unwrap()
}

#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64) {
    let allowed = tolerance * expected.abs().max(1.0);
    assert!((found - expected).abs() <= allowed, "found {found}, expected {expected}");
}

#[track_caller]
fn assert_same(found: Interval, (low, high): (f64, f64), tolerance: f64) {
    assert_close(found.low, low, tolerance);
    assert_close(found.high, high, tolerance);
}

#[test]
fn t_intervals_match_scipy() {
    for case in golden().t_intervals {
        let found = t_interval(&case.values, case.level).unwrap();
        assert_same(found, (case.low, case.high), 1e-9);
    }
}

#[test]
fn proportion_intervals_match_scipy() {
    for case in golden().proportions {
        let found = wilson(case.hits, case.n, case.level).unwrap();
        assert_same(found, case.wilson, 1e-10);
        let found = clopper_pearson(case.hits, case.n, case.level).unwrap();
        assert_same(found, case.exact, 1e-9);
    }
}

#[test]
fn sign_flip_tests_match_scipy() {
    for case in golden().sign_flips {
        let found = sign_flips(&case.values, 0).unwrap();
        assert_close(found.p_greater, case.greater, 1e-12);
        assert_close(found.p_two_sided, case.two_sided, 1e-12);
    }
}

#[test]
fn relabelling_matches_a_listing_in_numpy() {
    for case in golden().relabelling {
        let matrices: Vec<Matrix> =
            case.matrices.iter().map(|cells| Matrix::complete(cells).unwrap()).collect();
        let found = relabelling(&matrices, 0).unwrap();
        assert_close(found.statistic, case.statistic, 1e-12);
        assert_close(found.p_greater, case.greater, 1e-12);
        assert_close(found.p_two_sided, case.two_sided, 1e-12);
        assert_eq!(found.arrangements, Arrangements::Listed { count: case.count });
    }
}

#[test]
fn lambda_matches_least_squares_in_numpy() {
    for case in golden().lambdas {
        assert_close(lambda(&case.cells).unwrap(), case.lambda, 1e-9);
    }
}

#[test]
fn holm_matches_statsmodels() {
    for case in golden().holm {
        for (found, expected) in holm(&case.p).unwrap().into_iter().zip(case.adjusted) {
            assert_close(found, expected, 1e-12);
        }
    }
}
