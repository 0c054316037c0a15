use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::random::cpython::Random;

/// Standard normal draws (Box and Muller 1958).
fn normals(random: &mut Random, count: usize) -> Vec<f64> {
    let mut uniform = || (random.bits(53) as f64 + 0.5) / 2.0_f64.powi(53);
    let mut draw = || (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
    (0..count).map(|_| draw()).collect()
}

/// Fails unless `hits` of `trials` fits the probability within four standard errors.
#[track_caller]
fn assert_frequency(hits: usize, trials: usize, probability: f64) {
    let found = hits as f64 / trials as f64;
    let error = (probability * (1.0 - probability) / trials as f64).sqrt();
    assert!((found - probability).abs() <= 4.0 * error, "{found} instead of {probability}");
}

#[test]
fn t_intervals_cover_as_often_as_they_say() {
    let mut random = Random::new(11);
    for (n, level) in [(3, 0.95), (6, 0.95), (6, 0.8)] {
        let trials = 4000;
        let covered = (0..trials).filter(|_| {
            let values: Vec<f64> = normals(&mut random, n).iter().map(|z| 0.4 + 3.0 * z).collect();
            t_interval(&values, level).unwrap().contains(0.4)
        });
        assert_frequency(covered.count(), trials, level);
    }
}

#[test]
fn paired_estimates_cover_the_difference_despite_shared_seeds() {
    let mut random = Random::new(12);
    let trials = 2000;
    let covered = (0..trials).filter(|_| {
        let seeds = normals(&mut random, 6);
        let noise = normals(&mut random, 12);
        let arm = |offset: usize, effect: f64| -> BTreeMap<u64, f64> {
            let value = |seed: usize| 5.0 * seeds[seed] + noise[offset + seed] + effect;
            (0..6).map(|seed| (seed as u64, value(seed))).collect()
        };
        let differences: Vec<f64> =
            pairs_by_seed(&arm(0, 0.7), &arm(6, 0.0)).unwrap().into_values().collect();
        t_interval(&differences, 0.95).unwrap().contains(0.7)
    });
    assert_frequency(covered.count(), trials, 0.95);
}

#[test]
fn exact_proportion_intervals_never_cover_too_little() {
    let (n, level) = (25_u64, 0.95);
    let wilson_cover = |rate: f64| coverage(n, rate, |hits| wilson(hits, n, level).unwrap());
    let exact_cover =
        |rate: f64| coverage(n, rate, |hits| clopper_pearson(hits, n, level).unwrap());
    let rates: Vec<f64> = (1..100).map(|percent| f64::from(percent) / 100.0).collect();
    assert!(rates.iter().all(|rate| exact_cover(*rate) >= level));
    let average = mean(&rates.iter().map(|rate| wilson_cover(*rate)).collect::<Vec<_>>()).unwrap();
    assert!((average - level).abs() < 0.01, "{average}");
}

/// The chance that the interval of a binomial draw contains its rate, summed exactly.
fn coverage(n: u64, rate: f64, interval: impl Fn(u64) -> Interval) -> f64 {
    let mut probability = (1.0 - rate).powi(n as i32);
    let mut covered = 0.0;
    for hits in 0..=n {
        if interval(hits).contains(rate) {
            covered += probability;
        }
        probability *= (n - hits) as f64 / (hits + 1) as f64 * rate / (1.0 - rate);
    }
    covered
}

#[test]
fn sign_flip_p_is_uniform_when_nothing_is_there() {
    let mut random = Random::new(13);
    let trials = 4000;
    let mut p = Vec::new();
    for _ in 0..trials {
        p.push(sign_flips(&normals(&mut random, 6), 0).unwrap());
    }
    for sixty_fourths in [1, 2, 3, 8, 16, 32, 48] {
        let level = f64::from(sixty_fourths) / 64.0;
        let below = |value: f64| value <= level + 1e-9;
        assert_frequency(p.iter().filter(|p| below(p.p_greater)).count(), trials, level);
        if sixty_fourths % 2 == 0 {
            assert_frequency(p.iter().filter(|p| below(p.p_two_sided)).count(), trials, level);
        }
    }
}

/// Replicates with row and column effects of their own and a diagonal of `effect`.
fn replicates(random: &mut Random, size: usize, count: usize, effect: f64) -> Vec<Matrix> {
    let mut matrix = || {
        let students = normals(random, size);
        let readouts = normals(random, size);
        let noise = normals(random, size * size);
        let cell = |i: usize, j: usize| {
            let diagonal = if i == j { effect } else { 0.0 };
            3.0 * students[i] + 3.0 * readouts[j] + 0.5 * noise[i * size + j] + diagonal
        };
        let cells: Vec<Vec<f64>> =
            (0..size).map(|i| (0..size).map(|j| cell(i, j)).collect()).collect();
        Matrix::complete(&cells).unwrap()
    };
    (0..count).map(|_| matrix()).collect()
}

#[test]
fn relabelling_p_is_uniform_when_there_is_no_diagonal() {
    let mut random = Random::new(14);
    let trials = 1500;
    let p: Vec<f64> = (0..trials)
        .map(|_| relabelling(&replicates(&mut random, 3, 3, 0.0), 0).unwrap().p_greater)
        .collect();
    for level in [9.0 / 216.0, 0.25, 0.5, 0.75] {
        assert_frequency(p.iter().filter(|p| **p <= level + 1e-9).count(), trials, level);
    }
}

#[test]
fn a_strong_diagonal_reaches_the_floor() {
    let test = relabelling(&replicates(&mut Random::new(15), 3, 5, 9.0), 0).unwrap();
    assert_eq!(test.p_greater, 1.0 / 7776.0);
    assert!((test.floor_greater - 1.0 / 7776.0).abs() < 1e-15);
    let pairs = sign_flips(&[1.0, 2.0, 0.5, 3.0, 1.0], 0).unwrap();
    assert_eq!((pairs.p_greater, pairs.floor_greater), (1.0 / 32.0, 1.0 / 32.0));
    assert_eq!((pairs.p_two_sided, pairs.floor_two_sided), (0.0625, 0.0625));
    let with_zero = sign_flips(&[1.0, 2.0, 0.0], 0).unwrap();
    assert_eq!((with_zero.p_greater, with_zero.floor_greater), (0.25, 0.25));
}

#[test]
fn sampled_tests_agree_with_the_listing_they_replace() {
    let mut random = Random::new(16);
    let mut differences: Vec<f64> = normals(&mut random, 20).iter().map(|z| z + 0.3).collect();
    let listed = sign_flips(&differences, 0).unwrap();
    assert_eq!(listed.arrangements, Arrangements::Listed { count: 1 << 20 });
    // A pair without a difference changes no p-value, but is one too many to list.
    differences.push(0.0);
    let sampled = sign_flips(&differences, 5).unwrap();
    let Arrangements::Sampled { count, seed, greater, two_sided } = sampled.arrangements else {
        panic!("21 pairs are sampled");
    };
    assert_eq!((count, seed), (99_999, 5));
    assert!(greater.contains(listed.p_greater) && two_sided.contains(listed.p_two_sided));
    assert!(greater.contains(sampled.p_greater));
    assert_eq!(sign_flips(&differences, 5).unwrap(), sign_flips(&differences, 5).unwrap());
}

#[test]
fn large_matrices_are_relabelled_by_sampling() {
    let strong = relabelling(&replicates(&mut Random::new(17), 6, 4, 9.0), 3).unwrap();
    assert_eq!((strong.p_greater, strong.floor_greater), (1e-5, 1e-5));
    let null = relabelling(&replicates(&mut Random::new(18), 6, 4, 0.0), 3).unwrap();
    assert!(matches!(null.arrangements, Arrangements::Sampled { .. }));
    assert!(null.p_greater > 0.01 && null.p_greater < 0.99, "{}", null.p_greater);
}

#[test]
fn holm_bounds_the_chance_of_any_false_claim() {
    let mut random = Random::new(19);
    let trials = 4000;
    let false_claims = (0..trials).filter(|_| {
        let p: Vec<f64> = (0..5).map(|_| random.bits(53) as f64 / 2.0_f64.powi(53)).collect();
        holm(&p).unwrap().iter().any(|p| *p <= 0.05)
    });
    assert_frequency(false_claims.count(), trials, 1.0 - (1.0 - 0.01_f64).powi(5));
}

#[test]
fn a_student_minus_the_mean_of_eleven_others_is_covered_as_often_as_a_pair() {
    // What all students of a repetition share moves them by twice their own luck.
    let mut random = Random::new(21);
    let trials = 4000;
    let mut covered = [0, 0];
    for _ in 0..trials {
        let (mut over_one, mut over_others) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let shared = 2.0 * normals(&mut random, 1)[0];
            let students: Vec<f64> =
                normals(&mut random, 13).iter().map(|own| shared + own).collect();
            over_one.push(students[0] - students[12]);
            over_others.push(students[0] - mean(&students[1..12]).unwrap());
        }
        for (count, differences) in covered.iter_mut().zip([over_one, over_others]) {
            *count += usize::from(t_interval(&differences, 0.95).unwrap().contains(0.0));
        }
    }
    for count in covered {
        assert_frequency(count, trials, 0.95);
    }
}

