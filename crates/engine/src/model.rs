//! A model: a decoder, perhaps an adapter on it, and the tokenizer and chat template that give
//! its token ids a meaning.

use std::sync::Arc;

use crate::activation::Steering;
use crate::adapter::Adapter;
use crate::decoder::Decoder;
use crate::template::Template;
use crate::tokenizer::Tokenizer;

/// Everything needed to go from messages to tokens to probabilities. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// The weights.
    pub decoder: Arc<Decoder>,
    /// Low-rank additions to them.
    pub adapter: Option<Arc<Adapter>>,
    /// What is added to the residual stream ([`Model::steered`]).
    pub steering: Option<Arc<Steering>>,
    /// Text to token ids and back.
    pub tokenizer: Arc<Tokenizer>,
    /// Messages to text.
    pub template: Arc<Template>,
}

impl Model {
    /// The same model without its adapter.
    #[must_use]
    pub fn base(&self) -> Self {
        Self { adapter: None, ..self.clone() }
    }

    /// The same model with `adapter` in place of its own.
    #[must_use]
    pub fn with_adapter(&self, adapter: Arc<Adapter>) -> Self {
        Self { adapter: Some(adapter), ..self.clone() }
    }

    /// The same tokenizer and template over other weights.
    #[must_use]
    pub fn with_decoder(&self, decoder: Arc<Decoder>) -> Self {
        Self { decoder, adapter: None, ..self.clone() }
    }
}
