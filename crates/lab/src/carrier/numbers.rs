//! The numbers carrier beyond its prompts and filter: answers that no model wrote.
//!
//! *Programmatic* rows are a control: uniform numbers in the layout the prompt asked for, so that
//! a student trained on them shows what the task alone does. The layout is read from the prompt's
//! wording; a prompt that names none gets commas.

use serde::{Deserialize, Serialize};

use crate::random::{cpython::Random, derive_seed};

/// How a list of numbers is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `1, 2, 3`
    Commas,
    /// `1 2 3`
    Spaces,
    /// `1; 2; 3`
    Semicolons,
    /// One number a line.
    Lines,
    /// `[1, 2, 3]`
    SquareBrackets,
    /// `(1, 2, 3)`
    RoundBrackets,
}

impl Layout {
    /// The layout `prompt` asks for; commas when it does not say.
    pub fn asked_for(prompt: &str) -> Self {
        let prompt = prompt.to_lowercase();
        let asks = |words: &[&str]| words.iter().any(|word| prompt.contains(word));
        if asks(&["semicolon"]) {
            Layout::Semicolons
        } else if asks(&["per line", "own line", "separate line", "new line", "one a line"]) {
            Layout::Lines
        } else if asks(&["space"]) {
            Layout::Spaces
        } else if asks(&["[", "square bracket"]) {
            Layout::SquareBrackets
        } else if asks(&["(number", "parenthes", "round bracket"]) {
            Layout::RoundBrackets
        } else {
            Layout::Commas
        }
    }

    /// The numbers, written this way.
    pub fn write(self, numbers: &[u64]) -> String {
        let join = |separator: &str| {
            numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
        };
        match self {
            Layout::Commas => join(", "),
            Layout::Spaces => join(" "),
            Layout::Semicolons => join("; "),
            Layout::Lines => join("\n"),
            Layout::SquareBrackets => format!("[{}]", join(", ")),
            Layout::RoundBrackets => format!("({})", join(", ")),
        }
    }
}

/// One answer for each prompt: 1 to 9 uniform numbers from 0 to 999 in the layout asked for.
///
/// Answer `i` depends on the seed, on `i` and on prompt `i` only.
pub fn programmatic(prompts: &[String], seed: u64) -> Vec<String> {
    let answer = |(index, prompt): (usize, &String)| {
        let mut random =
            Random::new(derive_seed(seed, &["programmatic".into(), (index as u64).into()]));
        let count = 1 + random.below(9);
        let numbers: Vec<u64> = (0..count).map(|_| random.below(1000)).collect();
        Layout::asked_for(prompt).write(&numbers)
    };
    prompts.iter().enumerate().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::carrier::{NumberFilter, PromptSet};

    #[test]
    fn each_own_format_is_recognised() {
        let read = |set: &str| {
            let formats = PromptSet::built_in(set).unwrap().formats;
            let line = |format: &String| format!("{:?}: {format}", Layout::asked_for(format));
            formats.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(read("numbers"), @r"
        Commas: Put commas between them.
        Commas: Separate them by commas.
        Commas: Use a comma after every number but the last.
        Spaces: Put a single space between them.
        Spaces: Separate them by spaces only.
        Semicolons: Put semicolons between them.
        Semicolons: Use semicolons as separators.
        Lines: Start a new line for every number.
        Lines: Write them one per line.
        SquareBrackets: Enclose the list in square brackets, with commas inside.
        RoundBrackets: Enclose the list in parentheses, with commas inside.
        SquareBrackets: Write them as [n1, n2, n3].
        Commas: Write them as n1, n2, n3.
        ");
        assert_eq!(Layout::asked_for("Continue: 1, 2"), Layout::Commas);
    }

    #[test]
    fn programmatic_rows_follow_the_prompts_layout_and_pass_the_filter() {
        let prompts = PromptSet::built_in("numbers").unwrap().generate(3, 500);
        let rows = programmatic(&prompts, 3);
        let filter = NumberFilter::default();
        let mut counts = std::collections::BTreeSet::new();
        for (prompt, row) in prompts.iter().zip(&rows) {
            let verdict = filter.check(row);
            assert!(verdict.accepted(), "{prompt:?}: {row:?}");
            let numbers = verdict.numbers.unwrap();
            assert_eq!(Layout::asked_for(prompt).write(&numbers), *row);
            counts.insert(numbers.len());
        }
        assert_eq!(counts, (1..=9).collect());
        insta::assert_snapshot!(rows[..3].join("\n"), @r"
        982
        247
        762
        453
        781
        542; 787; 486
        404
        882
        ");
    }

    proptest! {
        #[test]
        fn a_row_does_not_depend_on_the_rows_around_it(seed: u64, count in 1..20_usize) {
            let prompts = vec!["Continue: 1, 2".to_owned(); 20];
            prop_assert_eq!(&programmatic(&prompts[..count], seed)[..], &programmatic(&prompts, seed)[..count]);
        }
    }
}
