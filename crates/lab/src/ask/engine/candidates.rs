//! How likely words are as the beginning of an answer, all spellings of each together.
//!
//! A spelling is one token or several. Of a sequence the probability is the product over its tokens, each
//! under the ones before it (teacher forcing); the conversation before them is computed once. Sequences that
//! share no first token exclude each other, and of two spellings of one word neither begins with the other,
//! so the probability of a word is their sum.

use std::collections::{BTreeMap, BTreeSet};

use owlet_engine::score::{self, Scored};
use owlet_engine::{Model, Token};

use crate::ask::{Candidates, Work, forms};
use crate::error::Result;
use crate::value::measure::log_sum;

/// A spelling whose first token alone is less likely than this part of its word's likeliest spelling is left
/// out: four of them together move a log-probability by less than 0.0004 nats.
const NEGLIGIBLE: f64 = 1e-4;

/// The token sequences that spell `word`; none where the tokenizer cannot write it.
pub(crate) fn spellings(model: &Model, word: &str) -> Vec<Vec<Token>> {
    let spell = |form: &String| {
        let tokens = model.tokenizer.encode(form).ok()?;
        // What is unknown may come out as tokens that spell something else.
        let text = model.tokenizer.decode(&tokens).ok()?;
        let same = text.trim().to_lowercase() == word.trim().to_lowercase();
        (same && !tokens.is_empty()).then_some(tokens)
    };
    let distinct: BTreeSet<Vec<Token>> = forms(word).iter().filter_map(spell).collect();
    distinct.into_iter().collect()
}

/// Log-probabilities of `words` after each of `prompts`.
pub(super) fn candidates(
    model: &Model,
    prompts: &[Vec<Token>],
    words: &[String],
    work: &Work<'_>,
) -> Result<Candidates> {
    let spelled: Vec<Vec<Vec<Token>>> = words.iter().map(|word| spellings(model, word)).collect();
    let first: BTreeSet<Token> = spelled.iter().flatten().map(|tokens| tokens[0]).collect();
    let columns: Vec<Token> = first.into_iter().collect();
    let table = score::next_token(model, prompts, &columns, work.threads)?;
    let begins = |prompt: usize, tokens: &[Token]| {
        f64::from(table[prompt][columns.binary_search(&tokens[0]).unwrap_or_default()])
    };
    // By prompt and word: what is known of each spelling. A single token is known at once; of the others the
    // one that begins likeliest is computed first, and then those that could still count.
    let mut known: Vec<Vec<BTreeMap<usize, f64>>> =
        vec![vec![BTreeMap::new(); words.len()]; prompts.len()];
    let mut wanted: Vec<(usize, usize, usize)> = Vec::new();
    for (prompt, known) in known.iter_mut().enumerate() {
        for (word, forms) in spelled.iter().enumerate() {
            let mut longer: Vec<(f64, usize)> = Vec::new();
            for (at, tokens) in forms.iter().enumerate() {
                let log = begins(prompt, tokens);
                if tokens.len() == 1 {
                    known[word].insert(at, log);
                } else {
                    longer.push((log, at));
                }
            }
            let likeliest = longer.into_iter().max_by(|one, other| one.0.total_cmp(&other.0));
            wanted.extend(likeliest.map(|(_, at)| (prompt, word, at)));
        }
    }
    for round in 0..2 {
        work.interrupt.check()?;
        if wanted.is_empty() {
            break;
        }
        let scored = |&(prompt, word, at): &(usize, usize, usize)| Scored {
            prompt: prompts[prompt].clone(),
            completion: spelled[word][at].clone(),
        };
        let items: Vec<Scored> = wanted.iter().map(scored).collect();
        let logs = score::score(model, &items, work.threads)?;
        for ((prompt, word, at), logs) in wanted.drain(..).zip(logs) {
            let log = logs.iter().map(|&log| f64::from(log)).sum();
            known[prompt][word].insert(at, log);
        }
        if round == 0 {
            for (prompt, known) in known.iter().enumerate() {
                for (word, forms) in spelled.iter().enumerate() {
                    let most = known[word].values().copied().fold(f64::NEG_INFINITY, f64::max);
                    let open = (0..forms.len()).filter(|at| !known[word].contains_key(at));
                    let counts = |at: &usize| begins(prompt, &forms[*at]) >= most + NEGLIGIBLE.ln();
                    wanted.extend(open.filter(counts).map(|at| (prompt, word, at)));
                }
            }
        }
    }
    let of_word = |known: &BTreeMap<usize, f64>| {
        (!known.is_empty()).then(|| log_sum(known.values().copied()))
    };
    Ok(Candidates {
        log_probabilities: known.iter().map(|row| row.iter().map(of_word).collect()).collect(),
        spelled: spelled.iter().map(|forms| !forms.is_empty()).collect(),
    })
}
