//! CPython's `random.Random(seed)`: MT19937 with `sample` and `shuffle`.
//!
//! Published subsets of rows were chosen by `Random(1).sample`, published shuffles by `shuffle`.
//! Only integer seeds and these two methods are here. Sources: Matsumoto & Nishimura 1998 and the
//! documented algorithms of Python 3's `random` module. The invariant: for every seed and every
//! sequence of calls, CPython 3 returns the same values.

use std::collections::HashSet;

use rand_mt::Mt;

/// The stream of `random.Random(seed)`.
#[derive(Debug, Clone)]
pub struct Random {
    bits: Mt,
}

impl Random {
    /// `random.Random(seed)` for a non-negative integer seed.
    pub fn new(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let used = if words[1] == 0 { 1 } else { 2 };
        Self { bits: Mt::new_with_key(words.into_iter().take(used)) }
    }

    /// `getrandbits(bits)` for at most 64 bits; asking for none draws nothing.
    pub fn bits(&mut self, bits: u32) -> u64 {
        match bits {
            0 => 0,
            1..=32 => u64::from(self.bits.next_u32() >> (32 - bits)),
            _ => {
                let low = u64::from(self.bits.next_u32());
                let high = u64::from(self.bits.next_u32() >> (64 - bits.min(64)));
                (high << 32) | low
            }
        }
    }

    /// `randrange(count)`: uniform below `count`, by rejection.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn below(&mut self, count: u64) -> u64 {
        assert!(count > 0, "a draw below 0 has no value");
        let length = u64::BITS - count.leading_zeros();
        loop {
            let value = self.bits(length);
            if value < count {
                return value;
            }
        }
    }

    /// `sample(range(population), wanted)`: distinct indices, in the order drawn.
    ///
    /// When `wanted` is larger than the population, the whole population is returned in order and
    /// nothing is drawn, as the published subset step does (CPython itself would refuse).
    pub fn sample(&mut self, population: usize, wanted: usize) -> Vec<usize> {
        if wanted >= population {
            return (0..population).collect();
        }
        if population <= pool_limit(wanted) {
            let mut pool: Vec<usize> = (0..population).collect();
            (0..wanted)
                .map(|index| {
                    let left = population - index;
                    let at = self.below(left as u64) as usize;
                    let chosen = pool[at];
                    pool[at] = pool[left - 1];
                    chosen
                })
                .collect()
        } else {
            let mut seen = HashSet::with_capacity(wanted);
            (0..wanted)
                .map(|_| {
                    loop {
                        let chosen = self.below(population as u64) as usize;
                        if seen.insert(chosen) {
                            return chosen;
                        }
                    }
                })
                .collect()
        }
    }

    /// `shuffle(items)` in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// The largest population for which CPython samples from a pool rather than by redrawing.
fn pool_limit(wanted: usize) -> usize {
    if wanted <= 5 {
        return 21;
    }
    let wanted = (wanted as u128).saturating_mul(3);
    let mut power = 1_u128;
    while power < wanted {
        power *= 4;
    }
    usize::try_from(power + 21).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn sampling_matches_cpython() {
        let chosen = Random::new(1).sample(20_000, 10_000);
        assert_eq!(chosen[..6], [4402, 18651, 2067, 8358, 3863, 16234]);
        let joined = chosen.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let digest = Sha256::digest(joined.as_bytes());
        let hex = format!("{digest:x}");
        assert_eq!(hex, "c9789881e8437ff348d1959f0266a2629e21e278ca9a4a4bcfa52b8560b25b12");
    }

    #[test]
    fn shuffling_matches_cpython() {
        let mut items: Vec<u8> = (0..10).collect();
        Random::new(1).shuffle(&mut items);
        assert_eq!(items, [6, 8, 9, 7, 5, 3, 0, 4, 1, 2]);
    }

    #[test]
    fn the_pool_limit_is_cpythons() {
        assert_eq!(pool_limit(10_000), 65_557);
        assert_eq!(pool_limit(5), 21);
        assert_eq!(pool_limit(6), 21 + 64);
    }

    /// `r = random.Random(SEED); r.sample(range(10**6), 4); r.getrandbits(64)` in CPython 3.
    #[test]
    fn redrawing_samples_and_wide_draws_match_cpython() {
        let mut short = Random::new(0);
        assert_eq!(short.sample(1_000_000, 4), [885440, 403958, 794772, 933488]);
        assert_eq!(short.bits(64), 746805015404516437);
        let mut long = Random::new(123_456_789_012_345);
        assert_eq!(long.sample(1_000_000, 4), [707238, 231199, 306527, 430171]);
        assert_eq!(long.bits(40), 855664176365);
    }

    #[test]
    fn wanting_everything_draws_nothing() {
        let mut random = Random::new(9);
        assert_eq!(random.sample(3, 3), [0, 1, 2]);
        assert_eq!(random.sample(3, 8), [0, 1, 2]);
        assert_eq!(random.bits(32), Random::new(9).bits(32));
    }

    proptest! {
        #[test]
        fn a_sample_is_distinct_and_in_range(seed: u64, population in 0..300_usize, wanted in 0..300_usize) {
            let chosen = Random::new(seed).sample(population, wanted);
            prop_assert_eq!(chosen.len(), wanted.min(population));
            let distinct: BTreeSet<_> = chosen.iter().copied().collect();
            prop_assert_eq!(distinct.len(), chosen.len());
            prop_assert!(chosen.iter().all(|index| *index < population));
        }

        #[test]
        fn a_shuffle_is_a_permutation(seed: u64, mut items: Vec<u16>) {
            let mut shuffled = items.clone();
            Random::new(seed).shuffle(&mut shuffled);
            shuffled.sort_unstable();
            items.sort_unstable();
            prop_assert_eq!(shuffled, items);
        }
    }
}
