//! Numbers as they are typed: what is none is told in a person's words.

use std::str::FromStr;

/// A whole number that `T` holds.
pub(crate) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| match text.parse::<u64>() {
        Ok(_) => "is too large".to_owned(),
        Err(_) => "expected a whole number from 0".to_owned(),
    })
}

/// A number above 0.
pub(crate) fn positive(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number: &f32| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".to_owned())
}
