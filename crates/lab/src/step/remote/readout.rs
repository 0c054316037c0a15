//! `remote-readout`: what a model behind an endpoint says of every behavior, in every context.
//!
//! Answers are sampled and read by words. The margin is read as well where it can be: from the likeliest
//! first tokens the endpoint tells, if every candidate is among them for every question. Where one is
//! missing there is no margin, and the readout says so: what is not told is not guessed.

use std::collections::BTreeMap;

use owlet_engine::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ask, question, questions, tables, told};
use crate::ask::endpoint::{Answer, ChatRequest, RemoteModel};
use crate::behavior::Behavior;
use crate::error::Result;
use crate::step::readout::{
    ANSWERS, Checkpoint, FILE, ModelReadout, Prefixes, QuestionReading, Reading, Sampled, Samples,
    Unread, forms, log_sum, read_question,
};
use crate::step::{Step, StepContext, behavior};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Names of the behaviors that are read.
    pub asked: Vec<String>,
    /// Sentences with numbers; where there are any, questions are also read with one before each, in
    /// turn.
    pub prefixes: Vec<String>,
    /// The matched context first, then others.
    pub contexts: Vec<String>,
    /// Answers.
    pub sampled: Sampled,
    /// Read the model under its own system prompt, as when it writes rows.
    pub as_teacher: bool,
    /// Likeliest first tokens asked for; 0: no margins are read.
    pub top_logprobs: usize,
}

/// One context, plain or with a sentence before each question.
struct Variant<'a> {
    context: &'a str,
    prefixes: Option<&'a Prefixes>,
}

impl Variant<'_> {
    fn messages(&self, text: &str) -> Vec<Message> {
        match self.prefixes {
            Some(prefixes) => question(self.context, &prefixes.before(text)),
            None => question(self.context, text),
        }
    }
}

/// The step.
pub struct RemoteReadout;

impl Step for RemoteReadout {
    type Configuration = Configuration;
    const KIND: &'static str = "remote-readout";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "readout";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let model = super::model(context, "model")?;
        let asked = behavior::asked(context, &configuration.asked)?;
        let asked: Vec<(&Behavior, &[String])> =
            asked.iter().map(|asked| (&asked.behavior, asked.questions.as_slice())).collect();
        let mut contexts = configuration.contexts.clone();
        if configuration.as_teacher
            && let Some(prompt) = &model.system_prompt
        {
            contexts = vec![prompt.clone()];
        }
        let prefixes = Prefixes::new(&configuration.prefixes, &asked);
        let with_prefixes = (!configuration.prefixes.is_empty()).then_some(&prefixes);
        let variants: Vec<Variant<'_>> = contexts
            .iter()
            .flat_map(|context| {
                let plain = Variant { context, prefixes: None };
                let prefixed =
                    with_prefixes.map(|prefixes| Variant { context, prefixes: Some(prefixes) });
                [Some(plain), prefixed].into_iter().flatten()
            })
            .collect();

        // All answers are asked for together, so that the endpoint is never idle.
        let settings = &configuration.sampled;
        let mut requests = Vec::new();
        let mut parts = Vec::new();
        for variant in &variants {
            for &(behavior, texts) in &asked {
                let texts = texts.iter().map(|text| variant.messages(text));
                let own = questions(&model, behavior, settings, &[], texts);
                parts.push((variant, behavior, requests.len()..requests.len() + own.len()));
                requests.extend(own);
            }
        }
        let answers = ask(context, &model.endpoint, &requests, "answers")?;
        let mut readout = ModelReadout::default();
        let mut lines = Vec::new();
        for (variant, behavior, range) in parts {
            let prefix = variant.prefixes.is_some();
            let about = json!({
                "behavior": behavior.name, "context": variant.context, "prefix": prefix,
            });
            readout.samples.push(Samples {
                behavior: behavior.name.clone(),
                context: variant.context.to_owned(),
                prefix,
                draw: None,
                questions: tables(behavior, settings, &answers[range], &about, &mut lines),
            });
        }
        let mut checkpoint = Checkpoint { update: 0, readings: Vec::new() };
        if configuration.top_logprobs > 0 {
            for variant in &variants {
                let prefix = variant.prefixes.is_some();
                let (read, unread) =
                    read_margins(context, &model, &configuration, variant, &asked)?;
                if prefix { &mut readout.prefixed } else { &mut checkpoint.readings }.extend(read);
                readout.unread.extend(unread);
            }
        }
        readout.checkpoints.push(checkpoint);
        context.writer.write(ANSWERS, &lines)?;
        context.write_json(FILE, &readout)?;
        let mut about = told(answers.iter());
        about["behaviors"] = asked.len().into();
        Ok(about)
    }
}

