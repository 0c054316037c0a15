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

/// Numbers that are stored as they are.
const FLOATS: [&str; 4] = ["F64", "F32", "F16", "BF16"];
/// The share of numbers within half a step of a grid from which on they were rounded to it and nothing else was
/// done.
const ROUNDED_ALONE: f64 = 0.99;
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
    mut weights: Weights,
    settings: &Settings<'_>,
) -> Result<Vec<CheckedBase>> {
    let mut compared = Vec::new();
    let mut places = Vec::new();
    let own = blocks(&mut weights)?;
    for base in given {
        let Some(Base { given, mut weights, .. }) = base else {
            places.push(None);
            continue;
        };
        // Numbers in blocks of few bits say by themselves that they were rounded.
        let stored = own.filter(|_| matches!(blocks(&mut weights), Ok(None)));
        compared.push(Compared::new(given.clone(), weights));
        places.push(Some((compared.len() - 1, given, stored)));
    }
    if compared.is_empty() {
        return Ok(declared.bases.iter().map(not_given).collect());
    }
    let model = compared.len();
    compared.push(Compared::new(declared.of.clone(), weights));
    let found = compare(&mut compared, settings)?;
    let complete = places.iter().all(Option::is_some);
    let checked = declared.bases.iter().zip(places).map(|(base, place)| {
        let Some((place, given, stored)) = place else { return not_given(base) };
        let pair = found.pairs.iter().find(|pair| pair.models == [place, model]);
        match pair {
            Some(pair) => {
                let mixed = Mixed::of(&found, place, model, complete);
                judged(base, given, pair, (Seen::of(pair, stored), mixed))
            }
            None => cannot(base, "it was not compared"),
        }
    });
    Ok(checked.collect())
}

/// How matrices are stored, where that is in blocks of few bits.
fn blocks(weights: &mut Weights) -> Result<Option<&'static str>> {
    let is_matrix = |(name, shape): (&str, &[usize])| (shape.len() == 2).then(|| name.to_owned());
    let names: Vec<String> = weights.tensors().filter_map(is_matrix).collect();
    for name in names {
        let (stored, _) = weights.storage(&name)?;
        if !FLOATS.contains(&stored) {
            return Ok(Some(stored));
        }
    }
    Ok(None)
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
    /// The second lies on a grid; `alone` if that is all.
    Rounded {
        bits: u32,
        alone: bool,
    },
    /// The first lies on a grid, and the second does not.
    FromRounded {
        bits: u32,
    },
    /// The second is stored in blocks of few bits.
    Stored(&'static str),
    LowRank(usize),
    Changed,
    Unknown,
}

impl Seen {
    /// `stored` says how the second is stored, where that alone is a rounding.
    fn of(pair: &Pair, stored: Option<&'static str>) -> Self {
        let Some(relation) = &pair.relation else { return Self::Unknown };
        if relation.differences.iter().all(|one| one.size == 0.0) {
            return Self::Same;
        }
        match (&relation.grid, relation.adapter_rank, stored) {
            (Some(grid), ..) if grid.second => {
                Self::Rounded { bits: grid.bits, alone: grid.within >= ROUNDED_ALONE }
            }
            (_, _, Some(stored)) => Self::Stored(stored),
            (Some(grid), ..) => Self::FromRounded { bits: grid.bits },
            (None, Some(rank), None) => Self::LowRank(rank),
            (None, None, None) => Self::Changed,
        }
    }

    fn words(self) -> Option<String> {
        match self {
            Self::Same => Some("the same weights".to_owned()),
            Self::Rounded { bits, alone: true } => Some(format!("rounded to {bits} bits")),
            Self::Rounded { bits, alone: false } => {
                Some(format!("rounded to {bits} bits, and changed before"))
            }
            Self::FromRounded { bits } => {
                Some(format!("changed, from weights that were rounded to {bits} bits"))
            }
            Self::Stored(stored) => Some(format!("stored as {stored}")),
            Self::LowRank(rank) => Some(format!("changed by an update of rank {rank}")),
            Self::Changed => Some("trained further, or changed otherwise".to_owned()),
            Self::Unknown => None,
        }
    }

    /// Whether it is what is declared; none where it does not tell.
    fn agrees(self, kinship: Kinship, mixed: Mixed) -> Option<bool> {
        use Kinship::{Adapter, Finetune, Merge, Quantized};
        match (kinship, self) {
            (_, Self::Unknown) => None,
            (_, Self::Same) => Some(false),
            (Finetune, Self::LowRank(_) | Self::Changed | Self::FromRounded { .. })
            | (Adapter, Self::LowRank(_))
            | (Quantized, Self::Rounded { .. } | Self::Stored(_)) => Some(true),
            (Finetune | Adapter, Self::Rounded { alone: true, .. })
            | (Quantized, Self::LowRank(_) | Self::FromRounded { .. }) => Some(false),
            // Trained and rounded after, or rounded alone: what is stored in blocks does not tell.
            (Finetune | Adapter, Self::Rounded { alone: false, .. } | Self::Stored(_))
            | (Adapter, Self::Changed | Self::FromRounded { .. })
            | (Quantized, Self::Changed) => None,
            // Many ways to merge are no mixture.
            (Merge, _) => matches!(mixed, Mixed::Part(_)).then_some(true),
        }
    }
}

fn judged(
    base: &DeclaredBase,
    given: String,
    pair: &Pair,
    (seen, mixed): (Seen, Mixed),
) -> CheckedBase {
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
