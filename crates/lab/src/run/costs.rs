//! Where the time of a run went, from the records of its steps.

use std::collections::{BTreeMap, BTreeSet};

use owlet_store::{StepKey, Store};

use super::record::Record;
use crate::error::Result;
use crate::value::cost::KindCost;

/// Where the time of a finished run went: per kind of step, the longest first. Steps that were reused
/// count with what they took when they were made.
pub fn costs(store: &Store, run: &Record) -> Result<Vec<KindCost>> {
    let keys: BTreeSet<StepKey> =
        run.steps()?.steps.into_iter().filter_map(|step| step.key).collect();
    let mut kinds: BTreeMap<String, KindCost> = BTreeMap::new();
    for key in keys {
        let record = match store.step_record(&key) {
            Ok(Some(record)) => record,
            // Records that cannot be read are for `verify` to name.
            Ok(None) | Err(owlet_store::Error::Newer { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let cost = kinds.entry(record.kind.clone()).or_insert_with(|| KindCost {
            kind: record.kind,
            steps: 0,
            thread_seconds: 0.0,
            peak_memory: None,
        });
        cost.steps += 1;
        cost.thread_seconds += record.about.seconds * record.about.threads as f64;
        cost.peak_memory = cost.peak_memory.max(record.about.peak_memory_bytes);
    }
    let mut costs: Vec<KindCost> = kinds.into_values().collect();
    costs.sort_by(|one, other| other.thread_seconds.total_cmp(&one.thread_seconds));
    Ok(costs)
}
