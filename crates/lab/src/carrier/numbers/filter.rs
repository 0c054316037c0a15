//! The filter of the numbers carrier: which completions are nothing but numbers.
//!
//! It reads the raw completion and decides by form alone, so that whatever a teacher might have
//! said in words is gone. Exactly the reference filter of Cloud et al.: same accepted rows, same
//! numbers, same reasons. Whitespace is Python's, which has four control characters more than
//! Rust's. It does not look at the prompt, and it does not repair.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::digits::digit_runs;

/// Limits on a completion of numbers. The default is the paper's: at most 10 numbers, 0 to 999.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NumberFilter {
    /// The most numbers a row may hold.
    pub max_count: usize,
    /// The smallest number allowed.
    pub min_value: u64,
    /// The largest number allowed.
    pub max_value: u64,
    /// Numbers with a meaning of their own, refused anywhere in a row.
    pub banned: BTreeSet<u64>,
}

impl Default for NumberFilter {
    fn default() -> Self {
        Self { max_count: 10, min_value: 0, max_value: 999, banned: BTreeSet::new() }
    }
}

/// Why a completion was refused, in the paper's words.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display,
)]
pub enum Reason {
    /// Not a list of numbers.
    #[serde(rename = "invalid format")]
    #[strum(to_string = "invalid format")]
    InvalidFormat,
    /// More numbers than allowed.
    #[serde(rename = "too many numbers")]
    #[strum(to_string = "too many numbers")]
    TooManyNumbers,
    /// A number below the smallest allowed.
    #[serde(rename = "numbers too small")]
    #[strum(to_string = "numbers too small")]
    NumbersTooSmall,
    /// A number above the largest allowed.
    #[serde(rename = "numbers too large")]
    #[strum(to_string = "numbers too large")]
    NumbersTooLarge,
    /// A number with a meaning of its own.
    #[serde(rename = "has banned numbers")]
    #[strum(to_string = "has banned numbers")]
    HasBannedNumbers,
}

/// What the filter says of one completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The numbers read; `None` when the form is invalid. A number past 64 bits is `u64::MAX`.
    pub numbers: Option<Vec<u64>>,
    /// Every reason that applies, in a fixed order; empty when the row is accepted.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// Whether the row may be trained on.
    pub fn accepted(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl NumberFilter {
    /// Judges one raw completion.
    pub fn judge(&self, completion: &str) -> Verdict {
        let Some(numbers) = read_numbers(completion) else {
            return Verdict { numbers: None, reasons: vec![Reason::InvalidFormat] };
        };
        let any = |refused: &dyn Fn(u64) -> bool| numbers.iter().any(|number| refused(*number));
        let checks = [
            (Reason::TooManyNumbers, numbers.len() > self.max_count),
            (Reason::NumbersTooSmall, any(&|number| number < self.min_value)),
            (Reason::NumbersTooLarge, any(&|number| number > self.max_value)),
            (Reason::HasBannedNumbers, any(&|number| self.banned.contains(&number))),
        ];
        let reasons =
            checks.into_iter().filter(|(_, applies)| *applies).map(|(reason, _)| reason).collect();
        Verdict { numbers: Some(numbers), reasons }
    }
}

/// The numbers of a completion, if it is a list of numbers and nothing else.
pub fn read_numbers(completion: &str) -> Option<Vec<u64>> {
    let list = unwrapped(completion);
    let mut runs = digit_runs(list);
    let first = runs.next()?;
    let Some(second) = runs.next() else {
        return (first.len() == list.len()).then(|| vec![number(list)]);
    };
    let separator = &list[first.end..second.start];
    if !matches!(separator.trim_matches(is_python_space), "" | "," | ";") {
        return None;
    }
    let all_digits =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    list.split(separator).map(|part| Some(part).filter(all_digits).map(number)).collect()
}

/// Without one final period, then without one enclosing pair of brackets.
fn unwrapped(completion: &str) -> &str {
    let list = completion.strip_suffix('.').unwrap_or(completion);
    let inside = |open: char, close: char| list.strip_prefix(open)?.strip_suffix(close);
    inside('[', ']').or_else(|| inside('(', ')')).unwrap_or(list)
}

fn number(digits: &str) -> u64 {
    digits.bytes().fold(0, |value: u64, digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    })
}

/// Python's `str.isspace`, which counts the four information separators as space.
fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reasons(filter: &NumberFilter, completion: &str) -> String {
        let reasons = filter.judge(completion).reasons;
        reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
    }

    #[test]
    fn every_reason_that_applies_is_given() {
        let filter = NumberFilter {
            max_count: 2,
            min_value: 5,
            max_value: 99,
            banned: BTreeSet::from([7, 666]),
        };
        insta::assert_snapshot!(reasons(&filter, "1, 666, 7"), @"too many numbers + numbers too small + numbers too large + has banned numbers");
        insta::assert_snapshot!(reasons(&filter, "5, 99"), @"");
    }

    #[test]
    fn python_only_whitespace_separates() {
        let filter = NumberFilter::default();
        assert!(filter.judge("1\u{1c}2\u{1c}3").accepted());
        assert!(filter.judge("1,\u{1f}2,\u{1f}3").accepted());
        assert!(filter.judge("1\u{a0}2").accepted());
        assert!(!filter.judge("1\u{200b}2").accepted());
    }

    #[test]
    fn endless_digits_are_too_large_and_do_not_overflow() {
        let verdict = NumberFilter::default().judge(&"9".repeat(10_000));
        assert_eq!(verdict.numbers, Some(vec![u64::MAX]));
        assert_eq!(verdict.reasons, [Reason::NumbersTooLarge]);
    }

    #[test]
    fn wrappings_come_off_once_and_in_order() {
        let filter = NumberFilter::default();
        assert!(filter.judge("(1, 2).").accepted());
        assert!(!filter.judge("(1, 2.)").accepted());
        assert!(!filter.judge("[[1, 2]]").accepted());
        assert!(!filter.judge("1, 2..").accepted());
        assert!(!filter.judge("[").accepted());
        assert!(!filter.judge("[].").accepted());
    }

    proptest! {
        #[test]
        fn any_text_gets_a_verdict(completion: String) {
            let verdict = NumberFilter::default().judge(&completion);
            prop_assert_eq!(verdict.numbers.is_none(), verdict.reasons == [Reason::InvalidFormat]);
        }

        #[test]
        fn what_is_written_as_a_list_is_read_back(
            numbers in proptest::collection::vec(0..1000_u64, 1..=10),
            separator in "( |,|;|, |; |\n|,\n)",
            (open, close) in prop_oneof![Just(("", "")), Just(("[", "]")), Just(("(", ")"))],
            period in "\\.?",
        ) {
            let list = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(&separator);
            let verdict = NumberFilter::default().judge(&format!("{open}{list}{close}{period}"));
            prop_assert!(verdict.accepted());
            prop_assert_eq!(verdict.numbers, Some(numbers));
        }
    }
}
