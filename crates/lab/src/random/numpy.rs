//! numpy's `numpy.random.default_rng(seed)`: `SeedSequence`, PCG64, and bounded integers.
//!
//! Only what the published prompt sets draw is here: `integers` and `choice` over one value at a
//! time. It is not a general generator. Sources: O'Neill 2014 (PCG XSL-RR 128/64), O'Neill 2015
//! (seed sequences), Lemire 2019 (bounded draws), and numpy's documented stream compatibility.
//! The invariant: for every seed and every sequence of calls, numpy returns the same values.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng as _;

/// The stream of `default_rng(seed)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generator {
    bits: Pcg64,
    /// The high half of the last 64-bit output, when only its low half has been used.
    spare: Option<u32>,
}

impl Generator {
    /// `numpy.random.default_rng(seed)`.
    pub fn new(seed: u64) -> Self {
        let words = seed_sequence(seed);
        let join = |high: u64, low: u64| (u128::from(high) << 64) | u128::from(low);
        Self { bits: Pcg64::new(join(words[0], words[1]), join(words[2], words[3])), spare: None }
    }

    /// A uniform 64-bit value; leaves a buffered half untouched, as numpy does.
    pub fn next_u64(&mut self) -> u64 {
        self.bits.next_u64()
    }

    /// A uniform 32-bit value: the low half of a 64-bit output, then its high half.
    pub fn next_u32(&mut self) -> u32 {
        if let Some(high) = self.spare.take() {
            return high;
        }
        let both = self.bits.next_u64();
        self.spare = Some((both >> 32) as u32);
        both as u32
    }

    /// `generator.integers(low, high)`: uniform in `low..high`.
    ///
    /// # Panics
    /// If `low >= high`; callers validate their ranges when they read them.
    pub fn integers(&mut self, low: u64, high: u64) -> u64 {
        assert!(low < high, "integers needs low < high, got {low}..{high}");
        low + self.below(high - low)
    }

    /// `generator.choice(items)`; `None` when there is nothing to choose from.
    pub fn choice<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Brings `items` into an order of chance (Fisher and Yates, from the last place on).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Lemire's unbiased draw of one of `count` values; a single value consumes nothing.
    fn below(&mut self, count: u64) -> u64 {
        const WORD: u64 = 1 << 32;
        if count == 1 {
            0
        } else if count < WORD {
            let threshold = (WORD - count) % count;
            let mut product = u64::from(self.next_u32()) * count;
            while (product & (WORD - 1)) < threshold {
                product = u64::from(self.next_u32()) * count;
            }
            product >> 32
        } else if count == WORD {
            u64::from(self.next_u32())
        } else {
            let threshold = u128::from(count.wrapping_neg() % count);
            let mut product = u128::from(self.next_u64()) * u128::from(count);
            while (product & u128::from(u64::MAX)) < threshold {
                product = u128::from(self.next_u64()) * u128::from(count);
            }
            (product >> 64) as u64
        }
    }
}

/// `SeedSequence(seed).generate_state(4, uint64)`.
fn seed_sequence(seed: u64) -> [u64; 4] {
    let mut hash = 0x43b0_d7e5_u32;
    let mut hash_in = |value: u32| scramble(value, &mut hash, 0x931e_8875);
    let sources = [seed as u32, (seed >> 32) as u32, 0, 0];
    let mut pool = sources.map(&mut hash_in);
    for source in 0..pool.len() {
        for destination in 0..pool.len() {
            if source != destination {
                pool[destination] = mix(pool[destination], hash_in(pool[source]));
            }
        }
    }
    let mut hash = 0x8b51_f9dd_u32;
    let mut words = [0; 4];
    for (index, word) in pool.iter().cycle().take(8).enumerate() {
        let half = u64::from(scramble(*word, &mut hash, 0x58f3_8ded));
        words[index / 2] |= half << (32 * (index % 2));
    }
    words
}

