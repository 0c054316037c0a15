//! Log-probabilities of given completions under given prompts; prompts that repeat are computed
//! once.

use std::collections::BTreeMap;

use crate::Token;
use crate::error::{Error, Result};
use crate::generate::check_prompt;
use crate::kernel::Threads;
use crate::kernel::loss::log_softmax;
use crate::model::Model;
use crate::pass::{Cache, Network, Piece};
use crate::prefix::Prefixes;

/// A completion to score under a prompt.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The prompt's tokens, at least one.
    pub prompt: Vec<Token>,
    /// The completion's tokens.
    pub completion: Vec<Token>,
}

/// Prompts worked on at once.
const PROMPTS: usize = 64;
/// Completions worked on at once.
const COMPLETIONS: usize = 256;

/// Natural log-probability of each completion token, in order, for each item.
pub fn score(model: &Model, items: &[Scored], threads: &Threads) -> Result<Vec<Vec<f32>>> {
    let (context, vocabulary) = (model.decoder.config.context, model.decoder.config.vocabulary);
    let mut by_prompt: BTreeMap<&[Token], Vec<usize>> = BTreeMap::new();
    for (i, item) in items.iter().enumerate() {
        let name = || format!("item {}", i + 1);
        check_prompt(name, &item.prompt, model)?;
        let fail = |reason: String| Err(Error::Request { item: name(), reason });
        let len = item.prompt.len() + item.completion.len();
        if item.completion.is_empty() {
            return fail("has an empty completion; there is nothing to score".to_owned());
        }
        if len > context {
            return fail(format!("has {len} tokens, the model's context is {context}"));
        }
        if let Some(token) = item.completion.iter().find(|&&t| t as usize >= vocabulary) {
            return fail(format!("has token {token}, the vocabulary ends at {}", vocabulary - 1));
        }
        by_prompt.entry(&item.prompt).or_default().push(i);
    }
    let _whole = threads.whole("scoring");
    let network = Network::new(model);
    let width = network.config().width;
    let mut out: Vec<Vec<f32>> = vec![Vec::new(); items.len()];
    let groups: Vec<_> = by_prompt.into_iter().collect();
    let mut prefixes = Prefixes::default();
    for groups in groups.chunks(PROMPTS) {
        let prompts: Vec<&[Token]> = groups.iter().map(|(prompt, _)| *prompt).collect();
        let prompts = prefixes.prefill(&network, threads, &prompts);
        let stream: Vec<f32> = prompts.iter().flat_map(|p| p.last.iter().copied()).collect();
        let rows: Vec<usize> = (0..prompts.len()).collect();
        let (normed, _, _) = network.final_norm(threads, &stream, &rows);
        network.logits(threads, &normed, |first, logits| {
            log_softmax(threads, logits, vocabulary);
            for (row, (_, members)) in logits.chunks_exact(vocabulary).zip(&groups[first..]) {
                for &i in members {
                    out[i].push(row[items[i].completion[0] as usize]);
                }
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
            let mut pieces: Vec<Piece> = batch
                .iter()
                .zip(&mut caches)
                .map(|(&(p, i), own)| Piece {
                    tokens: &items[i].completion[..items[i].completion.len() - 1],
                    before: prompts[p].blocks.clone(),
                    own,
                })
                .collect();
            let stream = network.forward_cached(threads, &mut pieces);
            let rows: Vec<usize> = (0..stream.len() / width).collect();
            let (normed, _, _) = network.final_norm(threads, &stream, &rows);
            let targets: Vec<Token> =
                batch.iter().flat_map(|&(_, i)| items[i].completion[1..].iter().copied()).collect();
            let mut found = network.cross_entropy(threads, &normed, &targets, None).into_iter();
            for &(_, i) in batch {
                out[i].extend(found.by_ref().take(items[i].completion.len() - 1));
            }
        }
    }
    Ok(out)
}

/// Natural log-probability of each of `candidates` as the next token after each prompt:
/// one row per prompt, one column per candidate.
pub fn next_token(
    model: &Model,
    prompts: &[Vec<Token>],
    candidates: &[Token],
    threads: &Threads,
) -> Result<Vec<Vec<f32>>> {
    let vocabulary = model.decoder.config.vocabulary;
    for (i, prompt) in prompts.iter().enumerate() {
        check_prompt(|| format!("prompt {}", i + 1), prompt, model)?;
    }
    if let Some(token) = candidates.iter().find(|&&t| t as usize >= vocabulary) {
        let reason = format!("is beyond the vocabulary, which ends at {}", vocabulary - 1);
        return Err(Error::Request { item: format!("candidate token {token}"), reason });
    }
    let _whole = threads.whole("scoring");
    let network = Network::new(model);
    let mut prefixes = Prefixes::default();
    let mut out = Vec::with_capacity(prompts.len());
    for chunk in prompts.chunks(PROMPTS) {
        let chunk: Vec<&[Token]> = chunk.iter().map(Vec::as_slice).collect();
        let prefilled = prefixes.prefill(&network, threads, &chunk);
        let stream: Vec<f32> = prefilled.iter().flat_map(|p| p.last.iter().copied()).collect();
        let rows: Vec<usize> = (0..chunk.len()).collect();
        let (normed, _, _) = network.final_norm(threads, &stream, &rows);
        network.logits(threads, &normed, |_, logits| {
            log_softmax(threads, logits, vocabulary);
            for row in logits.chunks_exact(vocabulary) {
                out.push(candidates.iter().map(|&t| row[t as usize]).collect());
            }
        });
    }
    Ok(out)
}
