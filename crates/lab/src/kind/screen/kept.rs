//! Rows that are no file: kept in the workspace, so that a run holds what was read.

use std::io::Read;

use fs_err as fs;
use owlet_store::{Artifact, ArtifactId, Entity, Store};
use serde_json::json;

use crate::error::{Error, Result};
use crate::run::plan::PlanContext;
use crate::run::record::naming;
use crate::step::fine_tune::BOUNDS;

/// The kind of their artifact.
const KIND: &str = "given-rows";
/// The file in it: rows as they came, in whatever form.
const FILE: &str = "rows";

/// Keeps all of `rows` in the workspace, and tells the name that a recipe's `rows` has for them.
///
/// # Errors
/// More of them than a screen reads, and what keeps them from being read or written.
pub fn keep(store: &Store, rows: &mut dyn Read) -> Result<ArtifactId> {
    let mut bytes = Vec::new();
    rows.take(BOUNDS.bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BOUNDS.bytes {
        return Err(Error::Unfit {
            what: "standard input".to_owned(),
            reason: format!("is larger than {} MB; give fewer rows", BOUNDS.bytes >> 20),
        });
    }
    let writer = store.begin_artifact(KIND)?;
    writer.write(FILE, &bytes)?;
    Ok(writer.finish(json!({ "bytes": bytes.len() }))?.id)
}

/// Opens the rows that a recipe names: a file, or what was kept under an id; and tells its artifact, if it has one.
///
/// # Errors
/// Nothing of that name, and what keeps it from being read.
pub(super) fn open(
    rows: &str,
    context: &PlanContext,
) -> Result<(Box<dyn Read>, Option<ArtifactId>)> {
    let path = context.folder.join(rows);
    if let (Some(store), false) = (&context.places.store, path.exists())
        && let Some(kept) = kept(store, rows)?
    {
        let bytes = kept.read(FILE)?;
        return Ok((Box::new(std::io::Cursor::new(bytes)), Some(kept.id)));
    }
    // What is not there says so best when it is opened.
    if path.is_dir() {
        return Err(Error::record(path, "is a folder, expected a file of rows"));
    }
    Ok((Box::new(fs::File::open(path)?), None))
}

fn kept(store: &Store, rows: &str) -> Result<Option<Artifact>> {
    let Ok(Entity::Artifact(id)) = naming::resolve(store, rows) else { return Ok(None) };
    let artifact = store.artifact(&id)?;
    Ok((artifact.kind == KIND).then_some(artifact))
}
