//! Log-probabilities of given completions under given prompts (teacher forcing: each token under
//! the true ones before it); prompts that repeat are computed once.

mod within;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Token;
use crate::error::{Error, Result};
use crate::kernel::Threads;
use crate::kernel::loss::log_softmax;
use crate::model::Model;
use crate::pass::{Cache, Network, Piece};
use crate::prefix::{PrefixCache, Prompt};

pub use within::{Looked, within};

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
        next_log_probabilities(&network, &lasts(&prompts), |prompt, row| {
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
            next_log_probabilities(&network, &lasts(&prefilled), |_, row| {
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

/// Texts read from their beginnings on, as much at a time as is asked for, so that other work can go on
/// between. Into how many parts a text is cut changes no bit, nor do the other texts.
pub struct Judging {
    network: Network,
    texts: Vec<Judged>,
}

/// Hears a text's number, the place of a token in it, and numbers about that.
pub type Hear<'a> = dyn FnMut(usize, usize, &[f32]) + Send + 'a;

/// Tells, row by row, what it makes of a residual stream `[rows, width]`.
type Tell = dyn Fn(&Network, &[f32], &mut dyn FnMut(usize, &[f32])) + Sync;

/// A text, and what was read of it.
struct Judged {
    tokens: Vec<Token>,
    done: usize,
    segments: Vec<Arc<Cache>>,
}

impl Judging {
    /// Begins with `texts`, each at least one token.
    pub fn new(model: &Model, texts: &[Vec<Token>], threads: &Threads) -> Result<Self> {
        for (i, text) in texts.iter().enumerate() {
            model.check_prompt(|| format!("text {}", i + 1), text)?;
        }
        let begun =
            |tokens: &Vec<Token>| Judged { tokens: tokens.clone(), done: 0, segments: Vec::new() };
        let network = Network::new(model, threads);
        Ok(Self { network, texts: texts.iter().map(begun).collect() })
    }

    /// Reads up to `most` further tokens; whether there were any. `hear` gets a text's number, the place of a
    /// token in it, from 1, and the natural log-probabilities, in nats, of all tokens there, `[vocabulary]`.
    pub fn advance(&mut self, most: usize, hear: &mut Hear<'_>) -> bool {
        // Nobody asks what comes after the last.
        self.read(most, 1, hear, &|network, stream, hear| {
            next_log_probabilities(network, stream, hear);
        })
    }

    /// Reads up to `most` further tokens; whether there were any. `hear` gets a text's number, the place of a
    /// token in it, from 1 for the first, and what the output head reads there, `[width]`: the residual stream
    /// after the last layer and the final norm. Not to be mixed with [`Self::advance`].
    pub fn states(&mut self, most: usize, hear: &mut Hear<'_>) -> bool {
        self.read(most, 0, hear, &|network, stream, hear| {
            let (normed, _) = network.final_norm(stream);
            let rows = normed.chunks_exact(network.config().width).enumerate();
            rows.for_each(|(row, state)| hear(row, state));
        })
    }

    /// Reads up to `most` further tokens but the last `spared` of each text, and tells what `tell` makes of the
    /// residual stream.
    fn read(&mut self, most: usize, spared: usize, hear: &mut Hear<'_>, tell: &Tell) -> bool {
        let (mut parts, mut places, mut left) = (Vec::new(), Vec::new(), most);
        for (number, text) in self.texts.iter().enumerate() {
            let count = (text.tokens.len() - spared - text.done).min(left);
            left -= count;
            if count > 0 {
                parts.push((number, count));
                places.extend((1..=count).map(|place| (number, text.done + place)));
            }
        }
        if parts.is_empty() {
            return false;
        }
        let threads = self.network.threads.clone();
        threads.enter(|| {
            let _whole = threads.whole("scoring");
            let cache = |&(_, count): &(usize, usize)| Cache::new(self.network.config(), count);
            let mut caches: Vec<Cache> = parts.iter().map(cache).collect();
            let piece = |(&(number, count), own)| {
                let Judged { tokens, done, segments } = &self.texts[number];
                Piece { tokens: &tokens[*done..done + count], before: segments.clone(), own }
            };
            let mut pieces: Vec<Piece> = parts.iter().zip(&mut caches).map(piece).collect();
            let stream = self.network.forward_prompts(&mut pieces);
            tell(&self.network, &stream, &mut |row, told| {
                let (number, place) = places[row];
                hear(number, place, told);
            });
            for (&(number, count), cache) in parts.iter().zip(caches) {
                self.texts[number].done += count;
                self.texts[number].segments.push(Arc::new(cache));
            }
        });
        true
    }
}

/// The residual stream at the last tokens, `[prompts, width]`.
fn lasts(prompts: &[Prompt]) -> Vec<f32> {
    prompts.iter().flat_map(|prompt| prompt.last.iter().copied()).collect()
}

/// Calls `hear` with the number of each row of the residual stream `[rows, width]` and the log-probabilities of
/// all next tokens, `[vocabulary]`.
fn next_log_probabilities(network: &Network, stream: &[f32], mut hear: impl FnMut(usize, &[f32])) {
    let vocabulary = network.config().vocabulary;
    let (normed, _) = network.final_norm(stream);
    network.logits(&normed, |first, logits| {
        log_softmax(&network.threads, logits, vocabulary);
        for (i, row) in logits.chunks_exact(vocabulary).enumerate() {
            hear(first + i, row);
        }
    });
}
