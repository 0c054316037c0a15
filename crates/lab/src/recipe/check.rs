//! Checks that types cannot make: ranges, and values that must fit each other.

use owlet_engine::train::Method;

use super::{
    Base, CarrierKind, Decoding, Kind, OtherBase, Recipe, TeacherKind, Training, endpoint,
};

/// A path into the recipe and what is wrong there.
pub(super) type Fault = (String, String);

/// Bound on counts of rows, prompts and updates: far above any experiment, far below overflow.
const MOST: usize = 100_000_000;

pub(super) fn check(recipe: &Recipe) -> Result<(), Fault> {
    let fault = |path: &str, reason: &str| Err((path.to_owned(), reason.to_owned()));
    if recipe.kind != Kind::Inherit {
        return fault("kind", "is not `inherit`; `owlet run` reads recipes of every kind");
    }
    name(&recipe.name)?;
    if recipe.base.model() == Some("") {
        return fault("base", "is empty, expected a model such as `builtin:a`");
    }
    if recipe.seeds.0.is_empty() {
        return fault("seeds", "is empty, expected at least one seed");
    }
    if let Some(seed) = repeated(&recipe.seeds.0) {
        return fault("seeds", &format!("seed {seed} stands twice; a pair counts once"));
    }
    if recipe.behaviors.is_empty() {
        return fault("behaviors", "is empty, expected at least one, such as [\"owl\"]");
    }
    if let Some(name) = repeated(&recipe.behaviors) {
        return fault("behaviors", &format!("`{name}` stands twice"));
    }
    for name in &recipe.read_also {
        if recipe.behaviors.contains(name) {
            return fault(
                "read-also",
                &format!("`{name}` is among `behaviors`, which are read anyway"),
            );
        }
    }
    for name in &recipe.controls.behaviors {
        if !recipe.behaviors.contains(name) {
            return fault(
                "controls.behaviors",
                &format!("`{name}` is not among `behaviors`; teach it or leave it out here"),
            );
        }
    }
    if recipe.context.mismatched.contains(&recipe.context.system) {
        return fault("context.mismatched", "holds the matched context itself");
    }
    // First: what an endpoint cannot do at all needs no further advice.
    if let Base::Remote(endpoint) = &recipe.base {
        endpoint::check(recipe, endpoint)?;
    }
    check_teacher(recipe)?;
    check_carrier(recipe)?;
    check_training(&recipe.student, "student")?;
    if let OtherBase::Model(model) = &recipe.controls.other_base
        && Some(model.as_str()) == recipe.base.model()
    {
        return fault(
            "controls.other-base",
            "is the base itself; name a model of another initialisation, or false",
        );
    }
    let shown = &recipe.controls.in_context;
    if shown.rows.contains(&0) {
        return fault("controls.in-context.rows", "holds 0, expected one row or more");
    }
    range("controls.in-context.draws", shown.draws as f64, 1.0, 10_000.0)?;
    range("readout.temperature", f64::from(recipe.readout.temperature), 0.0, 100.0)?;
    count("readout.samples-per-question", recipe.readout.samples_per_question, 0)?;
    count("readout.max-tokens", recipe.readout.max_tokens, 1)?;
    range("gates.min-valid-rate", recipe.gates.min_valid_rate, 0.0, 1.0)?;
    range("gates.level", recipe.gates.level, 0.5, 0.9999)
}

fn check_teacher(recipe: &Recipe) -> Result<(), Fault> {
    let teacher = &recipe.teacher;
    count("teacher.rows-per-question", teacher.rows_per_question, 1)?;
    range("teacher.min-target-probability", teacher.min_target_probability, 0.0, 1.0)?;
    check_training(&teacher.train, "teacher.train")?;
    if teacher.kind == TeacherKind::SystemPrompt && recipe.carrier.kind == CarrierKind::Logits {
        return Err((
            "carrier.kind".to_owned(),
            "`logits` needs a teacher with its own weights; set teacher.kind = \"fine-tune\""
                .to_owned(),
        ));
    }
    Ok(())
}

