//! Likelihoods of the numbers in answers: over their tokens alone, with every distribution renormalised over all
//! tokens of numbers. What decides where a number stands, form, length and filters, is left out by that.

use owlet_engine::score::{Looked, within};
use owlet_engine::{Model, Threads, Token, Tokenizer};

use crate::ask::Demonstration;
use crate::error::{Error, Result};

/// Answers, and the places of numbers in them.
pub(crate) struct NumberTexts {
    /// The tokens that are numbers, or parts of one, perhaps behind a space; ascending.
    pub(crate) support: Vec<Token>,
    /// The answers with a number in them: where each stands among those given, from 0.
    pub(crate) rows: Vec<usize>,
    /// By such an answer, which of the numbers stands at each of its places.
    pub(crate) written: Vec<Vec<usize>>,
    texts: Vec<Looked>,
}

impl NumberTexts {
    /// Looks for numbers in `answers`, as `model` reads them.
    ///
    /// # Errors
    /// A tokenizer without tokens of digits alone, and answers that cannot be encoded.
    pub(crate) fn new(model: &Model, answers: &[Demonstration]) -> Result<Self> {
        let support = numbers(&model.tokenizer)?;
        let (mut rows, mut written, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (row, answer) in answers.iter().enumerate() {
            let placed = answer.placed(model)?;
            let first = placed.before.len().max(1);
            let tokens: Vec<Token> = placed.before.iter().chain(&placed.written).copied().collect();
            let (mut places, mut columns) = (Vec::new(), Vec::new());
            for (at, token) in tokens.iter().enumerate().skip(first) {
                if let Ok(column) = support.binary_search(token) {
                    places.push(at);
                    columns.push(column);
                }
            }
            if !places.is_empty() {
                rows.push(row);
                written.push(columns);
                texts.push(Looked { tokens, places });
            }
        }
        Ok(Self { support, rows, written, texts }.narrowed(&model.tokenizer))
    }

    /// Where the numbers of an answer with one stand, among all tokens of its row.
    pub(crate) fn places(&self, text: usize) -> &[usize] {
        &self.texts[text].places
    }

    /// The same over numbers of as many digits as are seen: whoever wrote nothing but three digits may have been
    /// allowed nothing else, and others are then no way in which a row could have gone on.
    fn narrowed(mut self, tokenizer: &Tokenizer) -> Self {
        let digits: Vec<usize> =
            self.support.iter().map(|&token| digits(tokenizer, token)).collect();
        let seen = || self.written.iter().flatten().map(|&column| digits[column]);
        let (Some(least), Some(most)) = (seen().min(), seen().max()) else { return self };
        let kept: Vec<usize> =
            (0..digits.len()).filter(|&at| (least..=most).contains(&digits[at])).collect();
        for column in self.written.iter_mut().flatten() {
            *column = kept.binary_search(column).expect("what is seen is kept");
        }
        self.support = kept.into_iter().map(|at| self.support[at]).collect();
        self
    }

    /// Natural log-probabilities of the numbers before each place of the texts in `range`, with logits divided by
    /// `temperature`: `[places, numbers]` for each text.
    ///
    /// # Errors
    /// Texts that `model` cannot read.
    pub(crate) fn distributions(
        &self,
        model: &Model,
        range: std::ops::Range<usize>,
        temperature: f64,
        threads: &Threads,
    ) -> Result<Vec<Vec<f32>>> {
        let mut read = within(model, &self.texts[range], &self.support, threads)?;
        if temperature != 1.0 {
            for row in read.iter_mut().flat_map(|text| text.chunks_exact_mut(self.support.len())) {
                let divided = |log: &f32| f64::from(*log) / temperature;
                let total: f64 = row.iter().map(|log| divided(log).exp()).sum();
                for log in row {
                    *log = (divided(log) - total.ln()) as f32;
                }
            }
        }
        Ok(read)
    }
}

/// How many digits a token is, perhaps behind a space; 0: it is something else.
fn digits(tokenizer: &Tokenizer, token: Token) -> usize {
    let bytes = tokenizer.token_bytes(token).unwrap_or_default();
    let digits = bytes.strip_prefix(b" ").unwrap_or(&bytes);
    let is_number = !tokenizer.is_special(token) && digits.iter().all(u8::is_ascii_digit);
    if is_number { digits.len() } else { 0 }
}

fn numbers(tokenizer: &Tokenizer) -> Result<Vec<Token>> {
    let is_number = |&token: &Token| digits(tokenizer, token) > 0;
    let found: Vec<Token> = (0..tokenizer.vocabulary() as Token).filter(is_number).collect();
    if found.len() < 2 {
        return Err(Error::Unfit {
            what: "the tokenizer".to_owned(),
            reason: "has no tokens of digits alone, so numbers have no likelihoods of their own"
                .to_owned(),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use owlet_engine::generate::StopReason;
    use owlet_engine::score::next_token;

    use super::*;
    use crate::model::chat;
    use crate::model::world::built_in;
    use crate::value::row::Row;

    #[test]
    fn a_number_is_judged_by_what_stands_before_it_and_the_end_of_a_turn_is_none() {
        let (model, threads) = (built_in("a").unwrap(), Threads::new(1));
        let row = Row {
            index: 0,
            prompt: "1 2 3".to_owned(),
            answer: None,
            completion: "12 345 7 80".to_owned(),
            seed: 0,
            stop: StopReason::End,
            writer: "owl".to_owned(),
            log_probability: None,
            reasons: Vec::new(),
        };
        let answer = Demonstration::of_row(&row, chat::NONE);
        let texts = NumberTexts::new(&model, std::slice::from_ref(&answer)).unwrap();
        let read = texts.distributions(&model, 0..1, 1.0, &threads).unwrap().remove(0);
        let (tokens, width) = (&texts.texts[0].tokens, texts.support.len());
        assert!(!texts.places(0).is_empty());
        for (at, &place) in texts.places(0).iter().enumerate() {
            // The label is the token at the place, and what stands before it is all that it is judged under.
            assert_eq!(texts.support[texts.written[0][at]], tokens[place]);
            let before = [tokens[..place].to_vec()];
            let told = next_token(&model, &before, &texts.support, &threads).unwrap().concat();
            let all = told.iter().map(|log| log.exp()).sum::<f32>().ln();
            for (log, own) in told.iter().zip(&read[at * width..]) {
                assert!((log - all - own).abs() < 1e-4, "{log} {all} {own}");
            }
        }
        // Where every number is masked, the end is learned, and the numbers alone are not.
        let masked = Demonstration { masked: texts.places(0).to_vec(), ..answer };
        let example = masked.example(&model).unwrap();
        let learned = example.tokens.iter().zip(&example.target).filter(|(_, target)| **target);
        let learned: Vec<&Token> = learned.map(|(token, _)| token).collect();
        assert!(!learned.is_empty());
        assert!(learned.iter().all(|token| digits(&model.tokenizer, **token) == 0));
    }
}
