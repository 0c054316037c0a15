//! From looks to a verdict about two models.

use statrs::distribution::{ContinuousCDF, Normal};

use super::look::{self, Both};
use super::{
    Compared, Equal, Found, LEVEL, Look, Looked, Pair, Settings, UNITS, Verdict, align, relation,
    units,
};
use crate::error::Result;

/// Of units that two kinds of weights pair with any, so many must be paired with the same. Measured
/// (docs/compare.md): between disguised copies all are; between unrelated layers, where hubs and units
/// whose two kinds of weights are alike make some agree, at most a few in a hundred.
const AGREEING: f64 = 0.5;
/// What a z-score must be beside its p-value: of a hundred unrelated pairs one has a p below the level, as it
/// must, and of 210 measured (docs/compare.md) the largest came to 4.0. Copies under noise ten times their
/// weights have 10.
const LEAST_Z: f64 = 5.0;
/// Noise, in sizes of the weights, that must have been seen for models to be called independent.
const LEAST_NOISE: f64 = 3.0;
/// Hidden units a layer from which on z-scores and the bound on noise hold.
const LEAST_UNITS: usize = 32;
/// The chance that the bound is too high.
const BOUND: f64 = 0.05;

/// Compares two models.
pub(super) fn pair(
    first: &mut Compared,
    second: &mut Compared,
    settings: &Settings,
) -> Result<Pair> {
    let mut pair = Pair {
        models: [0, 1],
        verdict: Verdict::NotComparable,
        by: None,
        p: None,
        why: String::new(),
        equal: equal(first, second, settings)?,
        looks: Vec::new(),
        least_noise: None,
        distance: None,
        relation: None,
    };
    let misfit = match misfit(first, second) {
        Some(why) => Some(why),
        None => flat(first)?.or(flat(second)?),
    };
    if let Some(why) = misfit {
        pair.why = why;
    } else {
        let layers = |model: &Compared| model.weights.config().layers;
        let layers = layers(first).min(layers(second));
        looks(&mut pair, &mut Both { first, second, layers }, settings)?;
    }
    if pair.equal.telling > 0 {
        let Equal { equal, of, telling } = pair.equal;
        // What no look saw says nothing against equal bytes.
        let is_seen = pair.verdict == Verdict::Dependent;
        let look = if is_seen { format!("; {}", pair.why) } else { String::new() };
        pair.p = pair.p.filter(|_| is_seen);
        pair.verdict = Verdict::Dependent;
        pair.by = Some(Look::Bytes);
        pair.why =
            format!("{equal} of {of} tensors are the same bytes, {telling} of them matrices{look}");
    }
    if pair.verdict == Verdict::Dependent && matches!(pair.by, Some(Look::Bytes | Look::Places)) {
        pair.relation = Some(relation::of(first, second, settings)?);
    }
    Ok(pair)
}

/// Why hidden units of two models cannot be laid beside each other.
fn misfit(first: &Compared, second: &Compared) -> Option<String> {
    let (one, other) = (first.weights.config(), second.weights.config());
    for (what, one, other) in
        [("wide", one.width, other.width), ("hidden units a layer", one.hidden, other.hidden)]
    {
        if one != other {
            return Some(format!(
                "`{}` is {one} {what}, `{}` {other}: their hidden units have no common shape",
                first.name, second.name
            ));
        }
    }
    if one.hidden < LEAST_UNITS {
        let units = one.hidden;
        return Some(format!(
            "they have {units} hidden units a layer, expected at least {LEAST_UNITS}: fewer have too few orders"
        ));
    }
    (one.gated != other.gated).then(|| {
        let gated = if one.gated { &first.name } else { &second.name };
        format!("of the two, only `{gated}` has gates: hidden units are not built alike")
    })
}

/// Why the hidden units of a model cannot be told apart, if they cannot.
fn flat(model: &mut Compared) -> Result<Option<String>> {
    let units = units::sample(model.weights.config().hidden, UNITS, 0, "flat");
    let rows = model.weights.rows("layers.0.up.weight", &units)?;
    let mut rows = rows.chunks_exact(model.weights.config().width);
    let first = rows.next().unwrap_or_default();
    Ok(rows.all(|row| row == first).then(|| {
        format!(
            "all hidden units of the first layer of `{}` have the same weights, so that nothing tells which is which",
            model.name
        )
    }))
}

fn looks(pair: &mut Pair, both: &mut Both, settings: &Settings) -> Result<()> {
    let (places, distance) = look::places(both, None, settings)?;
    pair.distance = Some(distance);
    pair.least_noise = least_noise(&places);
    if decides(pair, places) {
        return Ok(());
    }
    let turn = align::turn(both.first, both.second, settings)?;
    if let Ok(turn) = &turn {
        let (places, distance) = look::places(both, Some(turn.as_slice()), settings)?;
        if decides(pair, places) {
            pair.distance = Some(distance);
            return Ok(());
        }
    }
    let (own, turned) = look::matching(both, turn.as_deref().ok(), settings)?;
    for looked in [Some(own), turned].into_iter().flatten() {
        if decides(pair, looked) {
            pair.distance = None;
            return Ok(());
        }
    }
    let not_taken = turn.err();
    for look in [Look::AlignedPlaces, Look::AlignedMatching] {
        pair.looks.extend(not_taken.clone().map(|why| Looked {
            look,
            layers: Vec::new(),
            adjusted: Vec::new(),
            not_taken: Some(why),
        }));
    }
    pair.looks.sort_by_key(|looked| Look::TESTS.iter().position(|look| *look == looked.look));
    none(pair, both, not_taken);
    Ok(())
}