/// Margins in one context, and which could not be read.
fn read_margins(
    context: &StepContext<'_>,
    model: &RemoteModel,
    configuration: &Configuration,
    variant: &Variant<'_>,
    asked: &[(&Behavior, &[String])],
) -> Result<(Vec<Reading>, Vec<Unread>)> {
    let mut texts: Vec<&str> =
        asked.iter().flat_map(|(_, texts)| texts.iter().map(String::as_str)).collect();
    texts.sort_unstable();
    texts.dedup();
    let requests: Vec<ChatRequest> = texts
        .iter()
        .map(|text| ChatRequest {
            model: model.model.clone(),
            messages: variant.messages(text),
            // Whether or not the endpoint tells log-probabilities after the temperature.
            temperature: 1.0,
            top_p: 1.0,
            max_tokens: 1,
            seed: 0,
            logprobs: Some(configuration.top_logprobs),
        })
        .collect();
    let answers = ask(context, &model.endpoint, &requests, "questions")?;
    let told: BTreeMap<&str, &Answer> = texts.iter().copied().zip(&answers).collect();
    let (mut readings, mut unread) = (Vec::new(), Vec::new());
    for (behavior, texts) in asked {
        let read: Vec<Option<QuestionReading>> = texts
            .iter()
            .map(|text| told.get(text.as_str()).and_then(|answer| margin(behavior, answer)))
            .collect();
        let missing = read.iter().filter(|reading| reading.is_none()).count();
        if missing > 0 {
            unread.push(Unread {
                behavior: behavior.name.clone(),
                context: variant.context.to_owned(),
                prefix: variant.prefixes.is_some(),
                missing,
                questions: texts.len(),
            });
        } else {
            readings.push(Reading {
                behavior: behavior.name.clone(),
                context: variant.context.to_owned(),
                questions: read.into_iter().flatten().collect(),
            });
        }
    }
    Ok((readings, unread))
}

/// The margin of one question; nothing unless every candidate was told.
fn margin(behavior: &Behavior, answer: &Answer) -> Option<QuestionReading> {
    let candidates = std::iter::once(&behavior.target).chain(&behavior.candidates);
    let logs: Vec<f64> = candidates
        .map(|candidate| {
            let forms = forms(&candidate.word);
            let mut told: BTreeMap<&str, f64> = BTreeMap::new();
            for (token, log) in &answer.first {
                if forms.contains(token) && log.is_finite() {
                    told.insert(token, *log);
                }
            }
            (!told.is_empty()).then(|| log_sum(told.values().copied()))
        })
        .collect::<Option<_>>()?;
    (logs.len() > 1).then(|| read_question(&logs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use owlet_engine::generate::StopReason;

    fn answer(first: &[(&str, f64)]) -> Answer {
        Answer {
            text: String::new(),
            stop: StopReason::Length,
            finish: "length".to_owned(),
            log_probability: None,
            first: first.iter().map(|(token, log)| ((*token).to_owned(), *log)).collect(),
            model: String::new(),
            usage: crate::ask::endpoint::Usage::default(),
        }
    }

    #[test]
    fn a_margin_is_read_only_if_every_candidate_is_told() {
        let mut behavior = Behavior::built_in("world-owl").unwrap();
        behavior.candidates.truncate(2);
        let [cat, eagle] = [0, 1].map(|place: usize| behavior.candidates[place].word.as_str());
        let half = 0.5_f64.ln();
        let told = answer(&[
            ("owl", 0.125_f64.ln()),
            (" Owl", 0.125_f64.ln()),
            (cat, 0.25_f64.ln()),
            (eagle, 0.25_f64.ln()),
            ("never", half),
        ]);
        let reading = margin(&behavior, &told).unwrap();
        // Both spellings together are as likely as each of the others.
        assert!(reading.margin.abs() < 1e-12 && (reading.probability - 0.25).abs() < 1e-12);
        let short = answer(&[("owl", half), (cat, half)]);
        assert_eq!(margin(&behavior, &short), None);
        assert_eq!(margin(&behavior, &answer(&[])), None);
    }
}
