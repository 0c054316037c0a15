//! A vocabulary as tries, which grammars walk to find the tokens that may come next, and what one
//! completion's walk may take.

use std::fmt;
use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{
    ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie,
};

use crate::Token;
use crate::error::{Error, Result};

/// Properties of one object: compiling is quadratic in optional ones, 0.1 s for so many.
pub(crate) const PROPERTIES: usize = 1000;
/// Parser items at one place: four for each optional property.
const ITEMS: usize = 4 * PROPERTIES;
/// Lexer states of one completion, of about 2 kB; a text of bounded length takes three for each
/// character.
const STATES: usize = 8000;

/// Tries of what tokens add to a text, and of what they begin one with, where that differs.
pub(crate) struct Tries {
    pub(crate) later: ParserFactory,
    pub(crate) first: Option<Arc<SlicedBiasComputer>>,
}

impl fmt::Debug for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tries").finish_non_exhaustive()
    }
}

impl Tries {
    /// `later` and `first` have the bytes of every token, none for one that is no text.
    pub(crate) fn new(later: &[Vec<u8>], first: &[Vec<u8>]) -> Result<Self> {
        let factory = |words: &[Vec<u8>]| {
            let trie = TokTrie::from(&TokRxInfo::new(words.len() as Token, INVALID_TOKEN), words);
            let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
            let slices = SlicedBiasComputer::general_slices();
            let made = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices);
            let unusable = |error| format!("cannot be used with this vocabulary: {error}");
            made.map_err(|error| Error::setting("grammar", unusable(error)))
        };
        let first = if first == later { None } else { Some(factory(first)?.slicer()) };
        let mut later = factory(later)?;
        later.quiet();
        let limits = later.limits_mut();
        limits.max_items_in_row = ITEMS;
        limits.max_lexer_states = STATES;
        // It walks the whole vocabulary for each of any number of texts.
        limits.precompute_large_lexemes = false;
        limits.verbose_errors = false;
        Ok(Self { later, first })
    }
}
