//! The table of traps names tests that are there.

use std::collections::BTreeSet;

use crate::architecture::source;

/// The names of all tests, properties among them.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in source::files() {
        let (mut is_test, mut in_properties) = (false, false);
        for line in file.text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test]");
            in_properties |= line.starts_with("proptest!");
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test || in_properties) {
                names.extend(rest.split('(').next().map(str::to_owned));
                is_test = false;
            }
        }
    }
    names
}

#[test]
fn every_trap_names_what_prevents_it_and_tests_that_exist() {
    let text = std::fs::read_to_string(source::root().join("docs/traps.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(2);
    let rows: Vec<Vec<&str>> =
        rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect();
    let numbers: Vec<usize> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=24).collect::<Vec<_>>());
    let known = tests();
    for row in &rows {
        let [_, trap, prevention, named] = row[..] else { panic!("four columns: {row:?}") };
        assert!(!trap.is_empty() && !prevention.is_empty(), "{row:?}");
        let named: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        let missing: Vec<&&str> = named.iter().filter(|name| !known.contains(**name)).collect();
        assert!(missing.is_empty(), "trap {}: no such test: {missing:?}", row[0]);
        assert!(!named.is_empty() || prevention.starts_with("does not apply"), "{row:?}");
    }
}