/// Adds a look; whether it makes the models dependent.
fn decides(pair: &mut Pair, looked: Looked) -> bool {
    let below = || {
        let all = looked.layers.iter().zip(&looked.adjusted).enumerate();
        all.map(|(layer, (found, p))| (layer, *p, *found)).filter(|(_, p, _)| *p < LEVEL)
    };
    let strength = |found: Found| match found {
        Found::Places(found) => found.z,
        Found::Matching(found) => found.agree as f64,
    };
    // Many layers may have the least p-value that the draws can give.
    let strongest = below().max_by(|one, other| strength(one.2).total_cmp(&strength(other.2)));
    let (look, layers, below) = (looked.look, looked.layers.len(), below().count());
    pair.looks.push(looked);
    let Some((layer, p, found)) = strongest else { return false };
    pair.why = match found {
        Found::Places(found) if found.z < LEAST_Z => return false,
        Found::Places(found) => format!(
            "{}: in {below} of {layers} layers hidden units of equal places are more alike than in any order that chance gives (z {:.0} in layer {layer})",
            look.name(),
            found.z
        ),
        Found::Matching(found) if (found.agree as f64) < AGREEING * found.paired as f64 => {
            return false;
        }
        Found::Matching(found) => format!(
            "{}: two kinds of weights pair {} of {} units with the same units in layer {layer}",
            look.name(),
            found.agree,
            found.paired
        ),
    };
    (pair.verdict, pair.by, pair.p) = (Verdict::Dependent, Some(look), Some(p));
    true
}

/// What is said where no look found anything.
fn none(pair: &mut Pair, both: &Both, not_taken: Option<String>) {
    let all = pair.looks.iter().filter_map(Looked::best).map(|(_, p)| p);
    pair.p = all.min_by(f64::total_cmp);
    let counts = [&*both.first, &*both.second].map(|model| model.weights.config().layers);
    let noise = pair.least_noise.unwrap_or(0.0);
    let some_agree = pair.p.is_some_and(|p| p < LEVEL);
    pair.why = if let Some(why) = not_taken {
        format!(
            "nothing ties them as they are, but their residual streams could not be aligned: {why}"
        )
    } else if counts[0] != counts[1] {
        format!(
            "nothing ties the first {} layers, but one has {} and the other {}: which layer would be which is not known",
            both.layers, counts[0], counts[1]
        )
    } else if some_agree {
        beyond(pair)
    } else if noise < LEAST_NOISE {
        format!(
            "nothing ties them, but so few hidden units would not show a copy with noise {noise:.1} times as large as its weights"
        )
    } else {
        pair.verdict = Verdict::Independent;
        format!(
            "no look ties them; a copy in place would have to be buried in noise {noise:.0} times as large as its weights"
        )
    };
}

/// What is said of looks that found something, and not enough.
fn beyond(pair: &Pair) -> String {
    let is_beyond = |looked: &&Looked| looked.best().is_some_and(|(_, p)| p < LEVEL);
    let names: Vec<&str> =
        pair.looks.iter().filter(is_beyond).map(|looked| looked.look.name()).collect();
    format!(
        "beyond chance, and less so than a copy is ({}): one unrelated pair in a hundred is, and a copy under noise that hides it may be",
        names.join("; ")
    )
}

/// Were the second a copy of the first with noise added, so many times the weights' size it would be at
/// least: equal places are as alike as 1 / sqrt(1 + noise²), of which the upper bound over all layers is
/// taken.
fn least_noise(looked: &Looked) -> Option<f64> {
    let bound = 1.0 - BOUND / looked.layers.len().max(1) as f64;
    let quantile = Normal::standard().inverse_cdf(bound);
    let upper = looked.layers.iter().filter_map(|found| match found {
        Found::Places(found) => Some(found.mean + quantile * found.deviation),
        Found::Matching(_) => None,
    });
    let upper = upper.max_by(f64::total_cmp)?.clamp(1e-9, 1.0);
    Some((1.0 / (upper * upper) - 1.0).sqrt())
}

/// Which tensors are the same bytes.
fn equal(first: &mut Compared, second: &mut Compared, settings: &Settings) -> Result<Equal> {
    let names: Vec<(String, Vec<usize>)> = first
        .weights
        .tensors()
        .filter(|(name, shape)| second.weights.shape(name) == Some(*shape))
        .map(|(name, shape)| (name.to_owned(), shape.to_vec()))
        .collect();
    let mut equal = Equal { of: names.len(), ..Equal::default() };
    for (name, shape) in names {
        settings.check()?;
        if first.weights.same_bytes(&mut second.weights, &name)? != Some(true) {
            continue;
        }
        equal.equal += 1;
        // A row that is one number over and over may be what training begins with.
        let row = if shape.len() > 1 { first.weights.rows(&name, &[0])? } else { Vec::new() };
        equal.telling += usize::from(row.iter().any(|value| *value != row[0]));
    }
    Ok(equal)
}