#[test]
fn intervals_of_clustered_shares_hold_the_dependence_of_clusters() {
    let ends = |clusters: &[(u64, u64)]| {
        let interval = clustered(clusters, 0.95).unwrap();
        [interval.low, interval.high]
    };
    let exact = |hits, n| {
        let interval = clopper_pearson(hits, n, 0.95).unwrap();
        [interval.low, interval.high]
    };
    // Clusters of one are answers; clusters that are all alike count as one answer each.
    assert_eq!(ends(&[(1, 1), (0, 1), (1, 1), (1, 1)]), exact(3, 4));
    assert_eq!(ends(&[(12, 12); 20]), exact(20, 20));
    assert_eq!(ends(&[(0, 12); 20]), exact(0, 20));
    // Whole clusters that do or do not: nearly as few answers as clusters.
    let whole: Vec<(u64, u64)> = (0..20).map(|at| (if at < 15 { 12 } else { 0 }, 12)).collect();
    let [low, high] = ends(&whole);
    let [low_exact, high_exact] = exact(15, 20);
    assert!((low - low_exact).abs() < 0.03 && (high - high_exact).abs() < 0.03, "{low} {high}");

    // Each cluster has a share of its own around 0.9.
    let mut random = Random::new(22);
    let trials = 2000;
    let covered = (0..trials).filter(|_| {
        let clusters: Vec<(u64, u64)> = (0..20)
            .map(|_| {
                let share = 0.8 + 0.2 * (random.bits(53) as f64 / 2.0_f64.powi(53));
                let hits = (0..12).filter(|_| (random.bits(53) as f64 / 2.0_f64.powi(53)) < share);
                (hits.count() as u64, 12)
            })
            .collect();
        clustered(&clusters, 0.95).unwrap().contains(0.9)
    });
    let covered = covered.count() as f64 / f64::from(trials);
    assert!(covered > 0.94, "{covered}");
}

