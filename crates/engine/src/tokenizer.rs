//! Text to token ids and back, over a Hugging Face `tokenizer.json` or a GGUF vocabulary.

use crate::Token;
use crate::error::Result;

/// A tokenizer with the ids that end a turn.
#[derive(Clone, Debug)]
pub struct Tokenizer {}

impl Tokenizer {
    /// Reads a `tokenizer.json` from memory.
    pub fn from_json(_bytes: &[u8]) -> Result<Self> {
        unimplemented!()
    }
    /// Token ids of `text`; special tokens written in the text become their ids.
    pub fn encode(&self, _text: &str) -> Result<Vec<Token>> {
        unimplemented!()
    }
    /// Text of `tokens`; special tokens are left out.
    pub fn decode(&self, _tokens: &[Token]) -> Result<String> {
        unimplemented!()
    }
    /// The bytes one token adds to a text, for constraints; `None` for special tokens.
    pub fn token_bytes(&self, _token: Token) -> Option<Vec<u8>> {
        unimplemented!()
    }
    /// The same for a token that begins a text.
    pub fn first_token_bytes(&self, _token: Token) -> Option<Vec<u8>> {
        unimplemented!()
    }
    /// The id of a token by its exact name.
    pub fn token(&self, _name: &str) -> Option<Token> {
        unimplemented!()
    }
    /// Number of ids.
    pub fn vocabulary(&self) -> usize {
        unimplemented!()
    }
    /// Ids that end a turn (end of sequence, end of turn).
    pub fn end_tokens(&self) -> &[Token] {
        unimplemented!()
    }
}
