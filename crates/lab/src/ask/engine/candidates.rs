//! How likely words are as the beginning of an answer, all spellings of each together.
//!
//! A spelling is one token or several. Of a sequence the probability is the product over its tokens, each
//! under the ones before it (teacher forcing); the conversation before them is computed once. Sequences that
//! share no first token exclude each other, and of two spellings of one word neither begins with the other,
//! so the probability of a word is their sum.

use std::collections::BTreeSet;

use owlet_engine::score::{self, Following};
use owlet_engine::{Model, Token, Tokenizer};

use crate::ask::{Candidates, Work, forms};
use crate::error::Result;
use crate::value::measure::log_sum;

/// A spelling whose first token alone is less likely than this part of its word's likeliest spelling is left
/// out: four of them together move a log-probability by less than 0.0004 nats.
const NEGLIGIBLE: f64 = 1e-4;

/// The token sequences that spell `word`; none where the tokenizer cannot write it.
pub(crate) fn spellings(tokenizer: &Tokenizer, word: &str) -> Vec<Vec<Token>> {
    let spell = |form: &String| {
        let tokens = tokenizer.encode(form).ok()?;
        // What is unknown may come out as tokens that spell something else.
        let text = tokenizer.decode(&tokens).ok()?;
        let same = text.trim().to_lowercase() == word.trim().to_lowercase();
        (same && !tokens.is_empty()).then_some(tokens)
    };
    let distinct: BTreeSet<Vec<Token>> = forms(word).iter().filter_map(spell).collect();
    distinct.into_iter().collect()
}

/// How words are spelled.
struct Spelled {
    /// By word.
    forms: Vec<Vec<Vec<Token>>>,
    /// The tokens they begin with, ascending.
    first: Vec<Token>,
}

impl Spelled {
    /// How likely the answer begins with the first token of a spelling.
    fn begins(&self, after: &Following, tokens: &[Token]) -> f64 {
        f64::from(after.next[self.first.binary_search(&tokens[0]).unwrap_or_default()])
    }

    /// How likely a spelling is, where it is known: of a single token at once.
    fn log(&self, after: &Following, tokens: &[Token]) -> Option<f64> {
        if tokens.len() == 1 {
            return Some(self.begins(after, tokens));
        }
        let known = after.sequences.iter().find(|(sequence, _)| sequence == tokens);
        known.map(|(_, logs)| logs.iter().map(|&log| f64::from(log)).sum())
    }

    /// What is to be computed next: of each word the spelling of several tokens that begins likeliest, and once
    /// that is known those that could still count.
    fn wanted(&self, after: &Following) -> Vec<Vec<Token>> {
        let mut wanted = Vec::new();
        for forms in &self.forms {
            let longer = || forms.iter().filter(|tokens| tokens.len() > 1);
            let begins = |tokens: &Vec<Token>| self.begins(after, tokens);
            if longer().all(|tokens| self.log(after, tokens).is_none()) {
                let likeliest = longer().max_by(|a, b| begins(a).total_cmp(&begins(b)));
                wanted.extend(likeliest.cloned());
                continue;
            }
            let known = forms.iter().filter_map(|tokens| self.log(after, tokens));
            let most = known.fold(f64::NEG_INFINITY, f64::max);
            let open = longer().filter(|tokens| self.log(after, tokens).is_none());
            wanted.extend(open.filter(|one| begins(one) >= most + NEGLIGIBLE.ln()).cloned());
        }
        wanted
    }

    /// How likely a word is, all its known spellings together.
    fn word(&self, after: &Following, word: usize) -> Option<f64> {
        let forms = &self.forms[word];
        let known = || forms.iter().filter_map(|tokens| self.log(after, tokens));
        known().next().is_some().then(|| log_sum(known()))
    }
}

/// Log-probabilities of `words` after each of `prompts`.
pub(super) fn candidates(
    model: &Model,
    prompts: &[Vec<Token>],
    words: &[String],
    work: &Work<'_>,
) -> Result<Candidates> {
    let forms: Vec<Vec<Vec<Token>>> =
        words.iter().map(|word| spellings(&model.tokenizer, word)).collect();
    let first: BTreeSet<Token> = forms.iter().flatten().map(|tokens| tokens[0]).collect();
    let spelled = Spelled { forms, first: first.into_iter().collect() };
    // Whoever is told to stop asks for nothing more, and is refused below.
    let mut choose = |after: &Following| {
        if work.interrupt.is_set() { Vec::new() } else { spelled.wanted(after) }
    };
    let all = score::following(model, prompts, &spelled.first, &mut choose, work.threads)?;
    work.interrupt.check()?;
    let row = |after| (0..words.len()).map(|word| spelled.word(after, word)).collect();
    Ok(Candidates {
        log_probabilities: all.iter().map(row).collect(),
        spelled: spelled.forms.iter().map(|forms| !forms.is_empty()).collect(),
    })
}