#[test]
fn units_that_do_not_differ_up_to_rounding_are_told() {
    assert!(do_not_differ(&[0.4, 0.4, 0.4]) && do_not_differ(&[0.1 + 0.2, 0.3]));
    assert!(!do_not_differ(&[0.4, 0.4, 0.41]) && !do_not_differ(&[0.0, 1e-9]));
    assert_eq!(t_test(&[0.1 + 0.2, 0.3]).unwrap(), None);
}

#[test]
fn pairs_join_what_shares_a_seed() {
    let arm = |values: [f64; 6]| -> BTreeMap<u64, f64> { (1..).zip(values).collect() };
    let treatment = arm([0.5, 0.6, 0.7, 0.55, 0.65, 0.75]);
    let control = arm([0.25, 0.25, 0.5, 0.25, 0.5, 0.5]);
    let differences: Vec<f64> =
        pairs_by_seed(&treatment, &control).unwrap().into_values().collect();
    let interval = t_interval(&differences, 0.95).unwrap();
    assert!((mean(&differences).unwrap() - 0.25).abs() < 1e-12);
    assert!((interval.low - 0.175_793_694_261_070_55).abs() < 1e-12);
    assert!((interval.high - 0.324_206_305_738_929_45).abs() < 1e-12);
    let test = sign_flips(&differences, 0).unwrap();
    assert_eq!((test.p_two_sided, test.floor_two_sided), (0.031_25, 0.031_25));
}

