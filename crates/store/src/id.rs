//! The names of things: artifacts, steps, runs and files.
//!
//! Each is a type of its own, so that a step's key is never taken for the id of its output. All
//! print in full and are serialised as text; [`ArtifactId::short`] is for people.

use std::fmt;
use std::str::FromStr;

/// A text is not an id of the expected shape.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidId {
    /// The text given.
    pub text: String,
    /// The shape expected.
    pub expected: &'static str,
}

impl InvalidId {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

/// What is written as its text: in JSON, and with the name of its type for programmers.
macro_rules! written {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the 32 bytes of a digest.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes of the digest.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Returns the first 12 characters, for people to read.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(12);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(blake3::Hash::from_bytes(self.0).to_hex().as_str())
            }
        }

        written!($name);

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                decode_digest(text).map(Self).ok_or_else(|| InvalidId::new(text, $expected))
            }
        }
    };
}

digest_type!(
    /// Names an artifact by the digest of its kind, its description and its files.
    ArtifactId,
    "an artifact id (64 lowercase hexadecimal digits)"
);
digest_type!(
    /// Names a step by the digest of its kind, algorithm version, configuration and inputs.
    StepKey,
    "a step key (64 lowercase hexadecimal digits)"
);
digest_type!(
    /// The BLAKE3 digest of one file's bytes; what the `b3sum` tool prints.
    FileDigest,
    "a BLAKE3 digest (64 lowercase hexadecimal digits)"
);
digest_type!(
    /// A SHA-256 digest, as claims have them.
    Sha256Digest,
    "a SHA-256 digest (64 lowercase hexadecimal digits)"
);

impl Sha256Digest {
    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::{Digest as _, Sha256};
        Self::from_bytes(Sha256::digest(bytes).into())
    }
}

/// Only lowercase is accepted, so that every id has one spelling and so one path.
fn decode_digest(text: &str) -> Option<[u8; 32]> {
    let lowercase = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !lowercase {
        return None;
    }
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

/// Names a run: when it started and four random digits, as in `20261121-225144-3f2a`.
///
/// Ids sort by time when all are made from UTC timestamps.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

written!(RunId);

/// Returns whether a text has a shape: `0` is any digit, `h` any lowercase hexadecimal digit, `t` what may
/// stand between date and time, anything else itself.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(&byte, &shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'h' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            b't' => matches!(byte, b'T' | b't' | b' '),
            _ => byte == shape,
        })
}

impl RunId {
    /// Makes an id from the time of the start and a random number, both given by the caller.
    ///
    /// `started` is an RFC 3339 timestamp in UTC such as `2026-11-21T22:51:44Z`; of `nonce` the
    /// lowest 16 bits are used.
    ///
    /// # Errors
    /// [`InvalidId`] when `started` does not begin with such a timestamp.
    pub fn new(started: &str, nonce: u64) -> Result<Self, InvalidId> {
        let time =
            started.get(..19).filter(|time| has_shape(time.as_bytes(), b"0000-00-00t00:00:00"));
        let time = time
            .ok_or_else(|| InvalidId::new(started, "a timestamp (such as 2026-11-21T22:51:44Z)"))?;
        let digits: String = time.chars().filter(char::is_ascii_digit).collect();
        let (day, time) = digits.split_at(8);
        Ok(Self(format!("{day}-{time}-{:04x}", nonce & 0xffff)))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the four random digits at the end, which tell runs of one day apart.
    pub fn nonce(&self) -> &str {
        &self.0[16..]
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if has_shape(text.as_bytes(), b"00000000-000000-hhhh") {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(text, "a run id (such as 20261121-225144-3f2a)"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_id_is_made_from_time_and_nonce_and_reads_back() {
        let id = RunId::new("2026-11-21T22:51:44.125Z", 0xabc_3f2a).unwrap();
        assert_eq!(id.as_str(), "20261121-225144-3f2a");
        assert_eq!(id.nonce(), "3f2a");
        assert_eq!(id.as_str().parse::<RunId>().unwrap(), id);
    }

    #[test]
    fn ids_that_could_leave_the_workspace_are_refused() {
        for text in ["", "..", "../../etc/passwd", "20261121-225144-3F2A", "20261121-225144-3f2é"]
        {
            assert!(text.parse::<RunId>().is_err(), "{text}");
            assert!(text.parse::<ArtifactId>().is_err(), "{text}");
        }
        assert!("é".repeat(32).parse::<StepKey>().is_err());
        assert!("A".repeat(64).parse::<StepKey>().is_err());
        assert!("a".repeat(63).parse::<StepKey>().is_err());
        assert!(RunId::new("yesterday at five o'clock", 1).is_err());
    }

    #[test]
    fn digests_print_in_full_and_short() {
        let id = ArtifactId::from_bytes([0xab; 32]);
        assert_eq!(id.to_string(), "ab".repeat(32));
        assert_eq!(id.short(), "abababababab");
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{}\"", "ab".repeat(32)));
    }
}
