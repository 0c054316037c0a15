//! Holding what is declared against weights.

use owlet_engine::Error as EngineError;
use owlet_engine::file::Weights;

use super::{Agreement, Checked, CheckedBase, Declared, DeclaredBase, Held, Kinship};
use crate::compare::{Compared, Comparison, Pair, Settings, Verdict, compare};
use crate::error::Result;

/// Weights that somebody gives as those of a declared base.
pub struct Base {
    /// The declared name they are of; none where only one base is declared.
    pub name: Option<String>,
    /// What was given.
    pub given: String,
    /// They, opened.
    pub weights: Weights,
}

/// Holds what is declared against the weights of its bases. Weights beside the declaration are opened; none are
/// loaded. What is given and not declared is compared with nothing.
///
/// # Errors
/// Weights of bases that cannot be read; those of the model itself only take its checks away, with the reason.
pub fn check(declared: Declared, bases: Vec<Base>, settings: &Settings<'_>) -> Result<Checked> {
    let one = declared.bases.len() == 1;
    let mut given: Vec<Option<Base>> = declared.bases.iter().map(|_| None).collect();
    for base in bases {
        let place = declared.bases.iter().position(|known| match &base.name {
            Some(name) => *name == known.name,
            None => one,
        });
        if let Some(place) = place {
            given[place] = Some(base);
        }
    }
    let checked = match &declared.held {
        Held::Nothing => declared.bases.iter().map(|base| cannot(base, NO_WEIGHTS)).collect(),
        Held::Adapter(folder) => {
            let pairs = declared.bases.iter().zip(given);
            pairs.map(|(base, given)| adapter(base, given, folder)).collect()
        }
        Held::Whole(path) => match Weights::open(path) {
            Ok(weights) => whole(&declared, given, weights, settings)?,
            Err(error) => {
                let why = format!("its own weights cannot be read: {error}");
                declared.bases.iter().map(|base| cannot(base, &why)).collect()
            }
        },
    };
    Ok(Checked { agreement: overall(&declared, &checked), bases: checked, declared })
}

const NO_WEIGHTS: &str = "no weights lie beside it";

fn overall(declared: &Declared, bases: &[CheckedBase]) -> Agreement {
    let any = |agreement| bases.iter().any(|base| base.agreement == agreement);
    if any(Agreement::Contradicted) {
        Agreement::Contradicted
    } else if any(Agreement::CannotSay) || bases.is_empty() || !declared.faults.is_empty() {
        Agreement::CannotSay
    } else {
        Agreement::Confirmed
    }
}

fn cannot(base: &DeclaredBase, why: &str) -> CheckedBase {
    CheckedBase {
        base: base.clone(),
        given: None,
        agreement: Agreement::CannotSay,
        p: None,
        found: None,
        why: why.to_owned(),
    }
}

fn not_given(base: &DeclaredBase) -> CheckedBase {
    cannot(base, &format!("its weights were not given; `--base {}=PATH` gives them", base.name))
}

/// An adapter holds what changed and nothing of its base: whether it fits is all that can be told.
fn adapter(base: &DeclaredBase, given: Option<Base>, folder: &std::path::Path) -> CheckedBase {
    let Some(Base { given, weights, .. }) = given else { return not_given(base) };
    let (agreement, why) = match weights.with_adapter(folder) {
        Ok(_) => (
            Agreement::CannotSay,
            "an adapter holds what changed and nothing of its base: it fits this one, as it would any of its shape"
                .to_owned(),
        ),
        Err(EngineError::Misfit(why)) => {
            (Agreement::Contradicted, format!("it does not fit this base: {why}"))
        }
        Err(error) => (Agreement::CannotSay, error.to_string()),
    };
    CheckedBase { given: Some(given), agreement, ..cannot(base, &why) }
}

fn whole(
    declared: &Declared,
    given: Vec<Option<Base>>,
    weights: Weights,
    settings: &Settings<'_>,
) -> Result<Vec<CheckedBase>> {
    let mut compared = Vec::new();
    let mut places = Vec::new();
    for base in given {
        places.push(base.map(|Base { given, weights, .. }| {
            compared.push(Compared::new(given.clone(), weights));
            (compared.len() - 1, given)
        }));
    }
    if compared.is_empty() {
        return Ok(declared.bases.iter().map(not_given).collect());
    }
    let model = compared.len();
    compared.push(Compared::new(declared.of.clone(), weights));
    let found = compare(&mut compared, settings)?;
    let complete = places.iter().all(Option::is_some);
    let checked = declared.bases.iter().zip(places).map(|(base, place)| {
        let Some((place, given)) = place else { return not_given(base) };
        let pair = found.pairs.iter().find(|pair| pair.models == [place, model]);
        match pair {
            Some(pair) => judged(base, given, pair, Mixed::of(&found, place, model, complete)),
            None => cannot(base, "it was not compared"),
        }
    });
    Ok(checked.collect())
}

