//! Checks that types cannot make, for recipes of every kind.

/// A path into the recipe and what is wrong there.
pub(crate) type Fault = (String, String);

/// Bound on counts of rows, prompts and updates: far above any experiment, far below overflow.
const MOST: usize = 100_000_000;

/// A recipe's name, which becomes part of file names.
pub(crate) fn name(name: &str) -> Result<(), Fault> {
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if name.is_empty() || name.len() > 64 || !fits {
        let reason = "expected 1 to 64 letters, digits, `-`, `_` or `.`";
        return Err(("name".to_owned(), reason.to_owned()));
    }
    Ok(())
}

/// Whether `value` lies from `low` to `high`.
pub(crate) fn range(path: &str, value: f64, low: f64, high: f64) -> Result<(), Fault> {
    // Not `contains`, so that NaN fails.
    if value >= low && value <= high {
        return Ok(());
    }
    Err((path.to_owned(), format!("is {value}, expected {low} to {high}")))
}

/// Whether `value` is a count of at least `low`.
pub(crate) fn count(path: &str, value: usize, low: usize) -> Result<(), Fault> {
    if value >= low && value <= MOST {
        return Ok(());
    }
    Err((path.to_owned(), format!("is {value}, expected {low} to {MOST}")))
}