#[test]
fn the_diagonal_recovers_lambda_and_its_absence() {
    let mut random = Random::new(20);
    let found = |matrices: &[Matrix]| {
        let lambdas: Vec<f64> = matrices.iter().map(|matrix| lambda(matrix).unwrap()).collect();
        (t_interval(&lambdas, 0.99).unwrap(), relabelling(matrices, 1).unwrap().p_greater)
    };
    let (interval, p) = found(&replicates(&mut random, 4, 6, 2.0));
    assert!(interval.low > 0.0 && interval.contains(2.0) && p < 0.001);
    let (interval, p) = found(&replicates(&mut random, 4, 6, 0.0));
    assert!(interval.contains(0.0) && p > 0.01);
}

#[test]
fn a_null_of_a_mean_holds_what_it_says() {
    let null = Null::of_mean(&[0.1, 0.3], &[0.3, 0.4]).unwrap();
    let range = null.range(0.95).unwrap();
    assert!((range.low - (0.2 - 1.959_964 * 0.25)).abs() < 1e-6);
    assert!((null.p(range.high).unwrap() - 0.05).abs() < 1e-9);
    assert_eq!(null.p(0.2), Some(1.0));
    assert_eq!(Null::of_mean(&[0.0], &[0.0]).unwrap().p(1.0), None);
}

#[test]
fn students_average_questions_not_answers() {
    let count = |hits, n| Count { hits, n };
    let rate = student_rate(&[count(1, 1), count(0, 99), count(0, 0)]).unwrap();
    assert_eq!(rate, StudentRate { rate: 0.5, questions: 2, unanswered: 1 });
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let matrix = |cells: &[&[f64]]| {
        let cells: Vec<Vec<f64>> = cells.iter().map(|row| row.to_vec()).collect();
        Matrix::complete(&cells)
    };
    let sparse = Matrix::new(vec![vec![Some(1.0), None], vec![None, Some(2.0)]]).unwrap();
    let other = BTreeMap::from([(1, 0.5), (3, 0.5)]);
    let arm = BTreeMap::from([(1, 0.5), (2, 0.5)]);
    let errors = [
        mean(&[]).unwrap_err(),
        mean(&[1.0, f64::NAN]).unwrap_err(),
        mean(&[f64::MAX, f64::MAX]).unwrap_err(),
        standard_deviation(&[1.0]).unwrap_err(),
        t_interval(&[1.0, 2.0], 95.0).unwrap_err(),
        wilson(3, 2, 0.95).unwrap_err(),
        clopper_pearson(0, 0, 0.95).unwrap_err(),
        pairs_by_seed(&arm, &other).unwrap_err(),
        student_rate(&[]).unwrap_err(),
        holm(&[0.5, f64::NAN]).unwrap_err(),
        sign_flips(&[f64::INFINITY], 0).unwrap_err(),
        matrix(&[&[1.0]]).unwrap_err(),
        matrix(&[&[1.0, 2.0], &[1.0]]).unwrap_err(),
        matrix(&[&[1.0, 2.0], &[1.0, f64::NAN]]).unwrap_err(),
        lambda(&sparse).unwrap_err(),
        relabelling(&[], 0).unwrap_err(),
        relabelling(&[sparse], 0).unwrap_err(),
    ];
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    mean: 0 given, at least 1 needed; add replicates
    mean: value 1 is NaN; expected a finite number, so find out what failed
    mean: the values are too large to add up; find out what they measure
    standard deviation: 1 given, at least 2 needed; add replicates
    a confidence level of 95; expected one between 0 and 1, such as 0.95
    a proportion of 3 hits in 2 answers; expected at least one answer and no more hits than answers
    a proportion of 0 hits in 0 answers; expected at least one answer and no more hits than answers
    treatment and control cannot be paired: seed 2 is only in the treatment; run it for both or for neither
    answered questions: 0 given, at least 1 needed; add replicates
    p-value 1 is NaN; expected one from 0 to 1
    paired differences: value 0 is inf; expected a finite number, so find out what failed
    behavior matrix: 1 behaviors; expected at least 2
    behavior matrix: row 1 has 1 cells; expected 2
    behavior matrix: cell (1, 1) is not a finite number
    behavior matrix: too many cells are missing to tell the diagonal from row and column effects; run more teacher-readout combinations
    behavior matrix: no replicates; expected at least one
    behavior matrix: replicate 0 has missing cells; relabelling needs complete matrices
    ");
}

