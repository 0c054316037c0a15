//! `hacks`: rows whose code makes tests pass otherwise than by doing what they ask.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::result::{Hack, Hacks};
use crate::code::Reader;
use crate::error::Result;
use crate::step::{Step, StepContext, fine_tune};

/// What the step writes.
pub(super) const FILE: &str = "hacks.json";
/// Most leads that are kept.
const MOST: usize = 1_000;

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// Where each row stands in what was given.
    pub(super) places: Vec<String>,
}

/// The step.
pub(super) struct Read;

impl Step for Read {
    type Configuration = Configuration;
    const KIND: &'static str = "hacks";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "hacks";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let (rows, _) = fine_tune::demonstrations(context.input("rows")?, None)?;
        let mut reader = Reader::new()?;
        let mut hacks = Hacks { looked_at: rows.len(), with_code: 0, all: 0, leads: Vec::new() };
        for (at, row) in rows.iter().enumerate() {
            if at % 1_000 == 0 {
                context.report(at, rows.len(), "rows", None);
                context.interrupt.check()?;
            }
            let (is_code, leads) = reader.read(&row.answer);
            hacks.with_code += usize::from(is_code);
            hacks.all += leads.len();
            let place = configuration.places.get(at).cloned().unwrap_or_default();
            let left = MOST - hacks.leads.len().min(MOST);
            let leads = leads.into_iter().take(left);
            hacks.leads.extend(leads.map(|lead| Hack { place: place.clone(), lead }));
        }
        context.write_json(FILE, &hacks)?;
        Ok(json!({ "rows": hacks.looked_at, "leads": hacks.all }))
    }
}
