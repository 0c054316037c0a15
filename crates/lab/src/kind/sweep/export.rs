//! The observations of a sweep: the table of an `inherit` run, with the point of each line in its last column.

use std::io::Write;

use owlet_store::Store;
use serde::Deserialize;

use super::judge;
use super::recipe::TABLE;
use crate::error::Result;
use crate::kind::inherit::export::{self, Reads};
use crate::kind::together;
use crate::run::record::Record;

/// What of the last step's configuration is needed here; the rest may be another owlet's.
#[derive(Deserialize)]
struct Points {
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    at: String,
    estimate: Reads,
}

/// Writes the observations of a finished run, and says how many lines there are below the heading.
///
/// # Errors
/// As [`export::observations`].
pub fn observations(store: &Store, run: &Record, to: &mut dyn Write) -> Result<usize> {
    let points = |told: Points| {
        let of = |(place, point): (usize, Point)| export::Point {
            at: point.at,
            prefix: together::role(judge::POINT, place, ""),
            reads: point.estimate,
        };
        told.points.into_iter().enumerate().map(of).collect()
    };
    export::of_step(store, run, to, (TABLE, &points))
}
