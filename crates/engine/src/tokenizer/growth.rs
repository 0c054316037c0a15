//! How much longer a tokenizer's file may make a text: a few replacements one after another can double it
//! until there is no memory.

use serde_json::Value;

/// The most: a space becomes three bytes in SentencePiece's, and little else grows.
const MOST: f64 = 64.0;

/// Fails for a normalizer or decoder whose replacements together make texts too long.
pub(super) fn check(what: &str, part: Option<&Value>) -> Result<(), String> {
    match part.map_or(1.0, factor) {
        factor if factor <= MOST => Ok(()),
        factor => Err(format!(
            "the replacements of `{what}` can make a text {factor:.0} times as long, expected at most {MOST}"
        )),
    }
}

fn factor(part: &Value) -> f64 {
    let content = part["content"].as_str().map_or(0, str::len) as f64;
    let own = match (part["type"].as_str(), &part["pattern"]) {
        (Some("Replace"), Value::Object(pattern)) => {
            match pattern.get("String").and_then(Value::as_str) {
                Some(text) if !text.is_empty() => content / text.len() as f64,
                // What a regular expression matches may be nothing, at every place.
                _ => 1.0 + content,
            }
        }
        _ => 1.0,
    };
    let parts = ["normalizers", "decoders"].into_iter().filter_map(|name| part[name].as_array());
    parts.flatten().map(factor).product::<f64>() * own.max(1.0)
}