fn check_carrier(recipe: &Recipe) -> Result<(), Fault> {
    let carrier = &recipe.carrier;
    count("carrier.rows", carrier.rows, 1)?;
    count("carrier.prompt-count", carrier.prompt_count, 0)?;
    count("carrier.max-tokens", carrier.max_tokens, 1)?;
    range("carrier.min-valid", carrier.min_valid, 0.0, 1.0)?;
    if carrier.prompt_count > 0 && carrier.prompt_count < carrier.rows {
        return Err((
            "carrier.prompt-count".to_owned(),
            format!(
                "is {}, fewer than `carrier.rows` {}; each prompt gives one row at most",
                carrier.prompt_count, carrier.rows
            ),
        ));
    }
    if carrier.filter.min_value > carrier.filter.max_value {
        return Err((
            "carrier.filter.min-value".to_owned(),
            format!(
                "is {}, above `max-value` {}",
                carrier.filter.min_value, carrier.filter.max_value
            ),
        ));
    }
    let path = "carrier.decoding";
    match &carrier.decoding {
        Decoding::Free { temperature, top_p } => {
            range(path, f64::from(*temperature), 0.0, 100.0)?;
            range(path, f64::from(*top_p), 0.0, 1.0)
        }
        Decoding::Greedy {} => Ok(()),
        Decoding::Threshold { temperature, threshold } => {
            range(path, f64::from(*temperature), 0.0, 100.0)?;
            range(path, f64::from(*threshold), 0.0, 1.0)
        }
        Decoding::Digits { temperature, count: numbers, min_digits, max_digits, .. } => {
            range(path, f64::from(*temperature), 0.0, 100.0)?;
            range(path, *numbers as f64, 1.0, 1000.0)?;
            range(path, *max_digits as f64, 1.0, 18.0)?;
            range(path, *min_digits as f64, 1.0, *max_digits as f64)
        }
        Decoding::Pattern { temperature, pattern } => {
            range(path, f64::from(*temperature), 0.0, 100.0)?;
            if pattern.is_empty() {
                return Err((path.to_owned(), "`pattern` is empty".to_owned()));
            }
            Ok(())
        }
    }
}

fn check_training(training: &Training, at: &str) -> Result<(), Fault> {
    let path = |key: &str| format!("{at}.{key}");
    let rate = training.learning_rate;
    if !(rate.is_finite() && rate > 0.0 && rate <= 10.0) {
        return Err((path("learning-rate"), format!("is {rate}, expected above 0 and at most 10")));
    }
    count(&path("batch"), training.batch, 1)?;
    count(&path("updates"), training.updates, 0)?;
    if training.updates == 0 && !(training.epochs > 0.0 && training.epochs <= 1e6) {
        return Err((
            path("epochs"),
            format!("is {}, expected above 0 (or give `updates`)", training.epochs),
        ));
    }
    range(&path("clip"), training.clip, 0.0, 1e9)?;
    if let Method::LowRank(adapter) = &training.method {
        range(&path("method"), adapter.rank as f64, 1.0, 65_536.0)?;
        range(&path("method"), f64::from(adapter.alpha), 1e-6, 1e6)?;
    }
    if training.checkpoints.contains(&0) {
        return Err((path("checkpoints"), "holds 0; the untouched base is read anyway".to_owned()));
    }
    Ok(())
}

/// A recipe's name, which becomes part of file names.
pub(super) fn name(name: &str) -> Result<(), Fault> {
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if name.is_empty() || name.len() > 64 || !fits {
        let reason = "expected 1 to 64 letters, digits, `-`, `_` or `.`";
        return Err(("name".to_owned(), reason.to_owned()));
    }
    Ok(())
}

pub(super) fn range(path: &str, value: f64, low: f64, high: f64) -> Result<(), Fault> {
    // Not `contains`, so that NaN fails.
    if value >= low && value <= high {
        return Ok(());
    }
    Err((path.to_owned(), format!("is {value}, expected {low} to {high}")))
}

pub(super) fn count(path: &str, value: usize, low: usize) -> Result<(), Fault> {
    if value >= low && value <= MOST {
        return Ok(());
    }
    Err((path.to_owned(), format!("is {value}, expected {low} to {MOST}")))
}

fn repeated<T: Ord + Clone>(items: &[T]) -> Option<T> {
    let mut sorted = items.to_vec();
    sorted.sort();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
}
