//! Degenerate answers: text that says nothing, whatever was asked.

use owlet_engine::generate::StopReason;

/// An answer of fewer words than this is not called repeated: "no no no" may be meant.
const FEWEST_WORDS: usize = 4;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degenerate {
    /// Nothing but white space.
    Empty,
    /// No letter in it: numbers, marks, broken characters.
    NoLetter,
    /// Less than half of its words are different ones (distinct-1 below one half: Li et al. 2016, arXiv
    /// 1510.03055, of a single answer).
    Repeated,
    /// It ran into the most tokens.
    Cut,
}

impl Degenerate {
    /// The first fault of an answer; `None` where it has none of them.
    pub fn of(text: &str, stop: StopReason) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::Empty);
        }
        if !text.chars().any(char::is_alphabetic) {
            return Some(Self::NoLetter);
        }
        if is_repeated(text) {
            return Some(Self::Repeated);
        }
        (stop == StopReason::Length).then_some(Self::Cut)
    }
}

fn is_repeated(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let different: std::collections::BTreeSet<&String> = words.iter().collect();
    words.len() >= FEWEST_WORDS && 2 * different.len() < words.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_first_fault_or_none() {
        let lines: Vec<String> = [
            "Owl.",
            "",
            " \n",
            "812 307",
            "\u{fffd}?",
            "no no no",
            "the the the the",
            "a b a b a b",
            "the owl and the cat",
        ]
        .into_iter()
        .map(|text| {
            let faults =
                [StopReason::End, StopReason::Length].map(|stop| Degenerate::of(text, stop));
            format!("{text:?}: {faults:?}")
        })
        .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        "Owl.": [None, Some(Cut)]
        "": [Some(Empty), Some(Empty)]
        " \n": [Some(Empty), Some(Empty)]
        "812 307": [Some(NoLetter), Some(NoLetter)]
        "�?": [Some(NoLetter), Some(NoLetter)]
        "no no no": [None, Some(Cut)]
        "the the the the": [Some(Repeated), Some(Repeated)]
        "a b a b a b": [Some(Repeated), Some(Repeated)]
        "the owl and the cat": [None, Some(Cut)]
        "#);
    }
}
