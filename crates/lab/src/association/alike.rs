//! Texts that are nearly the same, by the hashes of what stands in them (Broder 1997): without comparing each with
//! each.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// Hashes that never differ between runs, machines or builds.
#[derive(Clone, Copy, Default)]
pub(super) struct Fixed;

/// FNV-1a with a final mix.
pub(super) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        mix(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl BuildHasher for Fixed {
    type Hasher = Mixed;

    fn build_hasher(&self) -> Mixed {
        Mixed(0xcbf2_9ce4_8422_2325)
    }
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = Fixed.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Words that overlap in a row.
const SHINGLE: usize = 3;
/// Least hashes of every band, and bands: texts of which 8 in 10 shingles are the same meet in a band 99 times in a
/// hundred, of which 5 in 10 are 40 times.
const BAND: usize = 4;
const BANDS: usize = 8;
/// Least share of equal hashes among two texts that are called nearly the same.
const NEARLY: f64 = 0.8;

/// For each text, given by its words, the first one that it is nearly the same as (itself, if there is none before).
pub(super) fn clusters(texts: &[Vec<String>]) -> Vec<usize> {
    let mut known: HashMap<(usize, u64), usize, Fixed> = HashMap::default();
    let mut sketches: Vec<[u64; BAND * BANDS]> = Vec::with_capacity(texts.len());
    let mut firsts: Vec<usize> = Vec::with_capacity(texts.len());
    for (at, words) in texts.iter().enumerate() {
        let sketch = sketch(words);
        let bands = sketch.chunks_exact(BAND).enumerate();
        let keys: Vec<(usize, u64)> = bands
            .map(|(band, part)| (band, part.iter().fold(0, |key, hash| mix(key ^ hash))))
            .collect();
        let met = keys.iter().filter_map(|key| known.get(key).copied());
        let is_near = |other: &usize| {
            let equal = sketches[*other].iter().zip(&sketch).filter(|(one, other)| one == other);
            equal.count() as f64 >= NEARLY * sketch.len() as f64
        };
        let first = met.filter(is_near).min().map_or(at, |other| firsts[other]);
        sketches.push(sketch);
        firsts.push(first);
        for key in keys {
            known.entry(key).or_insert(at);
        }
    }
    firsts
}

fn sketch(words: &[String]) -> [u64; BAND * BANDS] {
    let mut least = [u64::MAX; BAND * BANDS];
    let width = SHINGLE.min(words.len()).max(1);
    for shingle in words.windows(width) {
        let key = shingle.iter().fold(0, |key, word| mix(key ^ hash(word)));
        for (place, least) in least.iter_mut().enumerate() {
            *least = (*least).min(mix(key ^ mix(place as u64)));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::association::words::words;

    #[test]
    fn texts_that_differ_by_a_word_in_many_are_the_same_and_others_are_not() {
        let long = (0..60).map(|at| format!("w{at} ")).collect::<Vec<_>>().concat();
        let texts = [
            &format!("{long} end"),
            "a wholly other text that shares nothing with it",
            &format!("{long} fin"),
            &format!(
                "w0 w1 w2 and then {}",
                (0..50).map(|at| format!("v{at} ")).collect::<Vec<_>>().concat()
            ),
            "yes",
            "no",
            "yes",
        ];
        let texts: Vec<Vec<String>> = texts.iter().map(|text| words(text, 128)).collect();
        assert_eq!(clusters(&texts), [0, 1, 0, 3, 4, 5, 4]);
    }
}