fn square() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (2..6_usize).prop_flat_map(|size| {
        let row = proptest::collection::vec(-5.0..5.0_f64, size);
        proptest::collection::vec(row, size)
    })
}

proptest! {
    #[test]
    fn a_t_test_says_at_a_level_what_its_interval_of_that_level_says(
        values in proptest::collection::vec(-10.0..10.0_f64, 2..12),
        level in 0.5..0.999_f64,
    ) {
        let interval = t_interval(&values, level).unwrap();
        if let Some(p) = t_test(&values).unwrap()
            && (p - (1.0 - level)).abs() > 1e-6
        {
            prop_assert_eq!(p <= 1.0 - level, !interval.contains(0.0));
        }
    }

    #[test]
    fn intervals_contain_their_estimate_and_widen_with_the_level(
        values in proptest::collection::vec(-1e3..1e3_f64, 2..12), hits in 0..50_u64, misses in 0..50_u64,
    ) {
        prop_assume!(hits + misses > 0);
        let n = hits + misses;
        let rate = hits as f64 / n as f64;
        let narrow = [t_interval(&values, 0.8), wilson(hits, n, 0.8), clopper_pearson(hits, n, 0.8)];
        let wide = [t_interval(&values, 0.99), wilson(hits, n, 0.99), clopper_pearson(hits, n, 0.99)];
        let values = [mean(&values).unwrap(), rate, rate];
        for ((narrow, wide), value) in narrow.into_iter().zip(wide).zip(values) {
            let (narrow, wide) = (narrow.unwrap(), wide.unwrap());
            prop_assert!(narrow.contains(value));
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
        }
        prop_assert!(wilson(hits, n, 0.99).unwrap().low >= 0.0);
    }

    #[test]
    fn no_interval_rests_on_one_value(value in -1e9..1e9_f64) {
        prop_assert!(t_interval(&[value], 0.95).is_err());
        prop_assert_eq!(t_test(&[value]).unwrap(), None);
    }

    #[test]
    fn sign_flips_ignore_order_and_scale(
        values in proptest::collection::vec(-50..50_i32, 1..9), factor in 1..100_u32,
    ) {
        let differences: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        let changed: Vec<f64> = differences.iter().rev().map(|d| d * f64::from(factor) / 7.0).collect();
        let (before, after) = (sign_flips(&differences, 0).unwrap(), sign_flips(&changed, 0).unwrap());
        prop_assert_eq!((before.p_greater, before.p_two_sided), (after.p_greater, after.p_two_sided));
        prop_assert!(before.p_greater >= before.floor_greater && before.p_two_sided >= before.floor_two_sided);
        let changed: Vec<f64> = changed.iter().map(|difference| -difference).collect();
        let mirrored = sign_flips(&changed, 0).unwrap();
        prop_assert_eq!(mirrored.p_two_sided, before.p_two_sided);
        prop_assert!(mirrored.p_greater + before.p_greater >= 1.0);
    }

    #[test]
    fn lambda_sees_the_diagonal_and_nothing_else(
        cells in square(), rows in proptest::collection::vec(-9.0..9.0_f64, 6),
        columns in proptest::collection::vec(-9.0..9.0_f64, 6), effect in -3.0..3.0_f64,
    ) {
        let before = lambda(&Matrix::complete(&cells).unwrap()).unwrap();
        let mut moved = cells.clone();
        for (i, row) in moved.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                *cell += rows[i] + columns[j] + if i == j { effect } else { 0.0 };
            }
        }
        let after = lambda(&Matrix::complete(&moved).unwrap()).unwrap();
        prop_assert!((after - before - effect).abs() < 1e-9);
    }

    #[test]
    fn missing_cells_do_not_move_lambda_where_the_model_holds(
        size in 3..7_usize, rows in proptest::collection::vec(-9.0..9.0_f64, 7),
        columns in proptest::collection::vec(-9.0..9.0_f64, 7), effect in -3.0..3.0_f64, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let cell = |i: usize, j: usize| rows[i] + columns[j] + if i == j { effect } else { 0.0 };
        let cells: Vec<Vec<Option<f64>>> = (0..size)
            .map(|i| (0..size).map(|j| (random.below(5) > 0).then(|| cell(i, j))).collect())
            .collect();
        // Too few cells are refused; a value, where there is one, is exact.
        if let Ok(found) = lambda(&Matrix::new(cells).unwrap()) {
            prop_assert!((found - effect).abs() < 1e-8, "{} instead of {}", found, effect);
        }
    }

    #[test]
    fn holm_keeps_order_and_never_lowers_p(p in proptest::collection::vec(0.0..=1.0_f64, 0..10)) {
        let adjusted = holm(&p).unwrap();
        for (raw, corrected) in p.iter().zip(&adjusted) {
            prop_assert!(raw <= corrected && *corrected <= 1.0);
            for (other, other_corrected) in p.iter().zip(&adjusted) {
                prop_assert!(raw > other || corrected <= other_corrected);
            }
        }
    }
}

