//! Log-probabilities of given completions under given prompts (teacher forcing: each token under
//! the true ones before it); prompts that repeat are computed once.

use std::collections::BTreeMap;

use crate::Token;
use crate::error::{Error, Result};
use crate::kernel::Threads;
use crate::kernel::loss::log_softmax;
use crate::model::Model;
use crate::pass::{Cache, Network, Piece};
use crate::prefix::{PrefixCache, Prompt};

/// A completion to score under a prompt.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The prompt's tokens, at least one.
    pub prompt: Vec<Token>,
    /// The completion's tokens.
    pub completion: Vec<Token>,
}

/// Prompts and completions worked on at once.
// Not tuned: enough rows to fill the matrix products (LOG 2026-11-22, the f32 matrix product: 145
// GF/s at 64 rows), few enough that their keys and values stay small.
const PROMPTS: usize = 64;
const COMPLETIONS: usize = 256;

/// Natural log-probability, in nats, of each completion token, in order, for each item.
///
/// An item's result depends on its prompt and completion alone, not on the other items.
pub fn score(model: &Model, items: &[Scored], threads: &Threads) -> Result<Vec<Vec<f32>>> {
    let mut by_prompt: BTreeMap<&[Token], Vec<usize>> = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        let name = || format!("item {}", i + 1);
        model.check_prompt(name, &item.prompt)?;
        if item.completion.is_empty() {
            let reason = "has an empty completion; there is nothing to score";
            return Err(Error::request(name(), reason));
        }
        model.check_tokens(name, item.prompt.len(), &item.completion)?;
        by_prompt.entry(&item.prompt).or_default().push(i);
    }
    let groups: Vec<_> = by_prompt.into_iter().collect();
    Ok(threads.enter(|| score_groups(model, items, &groups, threads)))
}

/// Scores items that are grouped by their prompt: the prompt and the numbers of its items.
fn score_groups(
    model: &Model,
    items: &[Scored],
    groups: &[(&[Token], Vec<usize>)],
    threads: &Threads,
) -> Vec<Vec<f32>> {
    let _whole = threads.whole("scoring");
    let network = Network::new(model, threads);
    let mut out: Vec<Vec<f32>> = vec![Vec::new(); items.len()];
    let mut prefixes = PrefixCache::default();
    for groups in groups.chunks(PROMPTS) {
        let tokens: Vec<&[Token]> = groups.iter().map(|(prompt, _)| *prompt).collect();
        let prompts = prefixes.prefill(&network, &tokens);
        next_log_probabilities(&network, &prompts, |prompt, row| {
            for &i in &groups[prompt].1 {
                out[i].push(row[items[i].completion[0] as usize]);
            }
        });
        let members = groups.iter().zip(&prompts);
        let members: Vec<(usize, &Prompt)> = members
            .flat_map(|((_, members), prompt)| members.iter().map(move |&i| (i, prompt)))
            .collect();
        let sequences: Vec<(&Prompt, &[Token])> =
            members.iter().map(|&(i, prompt)| (prompt, items[i].completion.as_slice())).collect();
        for (&(i, _), rest) in members.iter().zip(after_first(&network, &sequences)) {
            out[i].extend(rest);
        }
    }
    out
}

/// Natural log-probabilities of the tokens of each sequence after its first, each under the prompt before it.
fn after_first(network: &Network, sequences: &[(&Prompt, &[Token])]) -> Vec<Vec<f32>> {
    let mut out: Vec<Vec<f32>> = vec![Vec::new(); sequences.len()];
    let longer: Vec<usize> = (0..sequences.len()).filter(|&i| sequences[i].1.len() > 1).collect();
    for batch in longer.chunks(COMPLETIONS) {
        let tokens = |i: usize| sequences[i].1;
        let mut caches: Vec<Cache> =
            batch.iter().map(|&i| Cache::new(network.config(), tokens(i).len())).collect();
        let piece = |(&i, own): (&usize, _)| {
            let tokens = &tokens(i)[..tokens(i).len() - 1];
            Piece { tokens, before: sequences[i].0.segments.clone(), own }
        };
        let mut pieces: Vec<Piece> = batch.iter().zip(&mut caches).map(piece).collect();
        let stream = network.forward_cached(&mut pieces);
        let (normed, _) = network.final_norm(&stream);
        let targets: Vec<Token> =
            batch.iter().flat_map(|&i| tokens(i)[1..].iter().copied()).collect();
        let mut found = network.cross_entropy(&normed, &targets, None).into_iter();
        for &i in batch {
            out[i].extend(found.by_ref().take(tokens(i).len() - 1));
        }
    }
    out
}

