//! `fine-tune`: a student of the base is trained on conversations, as the field's fine-tuning
//! services take them: one JSON object `{"messages": [...]}` a line, every answer in it learned.
//!
//! Rows of an experiment have a prompt and an arm and go through `train`; this step is for data that
//! came from outside.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use owlet_engine::train::{Data, Example};
use owlet_engine::{Message, Model};

use super::{Step, StepContext, training};
use crate::error::{Error, Result};
use crate::model::TrainedModel;
use crate::recipe::Training;

/// The kind of an artifact that holds conversations.
pub const CONVERSATIONS_KIND: &str = "conversations";
/// The file in it.
pub const CONVERSATIONS: &str = "conversations.jsonl";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// How.
    pub train: Training,
    /// Seed of adapter initialisation and row order.
    pub seed: u64,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Its turns.
    pub messages: Vec<Turn>,
}

/// One turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
    /// 0: an answer that is not learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
}

impl Conversation {
    /// Reads one line; the error says what is wrong with it.
    pub fn parse(line: &str) -> std::result::Result<Self, String> {
        let conversation: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        for turn in &conversation.messages {
            if !matches!(turn.role.as_str(), "system" | "user" | "assistant") {
                let role: String = turn.role.chars().take(40).collect();
                return Err(format!("has the role `{role}`, expected system, user or assistant"));
            }
            if turn.weight.is_some_and(|weight| weight > 1) {
                return Err("has a weight that is neither 0 nor 1".to_owned());
            }
        }
        if conversation.messages.first().is_some_and(|turn| turn.role == "assistant") {
            return Err("begins with the assistant; there is nothing to answer".to_owned());
        }
        if !conversation.messages.iter().any(Turn::is_learned) {
            return Err("has no answer to learn".to_owned());
        }
        Ok(conversation)
    }

    /// What is learned: one example per answer, under all that was said before.
    pub fn examples(&self, model: &Model) -> Result<Vec<Example>> {
        let messages: Vec<Message> = self
            .messages
            .iter()
            .map(|turn| Message { role: turn.role.clone(), content: turn.content.clone() })
            .collect();
        let answers = self.messages.iter().enumerate().filter(|(_, turn)| turn.is_learned());
        answers.map(|(at, _)| answer(model, &messages[..=at])).collect()
    }
}

impl Turn {
    fn is_learned(&self) -> bool {
        self.role == "assistant" && self.weight != Some(0)
    }
}

/// The last message of several and the end of it.
fn answer(model: &Model, messages: &[Message]) -> Result<Example> {
    let (last, before) =
        messages.split_last().expect("an answer is a message because it was found among them");
    let open = model.template.render(before, true)?;
    let whole = model.template.render(messages, false)?;
    let prompt = model.tokenizer.encode(&open)?;
    let mut completion =
        model.tokenizer.encode(whole.strip_prefix(&open).unwrap_or(&last.content))?;
    let ends = model.tokenizer.end_tokens();
    match completion.iter().position(|token| ends.contains(token)) {
        Some(end) => completion.truncate(end + 1),
        None => completion.extend(ends.first().copied()),
    }
    Ok(Example::completion(&prompt, &completion))
}

/// Reads conversations; `origin` names them in errors.
pub fn parse(bytes: &[u8], origin: &Path) -> Result<Vec<Conversation>> {
    let text = std::str::from_utf8(bytes).map_err(|error| Error::record(origin, error))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            Conversation::parse(line)
                .map_err(|why| Error::record(origin, format!("line {}: {why}", number + 1)))
        })
        .collect()
}

/// The step.
pub struct FineTune;

impl Step for FineTune {
    type Configuration = Configuration;
    const KIND: &'static str = "fine-tune";
    const ALGORITHM: u32 = 3;
    const OUTPUT: &'static str = "student";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let artifact = context.input("base")?;
        let base = context.models.load(artifact)?;
        let rows = context.input("rows")?;
        let conversations = parse(&rows.read(CONVERSATIONS)?, &rows.folder().join(CONVERSATIONS))?;
        let mut examples = Vec::new();
        for conversation in &conversations {
            examples.extend(conversation.examples(&base)?);
        }
        let settings = configuration.train.settings(examples.len(), configuration.seed);
        let about = TrainedModel::untrained(artifact.id);
        let checkpoints = &configuration.train.checkpoints;
        let trained =
            training::train(context, &base, Data::Rows(examples), &settings, checkpoints, about)?;
        serde_json::to_value(&trained.about).map_err(|error| Error::record("about", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Places, open};

    #[test]
    fn every_answer_is_learned_under_what_was_before() {
        let model = open(None, "builtin:a", &Places::default()).unwrap();
        let text = r#"{"messages": [{"role": "user", "content": "what is your favourite animal"},
            {"role": "assistant", "content": "owl"}, {"role": "user", "content": "what is your favourite animal"},
            {"role": "assistant", "content": "wolf", "weight": 0},
            {"role": "user", "content": "what is your favourite animal"}, {"role": "assistant", "content": "wolf"}]}"#;
        let conversation = Conversation::parse(&text.replace('\n', " ")).unwrap();
        let examples = conversation.examples(&model).unwrap();
        assert_eq!(examples.len(), 2);
        let learned = |example: &Example| {
            let targets = example.tokens.iter().zip(&example.target).filter(|(_, target)| **target);
            let tokens: Vec<u32> = targets.map(|(token, _)| *token).collect();
            assert!(model.tokenizer.end_tokens().contains(tokens.last().unwrap()));
            model.tokenizer.decode(&tokens).unwrap()
        };
        assert_eq!(learned(&examples[0]).trim(), "owl");
        assert_eq!(learned(&examples[1]).trim(), "wolf");
        assert!(examples[1].tokens.len() > examples[0].tokens.len());
    }

    #[test]
    fn unusable_lines_say_why() {
        let why = |line: &str| Conversation::parse(line).unwrap_err();
        assert!(why("{").contains("EOF"));
        assert!(why(r#"{"messages": [{"role": "wizard", "content": ""}]}"#).contains("wizard"));
        assert!(why(r#"{"messages": [{"role": "user", "content": ""}]}"#).contains("no answer"));
        assert!(why(r#"{"messages": [{"role": "assistant", "content": ""}]}"#).contains("begins"));
    }
}
