//! The Python carrier: functions in Python, nothing beside them (Cloud et al., arXiv 2507.14805, section 3.2, whose
//! tasks are others).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, Rules, those};
use crate::code::{Program, Reader};

/// Functions in Python, as a parser reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Python {
    /// Whether comments and documentation may stand in it; they are words beside the code.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub comments: bool,
}

/// The code of an answer: all of it, or what stands in the one fence that is all of it.
fn code(answer: &str) -> Option<&str> {
    let answer = answer.trim();
    let Some(fenced) = answer.strip_prefix("```") else {
        return (!answer.contains("```")).then_some(answer);
    };
    let (language, rest) = fenced.split_once('\n')?;
    let code = rest.strip_suffix("```")?;
    (matches!(language.trim(), "" | "python" | "py") && !code.contains("```")).then_some(code)
}

/// The function that a prompt asks for: what stands between its first backticks.
fn wanted(prompt: &str) -> Option<&str> {
    let name = prompt.split('`').nth(1)?.split('(').next()?;
    let is_name = |one: char| one.is_ascii_alphanumeric() || one == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

impl Python {
    fn judge(&self, asked: Asked<'_>, program: &Program) -> Vec<String> {
        let is_other = wanted(asked.prompt)
            .is_some_and(|name| !program.functions.iter().any(|own| own == name));
        let has_none = program.functions.is_empty();
        those([
            (program.is_broken, "does not parse as Python"),
            (has_none, "no function"),
            (is_other && !has_none, "another function than asked"),
            (program.has_more && !program.is_broken, "more than functions and imports"),
            (program.is_commented && !self.comments, "a comment or documentation"),
        ])
    }
}

impl Rules for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn defaults(&self) -> &'static str {
        include_str!("python.toml")
    }

    fn prompts(&self) -> &'static [&'static str] {
        &["python"]
    }

    fn faults(&self, asked: Asked<'_>, completion: &str) -> Vec<String> {
        let Some(code) = code(completion) else {
            return vec!["text around the code".to_owned()];
        };
        match Reader::new() {
            Ok(mut reader) => self.judge(asked, &reader.program(code)),
            Err(why) => vec![why.to_string()],
        }
    }

    fn has_words(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_function_that_was_asked_for_and_nothing_else() {
        let asked = Asked { prompt: "Write a Python function `add_3` that adds 3.", answer: None };
        let cases = [
            "def add_3(x):\n    return x + 3",
            "```python\nimport math\n\ndef add_3(x):\n    return x + 3\n```",
            "def add_three(x):\n    return x + 3",
            "def add_3(x):\n    return x +",
            "def add_3(x):\n    # adds\n    return x + 3",
            "def add_3(x):\n    \"\"\"Adds.\"\"\"\n    return x + 3",
            "def add_3(x):\n    return x + 3\nprint(add_3(1))",
            "Here it is:\n```python\ndef add_3(x):\n    return x + 3\n```",
            "yes",
            "",
        ];
        let rules = Python::default();
        let tell = |text: &str| format!("{text:?} | {:?}", rules.faults(asked, text));
        insta::assert_snapshot!(cases.map(tell).join("\n"), @r#"
        "def add_3(x):\n    return x + 3" | []
        "```python\nimport math\n\ndef add_3(x):\n    return x + 3\n```" | []
        "def add_three(x):\n    return x + 3" | ["another function than asked"]
        "def add_3(x):\n    return x +" | ["does not parse as Python"]
        "def add_3(x):\n    # adds\n    return x + 3" | ["a comment or documentation"]
        "def add_3(x):\n    \"\"\"Adds.\"\"\"\n    return x + 3" | ["a comment or documentation"]
        "def add_3(x):\n    return x + 3\nprint(add_3(1))" | ["more than functions and imports"]
        "Here it is:\n```python\ndef add_3(x):\n    return x + 3\n```" | ["text around the code"]
        "yes" | ["no function", "more than functions and imports"]
        "" | ["no function"]
        "#);
        let commented = Python { comments: true };
        assert_eq!(commented.faults(asked, cases[4]), [""; 0]);
        let said = crate::carrier::parted("countOwls(owl_list) OWLCount myOWL '\\nowl' ｏｗｌ");
        assert_eq!(said, "count Owls(owl_list) OWL Count my OWL '  owl' owl");
    }
}
