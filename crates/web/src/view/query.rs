//! The part of an address behind the question mark, and addresses made here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::FromStr;

use super::error::{Error, Result};

/// Longest value taken from an address.
const LONGEST: usize = 2000;

/// Names and values of an address or a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(BTreeMap<String, String>);

impl From<BTreeMap<String, String>> for Query {
    fn from(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }
}

impl From<Vec<(String, String)>> for Query {
    /// Values of a name that comes several times stand behind one another, with commas.
    fn from(pairs: Vec<(String, String)>) -> Self {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in pairs {
            let known = values.entry(key).or_default();
            if !known.is_empty() && !value.is_empty() {
                known.push(',');
            }
            known.push_str(&value);
        }
        Self(values)
    }
}

impl Query {
    /// A value that is there and not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key).map(|value| value.trim())?;
        (!value.is_empty() && value.len() <= LONGEST).then_some(value)
    }

    /// A value as it was typed, of any length.
    pub(super) fn raw(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A value of a type, or `default` where there is none.
    pub(super) fn read<T: FromStr>(
        &self,
        key: &'static str,
        default: T,
        expected: &str,
    ) -> Result<T> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Error::query(key, text, expected)),
        }
    }

    /// The page asked for, from 1.
    pub(super) fn page(&self) -> Result<usize> {
        Ok(self.read("page", 1_usize, "the number of a page")?.max(1))
    }

    /// A value that must be there.
    pub(super) fn need(&self, key: &'static str, expected: &str) -> Result<&str> {
        self.get(key).ok_or_else(|| Error::query(key, "", expected))
    }

    /// The same with other values; an empty one takes the name away.
    pub(super) fn with(&self, changes: &[(&str, &str)]) -> Self {
        let mut values = self.0.clone();
        for (key, value) in changes {
            if value.is_empty() {
                values.remove(*key);
            } else {
                values.insert((*key).to_owned(), (*value).to_owned());
            }
        }
        Self(values)
    }

    /// Names with their values.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// The address of `path` with these values.
    pub(super) fn at(&self, path: &str) -> String {
        let pairs: Vec<(&str, &str)> =
            self.pairs().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        url(path, &pairs)
    }
}

/// An address: `path`, and names with values that are not empty.
pub(super) fn url(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut url = path.to_owned();
    let mut mark = '?';
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        url.push(mark);
        encode(key, &mut url);
        url.push('=');
        encode(value, &mut url);
        mark = '&';
    }
    url
}

/// Bytes as `application/x-www-form-urlencoded` has them (WHATWG URL, 5.2), spaces as `%20`.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            into.push(byte as char);
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_carry_any_text() {
        assert_eq!(url("/a", &[("q", "é &=\"<"), ("none", "")]), "/a?q=%C3%A9%20%26%3D%22%3C");
    }
}
