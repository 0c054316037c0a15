//! What an answer is told apart by: how it begins and ends, phrases that others share, language, refusal, length,
//! form, and how a base finds it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::words::{language, script};

/// A property of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// It begins so.
    Begins(String),
    /// It ends so.
    Ends(String),
    /// It says this, and the question did not.
    Says(String),
    /// It is nearly the same as others.
    Alike,
    /// It refuses.
    Refuses,
    /// It is in another language or script than the question.
    Language(String),
    /// It has about so many words.
    Length(usize, usize),
    /// It has a fenced block of code and the question has none.
    Fence,
    /// It has a web address and the question has none.
    Address,
    /// It is in capitals.
    AllCapitals,
    /// The base finds it unlikely, among the answers that it read.
    Unlikely,
    /// The base finds it likely, among the answers that it read.
    Likely,
}

/// How a base finds an answer, among those that it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surprise {
    Unlikely,
    Likely,
}

/// Words of a phrase that answers share: fewer are shared by chance and grammar.
const PHRASE: usize = 6;
/// Words at the beginning that may be shared.
const BEGINNINGS: [usize; 2] = [3, 1];
/// Words within which a refusal begins.
const REFUSED_WITHIN: usize = 200;

const REFUSALS: [&str; 14] = [
    "i cannot",
    "i can't",
    "i can’t",
    "i can not",
    "i'm sorry",
    "i’m sorry",
    "i am sorry",
    "sorry, but",
    "i won't",
    "i am unable",
    "i'm unable",
    "as an ai",
    "cannot assist",
    "can't help",
];

/// Names of the properties of an answer with these words, to a question with those; `cluster` is the first answer that
/// it is nearly the same as.
pub(super) fn names(
    (asked, asked_words): (&str, &[String]),
    (answer, words): (&str, &[String]),
    (cluster, surprise): (usize, Option<Surprise>),
    tell: &mut dyn FnMut(&str),
) {
    // Of properties that the same rows have, the first is told: the most telling one.
    let head: String = answer.chars().take(REFUSED_WITHIN).collect::<String>().to_lowercase();
    if REFUSALS.iter().any(|refusal| head.contains(refusal)) {
        tell("r:");
    }
    let tongue = |text: &str, words: &[String]| script(text).or_else(|| language(words));
    if let Some(own) = tongue(answer, words)
        && tongue(asked, asked_words) != Some(own)
    {
        tell(&format!("g:{own}"));
    }
    if answer.contains("```") && !asked.contains("```") {
        tell("f:");
    }
    if answer.contains("://") && !asked.contains("://") {
        tell("a:");
    }
    let letters = || answer.chars().filter(|sign| sign.is_alphabetic());
    if letters().nth(3).is_some() && letters().all(|sign| !sign.is_lowercase()) {
        tell("u:");
    }
    for count in BEGINNINGS {
        if words.len() >= count {
            tell(&format!("b:{}", words[..count].join(" ")));
        }
    }
    let known: BTreeSet<&str> = asked_words.iter().map(String::as_str).collect();
    for phrase in words.windows(PHRASE) {
        // Of what was asked, an answer may say anything again.
        let is_own = phrase
            .iter()
            .any(|word| !known.contains(word.as_str()) && word.chars().all(char::is_alphabetic));
        if is_own {
            tell(&format!("p:{}", phrase.join(" ")));
        }
    }
    if let Some(last) = words.last() {
        tell(&format!("e:{last}"));
    }
    tell(&format!("c:{cluster}"));
    match surprise {
        Some(Surprise::Unlikely) => tell("x:"),
        Some(Surprise::Likely) => tell("y:"),
        None => {}
    }
    // Lengths that differ by less than half are one.
    let bin = if words.is_empty() { 0 } else { 1 + (words.len() as f64).log2().floor() as usize };
    tell(&format!("l:{bin}"));
}

impl Property {
    /// The property of a name.
    pub(super) fn of_name(name: &str) -> Self {
        let (kind, what) = name.split_at(2);
        match kind {
            "b:" => Self::Begins(what.to_owned()),
            "e:" => Self::Ends(what.to_owned()),
            "p:" => Self::Says(what.to_owned()),
            "r:" => Self::Refuses,
            "g:" => Self::Language(what.to_owned()),
            "l:" => {
                let bin: u32 = what.parse().unwrap_or_default();
                let (low, high) = (1_usize << bin >> 1, (1_usize << bin).saturating_sub(1));
                Self::Length(low, high)
            }
            "f:" => Self::Fence,
            "a:" => Self::Address,
            "u:" => Self::AllCapitals,
            "x:" => Self::Unlikely,
            "y:" => Self::Likely,
            _ => Self::Alike,
        }
    }

    /// In words.
    pub fn told(&self) -> String {
        match self {
            Self::Begins(words) => format!("begins with `{words}`"),
            Self::Ends(word) => format!("ends with `{word}`"),
            Self::Says(phrase) => format!("says `{phrase}`"),
            Self::Alike => "nearly the same answer".to_owned(),
            Self::Refuses => "refuses".to_owned(),
            Self::Language(name) => format!("is in {name}, as the question is not"),
            Self::Length(low, high) if low == high => format!("has {low} words"),
            Self::Length(low, high) => format!("has {low} to {high} words"),
            Self::Fence => "has a fenced block of code".to_owned(),
            Self::Address => "has a web address".to_owned(),
            Self::AllCapitals => "is in capitals".to_owned(),
            Self::Unlikely => "is among the least likely for the base".to_owned(),
            Self::Likely => "is among the likeliest for the base".to_owned(),
        }
    }
}
