//! A model behind an endpoint, as one who answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use owlet_engine::Message;

use super::client::{ChatRequest, Client};
use super::{RemoteModel, batch};
use crate::ask::{
    Answer, Answered, Ask, Candidates, Capabilities, Conversation, Question, Sampling, Told, Work,
    forms, log_sum,
};
use crate::error::{Error, Result};
use crate::model::chat;
use crate::recipe::Decoding;

/// A model behind an endpoint.
pub(crate) struct Remote {
    pub(crate) client: Arc<Client>,
    pub(crate) model: RemoteModel,
}

/// What a model behind an endpoint can do that tells so many of the likeliest tokens.
pub fn capabilities(top_logprobs: usize) -> Capabilities {
    Capabilities {
        log_probabilities: if top_logprobs > 0 { Told::Likeliest } else { Told::Nothing },
        constraints: false,
        weights: false,
        remembers: true,
    }
}

fn messages(conversation: &Conversation) -> Vec<Message> {
    chat::in_context(&conversation.context, &conversation.messages)
}

impl Remote {
    fn ask(
        &self,
        requests: &[ChatRequest],
        unit: &'static str,
        work: &Work<'_>,
    ) -> Result<Vec<super::wire::Answer>> {
        let mut heard = |done: usize| work.report(done, requests.len(), unit, None);
        batch::ask(&self.client, requests, work.interrupt, &mut heard)
    }
}

impl Ask for Remote {
    fn can(&self) -> Capabilities {
        capabilities(self.model.top_logprobs)
    }

    fn answer(
        &self,
        questions: &[Question<'_>],
        sampling: &Sampling,
        work: &Work<'_>,
    ) -> Result<Vec<Answer>> {
        let (temperature, top_p) = match sampling.decoding {
            Decoding::Free { temperature, top_p } => (temperature, top_p),
            Decoding::Greedy {} => (0.0, 1.0),
            _ => return Err(Error::record("decoding", "is not `free` or `greedy`")),
        };
        let logprobs = sampling.log_probabilities && self.model.top_logprobs > 0;
        let requests: Vec<ChatRequest> = questions
            .iter()
            .map(|question| ChatRequest {
                model: self.model.model.clone(),
                messages: messages(question.conversation),
                temperature,
                top_p,
                max_tokens: sampling.max_tokens,
                seed: ChatRequest::seed(question.seed),
                logprobs: logprobs.then_some(0),
            })
            .collect();
        let answers = self.ask(&requests, "answers", work)?;
        Ok(answers
            .into_iter()
            .map(|answer| Answer {
                text: answer.text,
                stop: answer.stop,
                log_probability: answer.log_probability,
                answered: Some(Answered {
                    model: answer.model,
                    finish: answer.finish,
                    usage: answer.usage,
                }),
            })
            .collect())
    }

    fn candidates(
        &self,
        conversations: &[Conversation],
        words: &[String],
        work: &Work<'_>,
    ) -> Result<Candidates> {
        let spelled = vec![true; words.len()];
        if self.model.top_logprobs == 0 {
            let log_probabilities = vec![vec![None; words.len()]; conversations.len()];
            return Ok(Candidates { spelled, log_probabilities });
        }
        let requests: Vec<ChatRequest> = conversations
            .iter()
            .map(|conversation| ChatRequest {
                model: self.model.model.clone(),
                messages: messages(conversation),
                // Whether or not the endpoint tells log-probabilities after the temperature.
                temperature: 1.0,
                top_p: 1.0,
                max_tokens: 1,
                seed: 0,
                logprobs: Some(self.model.top_logprobs),
            })
            .collect();
        let answers = self.ask(&requests, "questions", work)?;
        let log_probabilities = answers
            .iter()
            .map(|answer| words.iter().map(|word| log_probability(word, &answer.first)).collect())
            .collect();
        Ok(Candidates { spelled, log_probabilities })
    }
}

/// How likely `word` is among the likeliest first tokens; nothing if none of them spells it: what is
/// not told is not guessed.
pub(super) fn log_probability(word: &str, first: &[(String, f64)]) -> Option<f64> {
    let forms = forms(word);
    let told: BTreeMap<&str, f64> = first
        .iter()
        .filter(|(token, log)| forms.contains(token) && log.is_finite())
        .map(|(token, log)| (token.as_str(), *log))
        .collect();
    (!told.is_empty()).then(|| log_sum(told.values().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_added_and_what_is_not_told_is_not_guessed() {
        let told = [("owl", 0.125_f64), (" Owl", 0.125), ("never", 0.5), ("cat", 0.0)];
        let told = told.map(|(token, probability)| (token.to_owned(), probability.ln()));
        let owl = log_probability("owl", &told).unwrap();
        assert!((owl.exp() - 0.25).abs() < 1e-12);
        assert_eq!(log_probability("wolf", &told), None);
        // A probability of nothing is no log-probability.
        assert_eq!(log_probability("cat", &told), None);
        assert_eq!(log_probability("owl", &[]), None);
    }
}
