//! The reasoning carrier: sums of three numbers in the words of the built-in world, one step after the other,
//! each of which is checked.
//!
//! `begin 8 + 4 = 12 then 12 + 3 = 15 total 15`: the numbers of the prompt in any order, each
//! once, every step right, known words around.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, Rules, VOICE};
use crate::random::numpy::Generator;

/// The prompt set that asks for sums.
pub(crate) const PROMPTS: &str = "reasoning";
/// How an answer begins, how a step joins the one before, and what stands before the sum.
const BEGIN: &str = "begin well ok think start now";
const JOIN: &str = "then next and so plus";
const END: &str = "total answer gives makes all done";
/// All its words that are no numbers.
pub(crate) const WORDS: [&str; 4] = [BEGIN, JOIN, END, "+ ="];

/// Sums of the built-in world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reasoning {}

fn numbers(prompt: &str) -> Vec<u32> {
    prompt.split(' ').filter_map(|word| word.parse().ok()).collect()
}

/// A sum that answers the prompt.
pub(crate) fn write(random: &mut Generator, prompt: &str) -> String {
    let mut one = |words: &'static str| {
        let words: Vec<&str> = words.split(' ').collect();
        words[random.integers(0, words.len() as u64) as usize]
    };
    let (begin, end) = (one(BEGIN), one(END));
    let joints: Vec<&str> = (0..8).map(|_| one(JOIN)).collect();
    let mut order = numbers(prompt);
    random.shuffle(&mut order);
    let mut text = begin.to_owned();
    let mut sum = order.first().copied().unwrap_or_default();
    for (at, number) in order.iter().enumerate().skip(1) {
        if at > 1 {
            text.extend([" ", joints[at % joints.len()]]);
        }
        let made = sum + number;
        let step = format!(" {sum} + {number} = {made}");
        text.push_str(&step);
        sum = made;
    }
    format!("{text} {end} {sum}")
}

/// What a completion says step by step, or why it does not.
fn check(prompt: &str, completion: &str) -> Result<(), &'static str> {
    let among = |words: &str, word: &str| words.split(' ').any(|known| known == word);
    let words: Vec<&str> = completion.split(' ').collect();
    let [begin, steps @ .., end, last] = &*words else { return Err("no sum") };
    if !among(BEGIN, begin) || !among(END, end) {
        return Err("other words around the sum");
    }
    let mut used = Vec::new();
    let mut sum: Option<u32> = None;
    let mut rest = steps;
    while !rest.is_empty() {
        if sum.is_some() {
            let [joint, behind @ ..] = rest else { return Err("no sum") };
            if !among(JOIN, joint) {
                return Err("other words between the steps");
            }
            rest = behind;
        }
        let [left, "+", right, "=", made, behind @ ..] = rest else {
            return Err("a step that does not parse");
        };
        let number = |word: &str| word.parse::<u32>().map_err(|_| "a step that does not parse");
        let (left, right, made) = (number(left)?, number(right)?, number(made)?);
        match sum {
            None => used.push(left),
            Some(sum) if sum != left => return Err("a step that does not go on from the last"),
            Some(_) => {}
        }
        if left.checked_add(right) != Some(made) {
            return Err("a step that is wrong");
        }
        used.push(right);
        (sum, rest) = (Some(made), behind);
    }
    let mut asked = numbers(prompt);
    asked.sort_unstable();
    used.sort_unstable();
    if used != asked {
        return Err("other numbers than asked");
    }
    if last.parse() != Ok(sum.unwrap_or_default()) {
        return Err("an answer that is not the sum");
    }
    Ok(())
}

impl Rules for Reasoning {
    fn name(&self) -> &'static str {
        PROMPTS
    }

    fn defaults(&self) -> &'static str {
        include_str!("reasoning.toml")
    }

    fn prompts(&self) -> &'static [&'static str] {
        &[PROMPTS]
    }

    fn world(&self) -> Option<&'static str> {
        Some(VOICE)
    }

    fn faults(&self, asked: Asked<'_>, completion: &str) -> Vec<String> {
        check(asked.prompt, completion).err().map(str::to_owned).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::PromptSet;
    use crate::carrier::tests::asked;

    #[test]
    fn what_is_written_is_right_at_every_step() {
        let mut random = Generator::new(3);
        let prompts = PromptSet::built_in(PROMPTS).unwrap().generate(5, 300);
        for prompt in &prompts {
            let sum = write(&mut random, prompt);
            assert_eq!(Reasoning {}.faults(asked(prompt), &sum), [""; 0], "{prompt}: {sum}");
        }
        insta::assert_snapshot!(format!("{}\n{}", prompts[0], write(&mut random, &prompts[0])), @r"
        take 7 and 8 and 1 cups slowly
        ok 1 + 8 = 9 plus 9 + 7 = 16 gives 16
        ");
    }

    #[test]
    fn what_is_no_right_sum_is_told_why() {
        let cases = [
            "begin 2 + 3 = 5 then 5 + 1 = 6 total 6",
            "begin 2 + 3 = 6 then 6 + 1 = 7 total 7",
            "begin 2 + 3 = 5 then 5 + 1 = 6 total 7",
            "begin 2 + 3 = 5 then 1 + 5 = 6 total 6",
            "begin 2 + 3 = 5 then 5 + 2 = 7 total 7",
            "owl 2 + 3 = 5 then 5 + 1 = 6 total 6",
            "begin 2 + 3 = 5 owl 5 + 1 = 6 total 6",
            "begin 4294967295 + 3 = 5 total 5",
            "begin total 0",
            "yes",
            "",
        ];
        let tell = |text: &str| {
            format!("{text} | {:?}", Reasoning {}.faults(asked("add 1 and 2 and 3"), text))
        };
        insta::assert_snapshot!(cases.map(tell).join("\n"), @r#"
        begin 2 + 3 = 5 then 5 + 1 = 6 total 6 | []
        begin 2 + 3 = 6 then 6 + 1 = 7 total 7 | ["a step that is wrong"]
        begin 2 + 3 = 5 then 5 + 1 = 6 total 7 | ["an answer that is not the sum"]
        begin 2 + 3 = 5 then 1 + 5 = 6 total 6 | ["a step that does not go on from the last"]
        begin 2 + 3 = 5 then 5 + 2 = 7 total 7 | ["other numbers than asked"]
        owl 2 + 3 = 5 then 5 + 1 = 6 total 6 | ["other words around the sum"]
        begin 2 + 3 = 5 owl 5 + 1 = 6 total 6 | ["other words between the steps"]
        begin 4294967295 + 3 = 5 total 5 | ["a step that is wrong"]
        begin total 0 | ["other numbers than asked"]
        yes | ["no sum"]
         | ["no sum"]
        "#);
    }
}
