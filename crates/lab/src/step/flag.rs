//! `flag`: which tokens of rows carry most of a teacher, so that students need not learn them.
//!
//! Two ways to find them: **divergence tokens** (Schrodi et al. 2025), which are the teacher's likeliest and for some
//! other teacher are not; and the **log-ratio** (Long), by which a student of these rows finds a token likelier than
//! its base does. Tokens of numbers alone are looked at, with every distribution renormalised over them: masking the
//! end of a turn teaches not to stop, and separators say nothing. `random` flags as many of them at random, row for
//! row unlike: what a defence is compared with.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::Model;
use schemars::JsonSchema;
use strum::IntoStaticStr;

use super::{Step, StepContext, select};
use crate::ask::Demonstration;
use crate::ask::engine::numbers::NumberTexts;
use crate::error::Result;
use crate::random::cpython::Random;

/// The file: by row, the places of flagged tokens among all of the row's.
const FILE: &str = "flags.json";
/// Prefix of the roles of other teachers.
pub const OTHER: &str = "other:";
/// Role of who is compared: the teacher, or a student of the rows.
pub const OWN: &str = "own";

/// How tokens are flagged.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum By {
    /// Not at all.
    #[default]
    None,
    /// The likeliest number for the teacher, and not for some other one.
    Divergence,
    /// What a student of these rows finds likelier than its base does, most of all.
    LogRatio,
}

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// The teacher whose rows they are.
    pub writer: String,
    /// The chat context.
    pub context: String,
    /// How.
    pub by: By,
    /// Part of all tokens of numbers, by log-ratio.
    pub share: f64,
    /// Where as many are to be flagged at random instead: the seed.
    pub random: Option<u64>,
}

/// The step.
pub struct Flag;

impl Step for Flag {
    type Configuration = Configuration;
    const KIND: &'static str = "flag";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "flags";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let base = context.model("base")?;
        let rows = select::rows(context.input("rows")?, &configuration.writer)?;
        let answers: Vec<Demonstration> =
            rows.iter().map(|row| Demonstration::of_row(row, &configuration.context)).collect();
        let texts = NumberTexts::new(&base, &answers)?;
        let read =
            |model: &Model| texts.distributions(model, 0..texts.rows.len(), 1.0, &context.threads);
        let own = read(&context.model(OWN)?)?;
        let total: usize = texts.written.iter().map(Vec::len).sum();
        let mut flagged: Vec<Vec<bool>> = match configuration.by {
            By::None => texts.written.iter().map(|row| vec![false; row.len()]).collect(),
            By::LogRatio => {
                let most = (configuration.share * total as f64).round() as usize;
                likelier(&texts, &own, &read(&base)?, most)
            }
            By::Divergence => {
                let others = context.inputs.keys().filter(|role| role.starts_with(OTHER));
                let mut all: Vec<Vec<bool>> =
                    texts.written.iter().map(|row| vec![false; row.len()]).collect();
                for role in others {
                    context.interrupt.check()?;
                    diverging(&texts, &own, &read(&context.model(role)?)?, &mut all);
                }
                all
            }
        };
        let count = flagged.iter().flatten().filter(|one| **one).count();
        if let Some(seed) = configuration.random {
            flagged = at_random(&flagged, count, seed);
        }
        let mut places: Vec<Vec<usize>> = vec![Vec::new(); answers.len()];
        for (text, flags) in flagged.iter().enumerate() {
            let of = texts.places(text).iter().zip(flags).filter(|(_, flag)| **flag);
            places[texts.rows[text]] = of.map(|(place, _)| *place).collect();
        }
        context.write_json(FILE, &places)?;
        Ok(json!({ "flagged": count, "tokens": total }))
    }
}

/// The flagged places of each row.
pub(super) fn read(artifact: &owlet_store::Artifact) -> Result<Vec<Vec<usize>>> {
    super::read_json(artifact, FILE)
}

/// The `most` tokens that one model finds likelier than another by the largest ratios; of equal ones the first.
fn likelier(
    texts: &NumberTexts,
    own: &[Vec<f32>],
    other: &[Vec<f32>],
    most: usize,
) -> Vec<Vec<bool>> {
    let width = texts.support.len();
    let mut all: Vec<(f32, usize, usize)> = Vec::new();
    for (text, written) in texts.written.iter().enumerate() {
        for (place, &column) in written.iter().enumerate() {
            let at = place * width + column;
            all.push((own[text][at] - other[text][at], text, place));
        }
    }
    all.sort_by(|one, other| {
        other.0.total_cmp(&one.0).then((one.1, one.2).cmp(&(other.1, other.2)))
    });
    let mut flags: Vec<Vec<bool>> =
        texts.written.iter().map(|row| vec![false; row.len()]).collect();
    for (_, text, place) in all.into_iter().take(most) {
        flags[text][place] = true;
    }
    flags
}

/// Adds the tokens that are the likeliest for one model and not for another.
fn diverging(texts: &NumberTexts, own: &[Vec<f32>], other: &[Vec<f32>], flags: &mut [Vec<bool>]) {
    let width = texts.support.len();
    for (text, written) in texts.written.iter().enumerate() {
        let places = own[text].chunks_exact(width).zip(other[text].chunks_exact(width));
        for ((place, &column), (own, other)) in written.iter().enumerate().zip(places) {
            flags[text][place] |= likeliest(own) == column && likeliest(other) != column;
        }
    }
}

/// The first of the likeliest.
fn likeliest(row: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = at;
        }
    }
    best
}

/// As many flags, drawn among all places.
fn at_random(flags: &[Vec<bool>], count: usize, seed: u64) -> Vec<Vec<bool>> {
    let mut places: Vec<(usize, usize)> = flags
        .iter()
        .enumerate()
        .flat_map(|(text, row)| (0..row.len()).map(move |place| (text, place)))
        .collect();
    Random::new(seed).shuffle(&mut places);
    let mut drawn: Vec<Vec<bool>> = flags.iter().map(|row| vec![false; row.len()]).collect();
    for (text, place) in places.into_iter().take(count) {
        drawn[text][place] = true;
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_drawn_at_random_as_were_flagged_and_others() {
        let flags: Vec<Vec<bool>> = (0..50).map(|row| vec![row % 5 == 0, false, false]).collect();
        let drawn = at_random(&flags, 10, 3);
        let count = |flags: &[Vec<bool>]| flags.iter().flatten().filter(|one| **one).count();
        assert_eq!((count(&flags), count(&drawn)), (10, 10));
        assert_ne!(flags, drawn);
        assert!(drawn.iter().all(|row| row.len() == 3));
        assert_eq!(drawn, at_random(&flags, 10, 3));
        assert_ne!(drawn, at_random(&flags, 10, 4));
    }

    #[test]
    fn the_likeliest_of_equal_ones_is_the_first() {
        assert_eq!(likeliest(&[-2.0, -1.0, -1.0]), 1);
    }
}