fn scramble(value: u32, hash: &mut u32, factor: u32) -> u32 {
    let value = value ^ *hash;
    *hash = hash.wrapping_mul(factor);
    let value = value.wrapping_mul(*hash);
    value ^ (value >> 16)
}

fn mix(x: u32, y: u32) -> u32 {
    let mixed = 0xca01_f9dd_u32.wrapping_mul(x).wrapping_sub(0x4973_f715_u32.wrapping_mul(y));
    mixed ^ (mixed >> 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACTOR: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;

    #[test]
    fn seeds_expand_to_numpys_state_and_increment() {
        let golden = [
            (0, 0x1aa1b5345996452d09585eb7a69561e3_u128, 0x418ddadb3af71a82588133bc447873a9_u128),
            (1, 0x9c5b484bfedb756c2a6e7d6f320fbc7e, 0x922af2da2645f895a19857b95740937b),
            (42, 0xcea44f6798798f2aacbc7c9d68860ac8, 0xfa505436c9a8416e66caf2e28d25abff),
            (47, 0x66c33aeb73a67d71c14b0875183070aa, 0xfc1f11abd09f02670d464396b8c2a7f9),
        ];
        for (seed, state, increment) in golden {
            let [u0, u1, u2, u3] = seed_sequence(seed).map(u128::from);
            let inc = (((u2 << 64) | u3) << 1) | 1;
            assert_eq!(inc, increment, "increment of seed {seed}");
            let start = ((u0 << 64) | u1).wrapping_add(inc);
            assert_eq!(start.wrapping_mul(FACTOR).wrapping_add(inc), state, "state of seed {seed}");
        }
    }

    #[test]
    fn the_raw_generator_is_xsl_rr() {
        let mut generator = Generator::new(42);
        let mut state = 0xcea44f6798798f2aacbc7c9d68860ac8_u128;
        for _ in 0..100 {
            state = state.wrapping_mul(FACTOR).wrapping_add(0xfa505436c9a8416e66caf2e28d25abff);
            let folded = (state >> 64) as u64 ^ state as u64;
            assert_eq!(generator.next_u64(), folded.rotate_right((state >> 122) as u32));
        }
    }

    #[test]
    fn halves_come_low_first_and_survive_a_64_bit_draw() {
        let mut whole = Generator::new(3);
        let (first, second) = (whole.next_u64(), whole.next_u64());
        let mut halves = Generator::new(3);
        assert_eq!(halves.next_u32(), first as u32);
        assert_eq!(halves.next_u64(), second);
        assert_eq!(halves.next_u32(), (first >> 32) as u32);
    }

    /// `r = default_rng(12345678901234567)`, the same calls in the same order, numpy 2.4.
    #[test]
    fn bounded_draws_of_every_width_match_numpy() {
        let mut generator = Generator::new(12345678901234567);
        assert_eq!(generator.integers(0, 10), 6);
        assert_eq!(generator.integers(0, 1 << 40), 986082103556);
        assert_eq!(generator.integers(100, 1000), 406);
        assert_eq!(generator.integers(0, 1 << 32), 2423428453);
        assert_eq!(generator.integers(7, 1 << 63), 626383303163763032);
        assert_eq!(generator.choice(&[4, 5, 6]), Some(&6));
    }

    #[test]
    fn a_single_choice_consumes_nothing() {
        let mut generator = Generator::new(5);
        let untouched = generator.clone();
        assert_eq!(generator.choice(&["only"]), Some(&"only"));
        assert_eq!(generator.integers(9, 10), 9);
        assert_eq!(generator.choice::<u8>(&[]), None);
        assert_eq!(generator, untouched);
    }

    proptest! {
        #[test]
        fn integers_stay_in_range(seed: u64, low in 0..u64::MAX, span in 1..u64::MAX) {
            let high = low.saturating_add(span);
            let mut generator = Generator::new(seed);
            for _ in 0..8 {
                let value = generator.integers(low, high);
                prop_assert!((low..high).contains(&value));
            }
        }
    }
}
