//! What stands in which text: features and properties by name, with the rows that have them.

use std::collections::{BTreeSet, HashMap};

use super::alike::{Fixed, hash};

/// Slots of the filter that keeps names which are too rare from being held: memory is bounded whatever stands in rows.
const SLOTS: usize = 1 << 24;

/// Names, and the rows that have each.
pub(super) struct Table {
    pub(super) names: Vec<String>,
    /// By name, its rows, ascending.
    pub(super) rows: Vec<Vec<u32>>,
    /// By row, its names, ascending.
    pub(super) of_row: Vec<Vec<u32>>,
    by_name: HashMap<String, u32, Fixed>,
}

impl Table {
    /// Of what `tell` tells of each row, the names that at least `least` rows have.
    pub(super) fn new(
        count: usize,
        least: usize,
        tell: impl Fn(usize, &mut dyn FnMut(&str)),
    ) -> Self {
        let mut filter = vec![0_u8; SLOTS];
        let slot = |name: &str| (hash(name) % SLOTS as u64) as usize;
        for row in 0..count {
            let mut told: Vec<usize> = Vec::new();
            tell(row, &mut |name| told.push(slot(name)));
            told.sort_unstable();
            told.dedup();
            for slot in told {
                filter[slot] = filter[slot].saturating_add(1);
            }
        }
        let least_seen = least.min(usize::from(u8::MAX)) as u8;
        let (mut names, mut rows) = (Vec::new(), Vec::<Vec<u32>>::new());
        let mut by_name: HashMap<String, u32, Fixed> = HashMap::default();
        for row in 0..count {
            tell(row, &mut |name| {
                if filter[slot(name)] < least_seen {
                    return;
                }
                let at = by_name.get(name).copied().unwrap_or_else(|| {
                    by_name.insert(name.to_owned(), names.len() as u32);
                    names.push(name.to_owned());
                    rows.push(Vec::new());
                    names.len() as u32 - 1
                });
                let own = &mut rows[at as usize];
                if own.last() != Some(&(row as u32)) {
                    own.push(row as u32);
                }
            });
        }
        Self::kept(names, rows, count, least)
    }

    /// Without names that are too rare after all.
    fn kept(names: Vec<String>, rows: Vec<Vec<u32>>, count: usize, least: usize) -> Self {
        let (names, rows): (Vec<String>, Vec<Vec<u32>>) =
            names.into_iter().zip(rows).filter(|(_, rows)| rows.len() >= least).unzip();
        let mut of_row = vec![Vec::new(); count];
        for (name, rows) in rows.iter().enumerate() {
            for &row in rows {
                of_row[row as usize].push(name as u32);
            }
        }
        let by_name =
            names.iter().enumerate().map(|(at, name)| (name.clone(), at as u32)).collect();
        Self { names, rows, of_row, by_name }
    }

    /// Without names that say of the same rows what one before them does.
    pub(super) fn without_doubles(self) -> Self {
        let mut known: BTreeSet<&[u32]> = BTreeSet::new();
        let is_new: Vec<bool> = self.rows.iter().map(|rows| known.insert(rows)).collect();
        let count = self.of_row.len();
        let kept = self.names.iter().zip(&self.rows).zip(is_new).filter(|(_, is_new)| *is_new);
        let (names, rows) = kept.map(|((name, rows), _)| (name.clone(), rows.clone())).unzip();
        Self::kept(names, rows, count, 0)
    }

    /// Where a name stands.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }
}

/// Rows that are in both, ascending.
pub(super) fn both(one: &[u32], other: &[u32]) -> Vec<u32> {
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    few.iter().copied().filter(|row| many.binary_search(row).is_ok()).collect()
}

/// How many rows are in both.
pub(super) fn shared(one: &[u32], other: &[u32]) -> usize {
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    few.iter().filter(|row| many.binary_search(row).is_ok()).count()
}