/// What a comparison says of a model as a mixture.
#[derive(Clone, Copy, PartialEq)]
enum Mixed {
    /// It is one, and this base has a part in it.
    Part(f64),
    /// It is none of the bases given, and all were.
    None,
    /// Not all bases were given, or only one.
    Unknown,
}

impl Mixed {
    fn of(found: &Comparison, base: usize, model: usize, complete: bool) -> Self {
        let merge = found.merges.iter().find(|merge| merge.model == model && merge.is_mixture);
        let part = merge.and_then(|merge| merge.parts.iter().find(|(place, _)| *place == base));
        match part {
            Some((_, part)) => Self::Part(*part),
            None if complete && model > 1 => Self::None,
            None => Self::Unknown,
        }
    }
}

/// What the weights of a pair say that the first was to the second.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Same,
    Rounded { bits: u32, reversed: bool },
    LowRank(usize),
    Changed,
    Unknown,
}

impl Seen {
    fn of(pair: &Pair) -> Self {
        let Some(relation) = &pair.relation else { return Self::Unknown };
        if relation.differences.iter().all(|one| one.size == 0.0) {
            return Self::Same;
        }
        match (&relation.grid, relation.adapter_rank) {
            (Some(grid), _) => Self::Rounded { bits: grid.bits, reversed: !grid.second },
            (None, Some(rank)) => Self::LowRank(rank),
            (None, None) => Self::Changed,
        }
    }

    fn words(self) -> Option<String> {
        match self {
            Self::Same => Some("the same weights".to_owned()),
            Self::Rounded { bits, reversed: false } => Some(format!("rounded to {bits} bits")),
            Self::Rounded { bits, reversed: true } => {
                Some(format!("the base is the one rounded to {bits} bits"))
            }
            Self::LowRank(rank) => Some(format!("changed by an update of rank {rank}")),
            Self::Changed => Some("trained further, or changed otherwise".to_owned()),
            Self::Unknown => None,
        }
    }

    /// Whether it is what is declared; none where it does not tell.
    fn agrees(self, kinship: Kinship, mixed: Mixed) -> Option<bool> {
        match (kinship, self) {
            (_, Self::Unknown) | (Kinship::Adapter | Kinship::Quantized, Self::Changed) => None,
            (_, Self::Same) => Some(false),
            (Kinship::Finetune, Self::LowRank(_) | Self::Changed)
            | (Kinship::Adapter, Self::LowRank(_))
            | (Kinship::Quantized, Self::Rounded { reversed: false, .. }) => Some(true),
            (Kinship::Finetune | Kinship::Adapter, Self::Rounded { .. })
            | (Kinship::Quantized, Self::Rounded { reversed: true, .. } | Self::LowRank(_)) => {
                Some(false)
            }
            (Kinship::Merge, _) => match mixed {
                Mixed::Part(_) => Some(true),
                // Many ways to merge are no mixture.
                Mixed::None | Mixed::Unknown => None,
            },
        }
    }
}

fn judged(base: &DeclaredBase, given: String, pair: &Pair, mixed: Mixed) -> CheckedBase {
    let seen = Seen::of(pair);
    let (agreement, why) = match pair.verdict {
        Verdict::NotComparable => (Agreement::CannotSay, pair.why.clone()),
        Verdict::Independent => {
            (Agreement::Contradicted, format!("it is no base of this model: {}", pair.why))
        }
        Verdict::Dependent => kinship(base.kinship, seen, mixed, &pair.why),
    };
    let found = (pair.verdict == Verdict::Dependent).then(|| seen.words()).flatten();
    CheckedBase { base: base.clone(), given: Some(given), agreement, p: pair.p, found, why }
}

/// Of a base that is one: whether it was to the model what is declared.
fn kinship(declared: Option<Kinship>, seen: Seen, mixed: Mixed, why: &str) -> (Agreement, String) {
    let Some(declared) = declared else { return (Agreement::Confirmed, why.to_owned()) };
    let name = declared.name();
    match (seen.agrees(declared, mixed), mixed) {
        (Some(true), Mixed::Part(part)) if declared == Kinship::Merge => {
            (Agreement::Confirmed, format!("it has a part of {part:.2} in it; {why}"))
        }
        (Some(true), _) => (Agreement::Confirmed, why.to_owned()),
        (Some(false), _) => {
            (Agreement::Contradicted, format!("it is a base of it, but not as `{name}`; {why}"))
        }
        (None, _) => (
            Agreement::CannotSay,
            format!("it is a base of it; whether as `{name}`, weights do not tell; {why}"),
        ),
    }
}