#[test]
fn t_tests_match_scipy_and_sizes_match_statsmodels() {
    // scipy.stats.ttest_1samp(values, 0).pvalue
    for (values, expected) in [
        (&[1.0, 2.0, 3.0, 4.0, 5.0][..], 0.013_235_599_563_682_69),
        (&[0.2, -0.1, 0.4, 0.3, 0.05, 0.15], 0.070_283_375_434_987_68),
    ] {
        let found = t_test(values).unwrap().unwrap();
        assert!((found - expected).abs() < 1e-9, "{found}");
    }
    assert_eq!(t_test(&[1.0]).unwrap(), None);
    assert_eq!(t_test(&[1.0, 1.0, 1.0]).unwrap(), None);
    // statsmodels.stats.power.TTestPower().solve_power(nobs=units, alpha=alpha, power=0.8)
    for (units, alpha, exact) in [
        (3, 0.05, 3.264_043_552_819_638),
        (6, 0.05, 1.434_545_139_511_929),
        (6, 0.025, 1.705_251_843_828_677),
        (12, 0.025, 1.008_216_401_086_617_5),
        (30, 0.05, 0.529_235_704_523_892_8),
    ] {
        let found = detectable(units, alpha);
        assert!((found / exact - 1.0).abs() < 0.06, "{units}: {found} instead of {exact}");
        assert_eq!(units_needed(found, alpha), Some(units));
    }
    assert_eq!(units_needed(1e-6, 0.05), None);
}
