//! Chat templates: messages to the text a model was trained on (Jinja, as Hugging Face stores it).

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// A chat template.
#[derive(Clone, Debug)]
pub struct Template {}

impl Template {
    /// Compiles a Jinja source.
    pub fn new(_source: &str) -> Result<Self> {
        unimplemented!()
    }
    /// The text of `messages`, ending where the assistant is to speak if `open`.
    pub fn render(&self, _messages: &[Message], _open: bool) -> Result<String> {
        unimplemented!()
    }
}
