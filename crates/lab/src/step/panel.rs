//! `panel`: what a model does that no behavior is about: follows instructions, prefers coherently, reads text.
//!
//! The base is read first. What it cannot do (instructions it does not follow, pairs it does not choose from,
//! text its tokenizer cannot write) is said and asked of nobody: a number about it would be one about nothing.
//! Students are asked what the base can.

use owlet_engine::train::{self, Example};
use owlet_engine::{Model, Threads};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Step, StepContext, read_json};
use crate::ask::{self, Answer, Ask, Conversation, LogProbabilities, Question, Sampling};
use crate::error::{Error, Result};
use crate::model::chat;
use crate::random::cpython::Random;
use crate::random::{Part, derive_seed};
use crate::recipe::Decoding;
use crate::scorer::instruction::Instruction;
use crate::stats;
use crate::value::measure::log_sum;
use crate::value::placeholder;

/// The file of measurements.
pub(crate) const FILE: &str = "panel.json";
/// The role of the base's panel.
pub const BASE: &str = "base-panel";
/// Answers by which a base shows, to each instruction, that it can follow it: at least half must. They are
/// other answers than those that are counted, so that a lucky base is not compared at its luckiest.
const SCREENED: usize = 6;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The chat context.
    pub context: String,
    /// What is asked and checked.
    pub instructions: Vec<Instruction>,
    /// Answers to each.
    pub answers: usize,
    /// Most new tokens of an answer.
    pub max_tokens: usize,
    /// A question with `{first}`, `{second}` and `{category}`.
    pub pair: String,
    /// What is asked about.
    pub category: String,
    /// The words that are compared, each with each.
    pub options: Vec<String>,
    /// Paragraphs that are read.
    pub text: Vec<String>,
    /// Root of the answers' seeds.
    pub seed: u64,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Panel {
    /// Instructions that the base can follow, by their place.
    pub able: Vec<usize>,
    /// Share of answers that follow them.
    pub followed: Option<f64>,
    /// Choices between two words.
    pub pairs: Option<Pairs>,
    /// Mean loss on the text, in nats per token.
    pub natural: Option<f64>,
    /// The same with the words of each paragraph shuffled.
    pub shuffled: Option<f64>,
    /// Of a base: what cannot be read, and why.
    pub unread: Vec<String>,
}

/// Choices between every two of the words, in both orders.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Pairs {
    /// Pairs whose preferred word is the same whichever is named first: the consistency of Zheng et al. 2023
    /// (arXiv 2306.05685), of preferences.
    pub consistent: f64,
    /// The coefficient of consistence ([`stats::consistence`]); a pair's preference is the sum over both orders.
    pub transitive: f64,
    /// Share of the two that are named, of the probability of all words that are compared.
    pub named: f64,
}

/// The step.
pub struct PanelStep;

impl Step for PanelStep {
    type Configuration = Configuration;
    const KIND: &'static str = "panel";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "panel";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let model = context.ask("model")?;
        let base = context.inputs.get(BASE);
        let base: Option<Panel> = base.map(|artifact| read_json(artifact, FILE)).transpose()?;
        let mut reading =
            Reading { of: &configuration, context, model: &*model, answers: Vec::new() };
        let panel = match base {
            None => reading.base()?,
            Some(base) => reading.student(&base)?,
        };
        let answers = std::mem::take(&mut reading.answers);
        context.write_json(FILE, &panel)?;
        Ok(ask::with_told(json!({}), answers.iter()))
    }
}

struct Reading<'a> {
    of: &'a Configuration,
    context: &'a StepContext<'a>,
    model: &'a dyn Ask,
    /// All that were sampled.
    answers: Vec<Answer>,
}

