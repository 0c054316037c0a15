//! Fisher's exact test of one table of two by two, one-sided, and the Benjamini-Hochberg correction of many.

use statrs::function::gamma::ln_gamma;

/// The chance of at least `hits` marked ones among `drawn`, drawn without putting back from `all` of which `marked`
/// are marked: the one-sided p of "no more often among the drawn" (Fisher 1935). 1 where the counts are no table.
pub fn fisher(hits: usize, drawn: usize, marked: usize, all: usize) -> f64 {
    let least = (drawn + marked).saturating_sub(all);
    if drawn > all || marked > all || hits <= least {
        return 1.0;
    }
    let whole = log_choose(all, drawn);
    let tail = (hits..=drawn.min(marked))
        .map(|k| (log_choose(marked, k) + log_choose(all - marked, drawn - k) - whole).exp());
    tail.sum::<f64>().min(1.0)
}

/// The natural logarithm of in how many ways `k` of `n` can be chosen.
pub fn log_choose(n: usize, k: usize) -> f64 {
    let log = |n: usize| ln_gamma(n as f64 + 1.0);
    log(n) - log(k) - log(n - k)
}

/// The least false-discovery rate at which each of `ps` is still among those claimed (Benjamini and Hochberg 1995),
/// in the order given: valid where the tests are independent or rise together.
pub fn false_discovery(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|one, other| ps[*other].total_cmp(&ps[*one]));
    let (mut rates, mut least) = (vec![1.0; ps.len()], 1.0_f64);
    for (behind, at) in order.into_iter().enumerate() {
        let rank = ps.len() - behind;
        least = least.min(ps[at] * ps.len() as f64 / rank as f64);
        rates[at] = least;
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_p_of_an_independent_reference() {
        // scipy.stats.fisher_exact([[8, 2], [1, 5]], "greater") and ([[3, 0], [0, 97]], "greater")
        assert!((fisher(8, 10, 9, 16) - 0.024_475_524).abs() < 1e-8);
        assert!((fisher(3, 3, 3, 100) - 6.184_291e-6).abs() < 1e-11);
        assert_eq!(fisher(0, 3, 3, 100), 1.0);
        assert_eq!(fisher(2, 5, 9, 4), 1.0);
    }

    #[test]
    fn rates_are_those_of_benjamini_and_hochberg() {
        // R: p.adjust(c(.01, .04, .03, .005), "BH")
        let rates = false_discovery(&[0.01, 0.04, 0.03, 0.005]);
        for (rate, expected) in rates.iter().zip([0.02, 0.04, 0.04, 0.02]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
        assert!(false_discovery(&[]).is_empty());
    }
}
