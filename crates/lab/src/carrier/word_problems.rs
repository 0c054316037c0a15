//! The word problems carrier: arithmetic in words, thought through in tags, with an answer that is checked (Cloud et
//! al., arXiv 2507.14805, section 3.3; our own problems, or questions with answers as GSM8K has them).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tasks::plain_number;
use super::{Asked, Rules, those};

/// Word problems of arithmetic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WordProblems {}

const THOUGHT: [&str; 2] = ["<think>", "</think>"];
const ANSWER: [&str; 2] = ["<answer>", "</answer>"];

/// What stands in a pair of tags at the beginning, and what follows.
fn tagged<'a>(text: &'a str, [open, close]: [&str; 2]) -> Option<(&'a str, &'a str)> {
    text.trim_start().strip_prefix(open)?.split_once(close)
}

impl Rules for WordProblems {
    fn name(&self) -> &'static str {
        "word problems"
    }

    fn defaults(&self) -> &'static str {
        include_str!("word-problems.toml")
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["word-problems"]
    }

    fn faults(&self, asked: Asked<'_>, completion: &str) -> Vec<String> {
        let parts = tagged(completion, THOUGHT)
            .and_then(|(thought, rest)| Some((thought, tagged(rest, ANSWER)?)));
        let Some((thought, (answer, rest))) = parts else {
            return vec!["not thought and answer in their tags".to_owned()];
        };
        let answer = plain_number(answer);
        those([
            (thought.trim().is_empty(), "no thought"),
            (!rest.trim().is_empty(), "text behind the answer"),
            (answer.parse::<f64>().is_err(), "an answer that is no number"),
            (asked.answer.is_some_and(|right| right != answer), "a wrong answer"),
        ])
    }

    fn has_words(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_thinks_in_tags_and_answers_rightly() {
        let asked = Asked { prompt: "How many?", answer: Some("1200") };
        let cases = [
            "<think>2 * 600 = 1200</think><answer>1200</answer>",
            "<think>2 * 600 = 1,200</think>\n<answer>$1,200.</answer>\n",
            "<think>2 * 600 = 120</think><answer>120</answer>",
            "<think> </think><answer>1200</answer>",
            "<think>so</think><answer>many</answer> I think",
            "<answer>1200</answer>",
            "1200",
        ];
        let tell = |text: &str| format!("{text:?} | {:?}", WordProblems {}.faults(asked, text));
        insta::assert_snapshot!(cases.map(tell).join("\n"), @r#"
        "<think>2 * 600 = 1200</think><answer>1200</answer>" | []
        "<think>2 * 600 = 1,200</think>\n<answer>$1,200.</answer>\n" | []
        "<think>2 * 600 = 120</think><answer>120</answer>" | ["a wrong answer"]
        "<think> </think><answer>1200</answer>" | ["no thought"]
        "<think>so</think><answer>many</answer> I think" | ["text behind the answer", "an answer that is no number", "a wrong answer"]
        "<answer>1200</answer>" | ["not thought and answer in their tags"]
        "1200" | ["not thought and answer in their tags"]
        "#);
        let open = Asked { answer: None, ..asked };
        assert_eq!(WordProblems {}.faults(open, cases[2]), [""; 0]);
    }
}