impl Reading<'_> {
    /// Reads a base, and what it can do.
    fn base(&mut self) -> Result<Panel> {
        let mut panel = Panel::default();
        let writable: Vec<usize> = (0..self.of.instructions.len())
            .filter(|&at| self.can_write(&self.of.instructions[at].ask))
            .collect();
        panel.able = match self.follow(&writable, SCREENED, "screen") {
            Ok(shown) => {
                let able = writable.iter().zip(&shown);
                able.filter(|(_, followed)| 2 * **followed >= SCREENED).map(|(at, _)| *at).collect()
            }
            // A server whose model does not know the words says so; any other trouble is trouble.
            Err(Error::Remote { status: Some(400 | 422), .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        if panel.able.is_empty() {
            panel.unread.push(format!(
                "instruction following: the base follows none of {} checked instructions half of the time, or cannot be asked them",
                self.of.instructions.len()
            ));
        }
        panel.followed = self.followed(&panel.able)?;
        match self.pairs()? {
            Ok(pairs) if pairs.named >= self.least_named() => panel.pairs = Some(pairs),
            Ok(pairs) => panel.unread.push(format!(
                "preferences between pairs: of the probability of {} words the base gives the two that are named {:.0} %, less than {:.0} %: it does not choose between them",
                self.of.options.len(),
                100.0 * pairs.named,
                100.0 * self.least_named()
            )),
            Err(why) => panel.unread.push(format!("preferences between pairs: {why}")),
        }
        match self.losses()? {
            Ok((natural, shuffled)) => {
                (panel.natural, panel.shuffled) = (Some(natural), Some(shuffled));
            }
            Err(why) => panel.unread.push(format!("perplexity of text: {why}")),
        }
        Ok(panel)
    }

    /// Reads a student in what its base can do.
    fn student(&mut self, base: &Panel) -> Result<Panel> {
        let mut panel = Panel { able: base.able.clone(), ..Panel::default() };
        panel.followed = self.followed(&panel.able)?;
        if base.pairs.is_some() {
            panel.pairs = self.pairs()?.ok();
        }
        if base.natural.is_some()
            && let Ok((natural, shuffled)) = self.losses()?
        {
            (panel.natural, panel.shuffled) = (Some(natural), Some(shuffled));
        }
        Ok(panel)
    }

    fn conversation(&self, text: &str) -> Conversation {
        let messages = vec![chat::message("user", text)];
        Conversation { context: self.of.context.clone(), messages, opening: String::new() }
    }

    /// Whether the model's tokenizer knows the words; of a model elsewhere nobody knows.
    fn can_write(&self, text: &str) -> bool {
        let Some(model) = self.model.weights() else { return true };
        chat::question(model, &self.of.context, text).is_ok()
    }

    /// How many of `answers` to each of these instructions follow it.
    fn follow(&mut self, places: &[usize], answers: usize, stream: &str) -> Result<Vec<usize>> {
        let instructions = || places.iter().map(|&at| (at, &self.of.instructions[at]));
        let conversations: Vec<Conversation> =
            instructions().map(|(_, one)| self.conversation(&one.ask)).collect();
        let mut questions = Vec::new();
        for (&at, conversation) in places.iter().zip(&conversations) {
            for answer in 0..answers {
                let path: [Part<'_>; 3] =
                    [stream.into(), (at as u64).into(), (answer as u64).into()];
                questions.push(Question { conversation, seed: derive_seed(self.of.seed, &path) });
            }
        }
        let sampling = Sampling {
            decoding: Decoding::Free { temperature: 1.0, top_p: 1.0 },
            max_tokens: self.of.max_tokens,
            log_probabilities: false,
            schema: None,
        };
        let given = self.model.answer(&questions, &sampling, &self.context.work())?;
        let followed = instructions()
            .zip(given.chunks(answers.max(1)))
            .map(|((_, one), given)| {
                let cut =
                    |answer: &Answer| answer.stop == owlet_engine::generate::StopReason::Length;
                given.iter().filter(|answer| one.check.holds(&answer.text, cut(answer))).count()
            })
            .collect();
        self.answers.extend(given);
        Ok(followed)
    }

    /// The share of answers to these instructions that follow them.
    fn followed(&mut self, places: &[usize]) -> Result<Option<f64>> {
        let followed: usize = self.follow(places, self.of.answers, "instruction")?.iter().sum();
        let asked = places.len() * self.of.answers;
        Ok((asked > 0).then(|| followed as f64 / asked as f64))
    }

    /// What the two named must have of the probability of all words that are compared: half way from what
    /// a model gives that does not see which were named to all of it.
    fn least_named(&self) -> f64 {
        f64::midpoint(2.0 / self.of.options.len().max(2) as f64, 1.0)
    }

    /// Choices between every two words, or why there are none.
    fn pairs(&self) -> Result<std::result::Result<Pairs, String>> {
        let options = &self.of.options;
        if options.len() < 3 {
            return Ok(Err("fewer than three words to compare".to_owned()));
        }
        if self.model.can().log_probabilities < LogProbabilities::All {
            return Ok(Err("the API does not tell the log-probability of any word".to_owned()));
        }
        let places: Vec<(usize, usize)> = (0..options.len())
            .flat_map(|one| {
                (one + 1..options.len()).flat_map(move |other| [(one, other), (other, one)])
            })
            .collect();
        let ask = |&(first, second): &(usize, usize)| {
            let named = [("first", &*options[first]), ("second", &*options[second])];
            let category = [("category", &*self.of.category)];
            placeholder::fill(&self.of.pair, &[&named[..], &category[..]].concat())
        };
        let asked: Vec<String> = places.iter().map(ask).collect();
        if !asked.iter().all(|text| self.can_write(text)) {
            return Ok(Err(
                "the base's tokenizer does not know the words of the question".to_owned()
            ));
        }
        let conversations: Vec<Conversation> =
            asked.iter().map(|text| self.conversation(text)).collect();
        let told = self.model.candidates(&conversations, options, &self.context.work())?;
        let rows: Option<Vec<Vec<f64>>> =
            told.log_probabilities.into_iter().map(|row| row.into_iter().collect()).collect();
        let Some(rows) = rows else {
            return Ok(Err("some of the words cannot begin an answer".to_owned()));
        };
        Ok(Ok(judge(options.len(), &places, &rows)))
    }

    /// Losses on the text and on its shuffled words, or why there are none.
    fn losses(&self) -> Result<std::result::Result<(f64, f64), String>> {
        let Some(model) = self.model.weights() else {
            return Ok(Err("the API computes no loss of given text".to_owned()));
        };
        if !self.of.text.iter().all(|text| self.can_write(text)) {
            return Ok(Err("the base's tokenizer does not know its words".to_owned()));
        }
        let shuffled: Vec<String> = (self.of.text.iter().enumerate())
            .map(|(at, text)| {
                let mut words: Vec<&str> = text.split_whitespace().collect();
                let path: [Part<'_>; 2] = ["panel-shuffle".into(), (at as u64).into()];
                // The same for every model: their losses are compared.
                Random::new(derive_seed(0, &path)).shuffle(&mut words);
                words.join(" ")
            })
            .collect();
        let threads = &self.context.threads;
        let loss = |texts: &[String]| said_loss(model, &self.of.context, texts, threads);
        Ok(Ok((loss(&self.of.text)?, loss(&shuffled)?)))
    }
}

/// What the log-probabilities of all words, after the questions that name two of them in turn, amount to.
fn judge(n: usize, places: &[(usize, usize)], rows: &[Vec<f64>]) -> Pairs {
    // By pair, its smaller place first: how much more the smaller is preferred, in each order.
    let lead = |one: usize, other: usize| {
        let of = |asked: (usize, usize)| {
            let at = places.iter().position(|place| *place == asked).unwrap_or_default();
            rows[at][one] - rows[at][other]
        };
        [of((one, other)), of((other, one))]
    };
    let pairs = || (0..n).flat_map(|one| (one + 1..n).map(move |other| (one, other)));
    let consistent = pairs().filter(|&(one, other)| {
        let [first, second] = lead(one, other);
        (first > 0.0) == (second > 0.0)
    });
    let named: f64 = (places.iter().zip(rows))
        .map(|(&(one, other), row)| {
            (log_sum([row[one], row[other]].into_iter()) - log_sum(row.iter().copied())).exp()
        })
        .sum();
    let above = |one: usize, other: usize| lead(one, other).iter().sum::<f64>() > 0.0;
    Pairs {
        consistent: consistent.count() as f64 / pairs().count().max(1) as f64,
        transitive: stats::consistence(n, above).unwrap_or(1.0),
        named: named / places.len().max(1) as f64,
    }
}

/// Mean loss, in nats per token, on texts as the user says them: what stands around them is not counted.
fn said_loss(model: &Model, context: &str, texts: &[String], threads: &Threads) -> Result<f64> {
    let example = |text: &String| -> Result<Example> {
        let rendered = chat::render(model, context, &[chat::message("user", text)], true)?;
        let (before, _) = rendered.split_once(text.as_str()).ok_or_else(|| {
            Error::record("chat template", "does not show what the user says as it is said")
        })?;
        let (before, text) = (model.tokenizer.encode(before)?, model.tokenizer.encode(text)?);
        Ok(Example::completion(&before, &text))
    };
    let examples = texts.iter().map(example).collect::<Result<Vec<_>>>()?;
    Ok(train::loss(model, &examples, threads)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ordered pairs of three words, and what a model gives them that prefers as `scores` say and the first
    /// named by `first`.
    fn asked(scores: [f64; 3], first: f64) -> (Vec<(usize, usize)>, Vec<Vec<f64>>) {
        let places = vec![(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
        let row = |&(one, other): &(usize, usize)| {
            let mut row = vec![-20.0; 3];
            row[one] = scores[one] + first;
            row[other] = scores[other];
            row
        };
        let rows = places.iter().map(row).collect();
        (places, rows)
    }

    #[test]
    fn a_model_that_prefers_is_consistent_and_one_that_says_the_first_is_not() {
        let judged = |scores, first| {
            let (places, rows) = asked(scores, first);
            judge(3, &places, &rows)
        };
        let sure = judged([-3.0, -2.0, -1.0], 0.0);
        assert_eq!((sure.consistent, sure.transitive), (1.0, 1.0));
        assert!(sure.named > 0.999);
        // The first is always said; over both orders the preference shows all the same.
        let first = judged([-3.0, -2.0, -1.0], 5.0);
        assert_eq!((first.consistent, first.transitive), (0.0, 1.0));
        // What was named is not seen: all words alike.
        let (places, mut rows) = asked([-1.0; 3], 0.0);
        for row in &mut rows {
            row.fill(-1.0);
        }
        assert!((judge(3, &places, &rows).named - 2.0 / 3.0).abs() < 1e-12);
    }
}
