//! Log-probabilities of a row's tokens under several models, and the colours that show them.
//!
//! Computed when somebody looks, for the rows looked at, under the plain distribution of each model
//! (temperature 1, no constraint), and kept in memory only.

use std::sync::Arc;

use maud::{Markup, html};
use owlet_engine::generate::StopReason;
pub(super) use owlet_lab::model::answer::TokenScores as Scores;
use owlet_lab::model::answer::{self, GivenAnswer};
use owlet_lab::value::row::Row;
use owlet_lab::value::text;
use owlet_store::ArtifactId;

use super::Window;
use super::artifact::trained;
use super::error::Result;
use super::parts::name;

/// A model to score under.
#[derive(Clone, Debug)]
pub(super) struct Scorer {
    /// `base`, `teacher`, `student`.
    pub(super) part: &'static str,
    /// What the run calls it.
    pub(super) name: String,
    pub(super) model: ArtifactId,
}

/// Scores of one row, by part.
pub(super) type Scored = Vec<(&'static str, Arc<Scores>)>;

/// What decides a row's scores under a model, beside the model.
fn key(row: &Row, context: &str) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("owlet window scores 1");
    for part in [context, &row.prompt, &row.completion, &format!("{:?}", row.stop)] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

impl Window {
    /// Scores of `rows` under `scorer` in the chat context `context`; a teacher that writes under a
    /// system prompt is asked under it.
    pub(super) fn score(
        &self,
        scorer: &Scorer,
        context: &str,
        rows: &[&Row],
    ) -> Result<Vec<Arc<Scores>>> {
        let header = self.header(&scorer.model)?;
        let prompt = trained(&header).and_then(|trained| trained.system_prompt);
        let context = prompt.as_deref().unwrap_or(context);
        let keys: Vec<u64> = rows.iter().map(|row| key(row, context)).collect();
        let cached = |at: usize| self.scores.find(&(scorer.model, keys[at]));
        let mut scores: Vec<Option<Arc<Scores>>> = (0..rows.len()).map(cached).collect();
        let missing: Vec<usize> = (0..rows.len()).filter(|at| scores[*at].is_none()).collect();
        if !missing.is_empty() {
            let _asking = self.asking.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let model = self.models.load(&self.store.artifact(&scorer.model)?)?;
            let answers: Vec<GivenAnswer<'_>> = missing
                .iter()
                .map(|at| GivenAnswer {
                    question: &rows[*at].prompt,
                    opening: "",
                    text: &rows[*at].completion,
                    ended: rows[*at].stop == StopReason::End,
                })
                .collect();
            let made = answer::scores(&model, context, &answers, &self.threads)?;
            for (at, made) in missing.iter().zip(made) {
                let made = Arc::new(made);
                self.scores.put((scorer.model, keys[*at]), Arc::clone(&made));
                scores[*at] = Some(made);
            }
        }
        Ok(scores.into_iter().flatten().collect())
    }
}

/// Shades of differences in nats, by size, below zero and above.
const DIFFERENCES: [(f64, &str, &str); 4] =
    [(1.5, "down4", "up4"), (0.7, "down3", "up3"), (0.3, "down2", "up2"), (0.1, "down1", "up1")];
/// Shades for how unlikely a token is, in nats.
const SURPRISES: [(f64, &str); 4] = [(7.0, "s4"), (4.0, "s3"), (2.0, "s2"), (0.7, "s1")];

fn difference_class(difference: f64) -> &'static str {
    let shade = DIFFERENCES.iter().find(|(edge, _, _)| difference.abs() >= *edge);
    shade.map_or("d0", |(_, down, up)| if difference > 0.0 { up } else { down })
}

fn surprise_class(value: f64) -> &'static str {
    let shade = SURPRISES.iter().find(|(edge, _)| -value >= *edge);
    shade.map_or("s0", |(_, class)| class)
}

/// A row's answer, a line per model: the base by how unlikely each token is, the others by how
/// far they are from the base.
pub(super) fn strips(scores: &Scored) -> Markup {
    let base = scores.first().map(|(_, scores)| Arc::clone(scores));
    html! {
        div class="strips" {
            @for (at, (part, own)) in scores.iter().enumerate() {
                div class="strip" {
                    span class="part" { (part) }
                    span class="tokens" {
                        @for (place, (token, value)) in own.tokens.iter().zip(&own.values).enumerate() {
                            @let value = f64::from(*value);
                            @let reference = base.as_ref().and_then(|base| base.values.get(place)).map(|value| f64::from(*value));
                            @let difference = reference.map_or(0.0, |reference| value - reference);
                            span class={ "token " (if at == 0 { surprise_class(value) } else { difference_class(difference) }) }
                                title={ (part) " " (text::signed(value)) @if at > 0 { ", base " (text::signed(value - difference)) ", difference " (text::signed(difference)) } }
                            { (name(token)) }
                        }
                    }
                    span class="sum" {
                        (text::signed(own.sum()))
                        @if at > 0 { @if let Some(base) = &base { " (" (text::signed(own.sum() - base.sum())) ")" } }
                    }
                }
            }
        }
    }
}

/// What the colours mean.
pub(super) fn legend() -> Markup {
    html! {
        p class="legend note" {
            "Base: how unlikely each token is, "
            @for (class, words) in [("s0", "<0.7"), ("s1", "0.7"), ("s2", "2"), ("s3", "4"), ("s4", "≥7 nats")] {
                span class={ "token " (class) } { (words) } " "
            }
            ". Others: log-probability minus the base's, "
            @for (class, words) in [
                ("down4", "≤−1.5"), ("down3", "−0.7"), ("down2", "−0.3"), ("down1", "−0.1"), ("d0", "0"),
                ("up1", "+0.1"), ("up2", "+0.3"), ("up3", "+0.7"), ("up4", "≥+1.5 nats"),
            ] {
                span class={ "token " (class) } { (words) } " "
            }
            ". Point at a token for its numbers; the sums on the right are over the row."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_go_with_sign_and_size() {
        let shades: Vec<&str> =
            [-9.0, -0.3, -0.05, 0.0, 0.1, 1.5].into_iter().map(difference_class).collect();
        assert_eq!(shades, ["down4", "down2", "d0", "d0", "up1", "up4"]);
        let shades: Vec<&str> = [-0.1, -2.0, -50.0].into_iter().map(surprise_class).collect();
        assert_eq!(shades, ["s0", "s2", "s4"]);
    }
}