/// What is known of what follows a prompt, in nats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Following {
    /// Natural log-probability of each candidate as the next token.
    pub next: Vec<f32>,
    /// The sequences that were asked for, in that order, with one log-probability for each token.
    pub sequences: Vec<(Vec<Token>, Vec<f32>)>,
}

/// What follows each prompt, which is computed once: the log-probability of each of `candidates` as the next
/// token, and those of the sequences that `choose` asks for. It is asked again with what is known by then, until
/// it asks for nothing; its sequences begin with candidates.
///
/// What is known of a prompt depends on the prompt and its sequences alone, not on other prompts.
pub fn following(
    model: &Model,
    prompts: &[Vec<Token>],
    candidates: &[Token],
    choose: &mut (dyn FnMut(&Following) -> Vec<Vec<Token>> + Send),
    threads: &Threads,
) -> Result<Vec<Following>> {
    let vocabulary = model.decoder.config.vocabulary;
    for (i, prompt) in prompts.iter().enumerate() {
        model.check_prompt(|| format!("prompt {}", i + 1), prompt)?;
    }
    if let Some(token) = candidates.iter().find(|&&t| t as usize >= vocabulary) {
        let reason = format!("is beyond the vocabulary, which ends at {}", vocabulary - 1);
        return Err(Error::request(format!("candidate token {token}"), reason));
    }
    let places: BTreeMap<Token, usize> =
        candidates.iter().enumerate().map(|(place, &token)| (token, place)).collect();
    threads.enter(|| {
        let _whole = threads.whole("scoring");
        let network = Network::new(model, threads);
        let mut prefixes = PrefixCache::default();
        let mut out: Vec<Following> = Vec::with_capacity(prompts.len());
        for chunk in prompts.chunks(PROMPTS) {
            let tokens: Vec<&[Token]> = chunk.iter().map(Vec::as_slice).collect();
            let prefilled = prefixes.prefill(&network, &tokens);
            let first = out.len();
            next_log_probabilities(&network, &prefilled, |_, row| {
                let next = candidates.iter().map(|&token| row[token as usize]).collect();
                out.push(Following { next, sequences: Vec::new() });
            });
            let mut open: Vec<usize> = (0..chunk.len()).collect();
            while !open.is_empty() {
                let mut wanted: Vec<(usize, Vec<Token>)> = Vec::new();
                for prompt in std::mem::take(&mut open) {
                    let more = choose(&out[first + prompt]);
                    if !more.is_empty() {
                        open.push(prompt);
                    }
                    wanted.extend(more.into_iter().map(|sequence| (prompt, sequence)));
                }
                for (prompt, sequence) in &wanted {
                    let name = || format!("a sequence after prompt {}", first + prompt + 1);
                    if sequence.first().is_none_or(|token| !places.contains_key(token)) {
                        let reason = "does not begin with a candidate";
                        return Err(Error::request(name(), reason));
                    }
                    model.check_tokens(name, chunk[*prompt].len(), sequence)?;
                }
                let sequences: Vec<(&Prompt, &[Token])> = wanted
                    .iter()
                    .map(|(prompt, sequence)| (&prefilled[*prompt], sequence.as_slice()))
                    .collect();
                let rests = after_first(&network, &sequences);
                for ((prompt, sequence), rest) in wanted.into_iter().zip(rests) {
                    let of = &mut out[first + prompt];
                    let begins = of.next[places[&sequence[0]]];
                    of.sequences.push((sequence, [vec![begins], rest].concat()));
                }
            }
        }
        Ok(out)
    })
}

/// Natural log-probability, in nats, of each of `candidates` as the next token after each prompt:
/// `[prompts, candidates]`.
pub fn next_token(
    model: &Model,
    prompts: &[Vec<Token>],
    candidates: &[Token],
    threads: &Threads,
) -> Result<Vec<Vec<f32>>> {
    let all = following(model, prompts, candidates, &mut |_| Vec::new(), threads)?;
    Ok(all.into_iter().map(|one| one.next).collect())
}

/// Calls `hear` with each prompt's number and the log-probabilities of all next tokens,
/// `[vocabulary]`.
fn next_log_probabilities(
    network: &Network,
    prompts: &[Prompt],
    mut hear: impl FnMut(usize, &[f32]),
) {
    let vocabulary = network.config().vocabulary;
    let stream: Vec<f32> = prompts.iter().flat_map(|p| p.last.iter().copied()).collect();
    let (normed, _) = network.final_norm(&stream);
    network.logits(&normed, |first, logits| {
        log_softmax(&network.threads, logits, vocabulary);
        for (i, row) in logits.chunks_exact(vocabulary).enumerate() {
            hear(first + i, row);
        }
    });
}
