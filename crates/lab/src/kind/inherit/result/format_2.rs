//! `result.json` of format 2: sign-flip p-values, one level for all, and no word on what a verdict is about.
//! Read, never written.

use serde_json::{Value, json};

use super::{FORMAT, InheritResult, Scope};
use crate::stats;

pub(super) fn parse(bytes: &[u8]) -> Result<InheritResult, serde_json::Error> {
    let mut result: Value = serde_json::from_slice(bytes)?;
    result["format"] = json!(FORMAT);
    if let Some(fields) = result.as_object_mut() {
        fields.remove("comparisons");
    }
    let effects = result.get_mut("effects").and_then(Value::as_array_mut);
    for effect in effects.into_iter().flatten().filter_map(Value::as_object_mut) {
        effect.remove("p-permutation");
        effect.remove("p-holm");
        let differences: Vec<f64> =
            serde_json::from_value(effect.get("per-seed").cloned().unwrap_or_default())?;
        effect.insert("p".to_owned(), json!(p(&differences)));
    }
    let mut result: InheritResult = serde_json::from_value(result)?;
    result.replication.scope = Scope::of_old(&result.replication.unit);
    Ok(result)
}

/// The p that this build gives the differences that an older one found.
pub(super) fn p(differences: &[f64]) -> Option<f64> {
    stats::t_test(differences).ok().flatten()
}
