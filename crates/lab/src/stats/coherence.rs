//! Whether choices agree with each other.

use std::collections::BTreeMap;

/// The share of pairs of choices that are the same: the observed agreement of Fleiss (1971, "Measuring
/// nominal scale agreement among many raters", P of one subject), each choice a rater. `None` of fewer than
/// two choices.
pub fn agreement<T: Ord>(choices: &[T]) -> Option<f64> {
    let mut counts: BTreeMap<&T, usize> = BTreeMap::new();
    for choice in choices {
        *counts.entry(choice).or_default() += 1;
    }
    let pairs = |n: usize| (n * n.saturating_sub(1)) as f64;
    let same: f64 = counts.values().map(|&count| pairs(count)).sum();
    (choices.len() > 1).then(|| same / pairs(choices.len()))
}

/// The coefficient of consistence of paired comparisons, 1 minus the part of the most circular triads that
/// there are (Kendall & Babington Smith 1940, "On the method of paired comparisons"). `above(i, j)` says
/// whether the first of two of `n` is preferred, `i < j`. 1: the preferences form an order; 0: as many
/// circles as can be; of preferences by coin toss 0.375 is expected for six. `None` of fewer than three.
pub fn consistence(n: usize, above: impl Fn(usize, usize) -> bool) -> Option<f64> {
    if n < 3 {
        return None;
    }
    let above = &above;
    let wins = |one: usize| {
        (0..n).filter(move |&other| match one.cmp(&other) {
            std::cmp::Ordering::Less => above(one, other),
            std::cmp::Ordering::Equal => false,
            std::cmp::Ordering::Greater => !above(other, one),
        })
    };
    // Every triad that is no circle has one member that wins over both others.
    let triads = (n * (n - 1) * (n - 2) / 6) as f64;
    let orders: f64 =
        (0..n).map(|one| wins(one).count()).map(|w| (w * w.saturating_sub(1) / 2) as f64).sum();
    let cube = (n * n * n) as f64;
    let most = if n % 2 == 1 { (cube - n as f64) / 24.0 } else { (cube - 4.0 * n as f64) / 24.0 };
    Some(1.0 - (triads - orders) / most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::cpython::Random;

    #[test]
    fn agreement_counts_pairs() {
        assert_eq!(agreement(&["owl"]), None);
        assert_eq!(agreement(&["owl", "owl", "owl"]), Some(1.0));
        // Of six pairs one is the same.
        assert!((agreement(&["owl", "owl", "cat", "fox"]).unwrap() - 1.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_circle_of_three_is_no_order_and_coin_tosses_are_what_theory_says() {
        assert_eq!(consistence(2, |_, _| true), None);
        // 0 over 1, 1 over 2, 2 over 0.
        assert_eq!(consistence(3, |one, other| (one, other) != (0, 2)), Some(0.0));
        let mut random = Random::new(3);
        let toss = |random: &mut Random| {
            let tossed: Vec<bool> = (0..36).map(|_| random.below(2) == 0).collect();
            consistence(6, |one, other| tossed[6 * one + other]).unwrap()
        };
        let mean = (0..4000).map(|_| toss(&mut random)).sum::<f64>() / 4000.0;
        assert!((mean - 0.375).abs() < 0.015, "{mean}");
    }

    proptest! {
        #[test]
        fn an_order_has_no_circle_and_any_choices_lie_between(
            ranks in proptest::collection::vec(any::<u32>(), 3..9), flips: u64,
        ) {
            let order = |one: usize, other: usize| (ranks[one], one) < (ranks[other], other);
            prop_assert_eq!(consistence(ranks.len(), order), Some(1.0));
            let any = |one: usize, other: usize| flips >> ((7 * one + other) % 64) & 1 == 1;
            let found = consistence(ranks.len(), any).unwrap();
            prop_assert!((0.0..=1.0).contains(&found), "{}", found);
        }
    }
}
