//! The text of a completion while it grows: which of it can no longer change and may be shown, and
//! where a stop text begins. Pieces handed out, one after the other, are the completion's text.

use crate::Token;
use crate::tokenizer::Tokenizer;

/// Bytes written so far.
#[derive(Debug, Default)]
pub(super) struct Written {
    bytes: Vec<u8>,
    begun: bool,
    /// Bytes already handed out.
    told: usize,
    /// The byte at which each token begins.
    begins: Vec<usize>,
}

impl Written {
    /// Adds a token; the byte at which the first of the `stop` texts begins, if one is complete
    /// now.
    pub(super) fn push(
        &mut self,
        tokenizer: &Tokenizer,
        token: Token,
        stop: &[String],
    ) -> Option<usize> {
        let before = self.bytes.len();
        self.begins.push(before);
        let bytes = if self.begun {
            tokenizer.token_bytes(token)
        } else {
            tokenizer.first_token_bytes(token)
        };
        if let Some(bytes) = bytes {
            self.begun = true;
            self.bytes.extend_from_slice(&bytes);
        }
        stop.iter()
            .filter_map(|stop| {
                let from = before.saturating_sub(stop.len() - 1);
                let at = self.bytes[from..].windows(stop.len()).position(|w| w == stop.as_bytes());
                at.map(|at| from + at)
            })
            .min()
    }

    /// Text that neither half a character nor the beginning of a stop text can still change.
    pub(super) fn certain(&mut self, stop: &[String]) -> String {
        let fresh = &self.bytes[self.told..];
        let mut certain = fresh.len();
        if let Some(last) = fresh.utf8_chunks().last()
            && std::str::from_utf8(last.invalid()).is_err_and(|e| e.error_len().is_none())
        {
            certain -= last.invalid().len();
        }
        for stop in stop {
            let most = fresh.len().min(stop.len() - 1);
            if let Some(begun) =
                (1..=most).rev().find(|&n| stop.as_bytes().starts_with(&fresh[fresh.len() - n..]))
            {
                certain = certain.min(fresh.len() - begun);
            }
        }
        self.hand_out(self.told + certain)
    }

    /// How many tokens begin in what was handed out.
    pub(super) fn shown(&self) -> usize {
        self.begins.partition_point(|&begin| begin < self.told)
    }

    /// The text from what was handed out to `end`, or to the last byte.
    pub(super) fn rest(&mut self, end: Option<usize>) -> String {
        self.hand_out(end.unwrap_or(self.bytes.len()))
    }

    fn hand_out(&mut self, end: usize) -> String {
        let text = String::from_utf8_lossy(&self.bytes[self.told..end]).into_owned();
        self.told = end;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> Tokenizer {
        // Every byte is a token, so characters can be cut anywhere.
        let vocabulary: serde_json::Map<_, _> =
            (0..=255u8).map(|b| (format!("<0x{b:02X}>"), serde_json::json!(b))).collect();
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": true},
        });
        Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
    }

    proptest! {
        #[test]
        fn pieces_are_the_text_and_never_show_what_a_stop_text_takes_back(
            text in "[aé€b𝄞]{0,12}", stop in "[ab€]{1,3}",
        ) {
            let tokenizer = bytes();
            let stop = vec![stop];
            let mut written = Written::default();
            let mut shown = String::new();
            let mut end = None;
            for byte in text.bytes() {
                end = written.push(&tokenizer, u32::from(byte), &stop);
                if end.is_some() {
                    break;
                }
                shown += &written.certain(&stop);
                prop_assert_eq!(written.shown(), shown.len());
            }
            shown += &written.rest(end);
            let expected = text.find(&stop[0]).map_or(&text[..], |at| &text[..at]);
            prop_assert_eq!(&shown, expected);
            // Every byte is a token.
            prop_assert_eq!(written.shown(), expected.len());
        }
    }
}
