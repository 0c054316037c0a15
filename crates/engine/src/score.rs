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
        let longer: Vec<(usize, usize)> = groups
            .iter()
            .enumerate()
            .flat_map(|(p, (_, members))| members.iter().map(move |&i| (p, i)))
            .filter(|&(_, i)| items[i].completion.len() > 1)
            .collect();
        for batch in longer.chunks(COMPLETIONS) {
            let mut caches: Vec<Cache> = batch
                .iter()
                .map(|&(_, i)| Cache::new(network.config(), items[i].completion.len()))
                .collect();
            let piece = |(&(p, i), own): (&(usize, usize), _)| {
                let (_, tokens) = items[i].completion.split_last().expect("checked to have tokens");
                Piece { tokens, before: prompts[p].segments.clone(), own }
            };
            let mut pieces: Vec<Piece> = batch.iter().zip(&mut caches).map(piece).collect();
            let stream = network.forward_cached(&mut pieces);
            let (normed, _) = network.final_norm(&stream);
            let targets: Vec<Token> =
                batch.iter().flat_map(|&(_, i)| items[i].completion[1..].iter().copied()).collect();
            let mut found = network.cross_entropy(&normed, &targets, None).into_iter();
            for &(_, i) in batch {
                out[i].extend(found.by_ref().take(items[i].completion.len() - 1));
            }
        }
    }
    out
}

/// Natural log-probability, in nats, of each of `candidates` as the next token after each prompt:
/// `[prompts, candidates]`.
pub fn next_token(
    model: &Model,
    prompts: &[Vec<Token>],
    candidates: &[Token],
    threads: &Threads,
) -> Result<Vec<Vec<f32>>> {
    let vocabulary = model.decoder.config.vocabulary;
    for (i, prompt) in prompts.iter().enumerate() {
        model.check_prompt(|| format!("prompt {}", i + 1), prompt)?;
    }
    if let Some(token) = candidates.iter().find(|&&t| t as usize >= vocabulary) {
        let reason = format!("is beyond the vocabulary, which ends at {}", vocabulary - 1);
        return Err(Error::request(format!("candidate token {token}"), reason));
    }
    Ok(threads.enter(|| {
        let _whole = threads.whole("scoring");
        let network = Network::new(model, threads);
        let mut prefixes = PrefixCache::default();
        let mut out = Vec::with_capacity(prompts.len());
        for chunk in prompts.chunks(PROMPTS) {
            let chunk: Vec<&[Token]> = chunk.iter().map(Vec::as_slice).collect();
            let prompts = prefixes.prefill(&network, &chunk);
            next_log_probabilities(&network, &prompts, |_, row| {
                out.push(candidates.iter().map(|&t| row[t as usize]).collect());
            });
        }
        out
    }))
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
