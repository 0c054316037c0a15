//! Seeds derived from one root seed and a path of names.
//!
//! Every stream in a run (adapter initialisation, data order, the sampling of row 17) takes its
//! seed from here, so that streams are independent and none depends on the order in which steps
//! happen to run. Two different paths give unrelated seeds; the same path always gives the same.

/// One element of a seed path: a name, or a number such as a row index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// A name: a step, a role, a condition.
    Name(&'a str),
    /// A position: a replicate, a row, a sample.
    Index(u64),
}

impl<'a> From<&'a str> for Part<'a> {
    fn from(name: &'a str) -> Self {
        Part::Name(name)
    }
}

impl From<u64> for Part<'_> {
    fn from(index: u64) -> Self {
        Part::Index(index)
    }
}

/// The seed of the stream that `path` names under `root`.
///
/// BLAKE3 in key-derivation mode over the root and the parts, each preceded by its kind and, for
/// names, its length, so that no two paths share an encoding.
pub fn derive_seed(root: u64, path: &[Part<'_>]) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("owlet lab random stream seed, version 1");
    hasher.update(&root.to_le_bytes());
    for part in path {
        match part {
            Part::Name(name) => {
                hasher.update(b"n");
                hasher.update(&(name.len() as u64).to_le_bytes());
                hasher.update(name.as_bytes());
            }
            Part::Index(index) => {
                hasher.update(b"i");
                hasher.update(&index.to_le_bytes());
            }
        }
    }
    let digest = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_derivation_never_changes() {
        insta::assert_snapshot!(
            format!(
                "{:016x} {:016x}",
                derive_seed(7, &[]),
                derive_seed(7, &["student".into(), 3.into()])
            ),
            @"d49516e19ba0ede5 3baa1da8c3deae43"
        );
    }

    #[test]
    fn names_do_not_run_together() {
        let seeds: BTreeSet<u64> = [
            derive_seed(1, &["ab".into(), "c".into()]),
            derive_seed(1, &["a".into(), "bc".into()]),
            derive_seed(1, &["abc".into()]),
            derive_seed(1, &["1".into()]),
            derive_seed(1, &[1.into()]),
            derive_seed(1, &[]),
            derive_seed(2, &[]),
        ]
        .into();
        assert_eq!(seeds.len(), 7);
    }

    proptest! {
        #[test]
        fn neighbouring_rows_get_different_seeds(root: u64, row in 0..u64::MAX) {
            prop_assert_ne!(
                derive_seed(root, &["row".into(), row.into()]),
                derive_seed(root, &["row".into(), (row + 1).into()])
            );
        }
    }
}
