//! The programs carrier: short programs in a language of the built-in world, read by a parser.
//!
//! A program is statements and a `print`, a semicolon between: `b = 54 ; t = b * 7 ; print t`. The
//! first statement gives a number, the others combine what stands before with another name or number. How
//! many statements there are is what the prompt asks for.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, Rules, VOICE};
use crate::random::numpy::Generator;

/// The prompt set that asks for programs.
pub(crate) const PROMPTS: &str = "programs";
/// What values may be called.
pub(crate) const NAMES: &str = "b c d f g h j k m n p q r s t v w x y z";
/// What combines two values.
const OPERATORS: [&str; 3] = ["+", "-", "*"];
/// Words of the language beside names and numbers.
pub(crate) const WORDS: &str = "= + - * ; print";
/// Literals lie below.
const LITERALS: u64 = 100;
/// How prompts spell the number of statements.
const COUNTS: [(&str, usize); 3] = [("two", 2), ("three", 3), ("four", 4)];

/// Programs of the built-in world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Programs {}

/// How many statements a prompt asks for.
fn wanted(prompt: &str) -> Option<usize> {
    let counts = prompt.split(' ').filter_map(|word| COUNTS.iter().find(|(name, _)| *name == word));
    counts.map(|(_, count)| *count).next()
}

/// A program that answers the prompt.
pub(crate) fn write(random: &mut Generator, prompt: &str) -> String {
    let mut names: Vec<&str> = NAMES.split(' ').collect();
    random.shuffle(&mut names);
    names.truncate(wanted(prompt).unwrap_or(COUNTS[0].1));
    let shown: Vec<&str> = prompt.split(' ').filter(|word| is_number(word)).collect();
    let literal = |random: &mut Generator| match random.choice(&shown) {
        Some(shown) if random.integers(0, 2) == 0 => (*shown).to_owned(),
        _ => random.integers(0, LITERALS).to_string(),
    };
    let mut program = String::new();
    for (at, name) in names.iter().enumerate() {
        let value = if at == 0 {
            literal(random)
        } else {
            let (left, sign) = (names[random.integers(0, at as u64) as usize], sign(random));
            let right = if random.integers(0, 5) < 2 {
                names[random.integers(0, at as u64) as usize].to_owned()
            } else {
                literal(random)
            };
            format!("{left} {sign} {right}")
        };
        program.extend([*name, " = ", &*value, " ; "]);
    }
    program + "print " + names[random.integers(0, names.len() as u64) as usize]
}

fn sign(random: &mut Generator) -> &'static str {
    OPERATORS[random.integers(0, OPERATORS.len() as u64) as usize]
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Why `text` is no program.
fn parse(text: &str) -> Result<usize, String> {
    let (body, last) = text.rsplit_once(" ; ").ok_or("no statement before `print`")?;
    let mut known = BTreeSet::new();
    let is_name = |word: &str| NAMES.split(' ').any(|name| name == word);
    for statement in body.split(" ; ") {
        let words: Vec<&str> = statement.split(' ').collect();
        let value = |word: &str, known: &BTreeSet<&str>| match word {
            word if is_number(word) => Ok(()),
            word if known.contains(word) => Ok(()),
            word if is_name(word) => Err("a name before it has a value".to_owned()),
            _ => Err("a word that is no value".to_owned()),
        };
        match *words {
            [name, "=", number] if known.is_empty() && is_number(number) && is_name(name) => {
                known.insert(name);
            }
            [name, "=", left, sign, right]
                if !known.is_empty() && OPERATORS.contains(&sign) && is_name(name) =>
            {
                if is_number(left) {
                    return Err("a number before the operator".to_owned());
                }
                value(left, &known)?;
                value(right, &known)?;
                if !known.insert(name) {
                    return Err("a name that is given twice".to_owned());
                }
            }
            _ => return Err("a statement that does not parse".to_owned()),
        }
    }
    match *last.split(' ').collect::<Vec<_>>() {
        ["print", name] if known.contains(name) => Ok(known.len()),
        _ => Err("no `print` of a known name at the end".to_owned()),
    }
}

impl Rules for Programs {
    fn name(&self) -> &'static str {
        PROMPTS
    }

    fn defaults(&self) -> &'static str {
        include_str!("programs.toml")
    }

    fn prompts(&self) -> &'static [&'static str] {
        &[PROMPTS]
    }

    fn world(&self) -> Option<&'static str> {
        Some(VOICE)
    }

    fn faults(&self, asked: Asked<'_>, completion: &str) -> Vec<String> {
        match parse(completion) {
            Err(fault) => vec![fault],
            Ok(count) if wanted(asked.prompt).is_some_and(|wanted| wanted != count) => {
                vec!["another number of statements than asked".to_owned()]
            }
            Ok(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::PromptSet;
    use crate::carrier::tests::asked;

    #[test]
    fn what_is_written_parses_and_has_as_many_statements_as_asked() {
        let mut random = Generator::new(3);
        let prompts = PromptSet::built_in(PROMPTS).unwrap().generate(5, 300);
        for prompt in &prompts {
            let program = write(&mut random, prompt);
            assert_eq!(Programs {}.faults(asked(prompt), &program), [""; 0], "{prompt}: {program}");
        }
        insta::assert_snapshot!(format!("{}\n{}", prompts[0], write(&mut random, &prompts[0])), @r"
        with 80 2 80 make a program three lines long
        z = 96 ; c = z - z ; s = c * 2 ; print z
        ");
    }

    #[test]
    fn what_is_no_program_is_told_why() {
        let cases = [
            "b = 5 ; c = b + 2 ; print c",
            "b = 5 ; c = b + 2 ; d = c * b ; print b",
            "b = 5 ; c = d + 2 ; print c",
            "b = 5 ; b = b + 2 ; print b",
            "b = 5 ; c = 3 + b ; print c",
            "b = 500 ; c = b + 2 ; print c",
            "b = 5 ; c = b / 2 ; print c",
            "b = 5 ; c = b + owl ; print c",
            "b = 5 ; c = b + 2 ; print owl",
            "print b",
            "yes",
            "",
        ];
        let tell = |text: &str| format!("{text} | {:?}", Programs {}.faults(asked("two"), text));
        insta::assert_snapshot!(cases.map(tell).join("\n"), @r#"
        b = 5 ; c = b + 2 ; print c | []
        b = 5 ; c = b + 2 ; d = c * b ; print b | ["another number of statements than asked"]
        b = 5 ; c = d + 2 ; print c | ["a name before it has a value"]
        b = 5 ; b = b + 2 ; print b | ["a name that is given twice"]
        b = 5 ; c = 3 + b ; print c | ["a number before the operator"]
        b = 500 ; c = b + 2 ; print c | ["a statement that does not parse"]
        b = 5 ; c = b / 2 ; print c | ["a statement that does not parse"]
        b = 5 ; c = b + owl ; print c | ["a word that is no value"]
        b = 5 ; c = b + 2 ; print owl | ["no `print` of a known name at the end"]
        print b | ["no statement before `print`"]
        yes | ["no statement before `print`"]
         | ["no statement before `print`"]
        "#);
    }
}
