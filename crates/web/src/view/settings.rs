//! A run's settings: as the recipe gave them, and as they were resolved.

use std::collections::BTreeMap;

use maud::html;
use owlet_lab::cells;
use owlet_lab::report::block::{Block, Section, Span, Table, code};
use owlet_lab::report::html as report;
use owlet_store::RunId;
use serde_json::json;
use toml::Value;

use super::Window;
use super::error::Result;
use super::page::Page;
use super::parts::sections;
use super::run::origin;

/// Every value of a recipe by its path; nothing where the text is none.
pub(super) fn values(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        flatten("", &Value::Table(table), &mut values);
    }
    values
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

impl Window {
    pub(super) fn settings_page(&self, id: &RunId) -> Result<Page> {
        let view = self.view(id)?;
        let given_text = view.run.given().unwrap_or_default();
        let resolved_text = view.run.resolved().unwrap_or_default();
        let given = values(&given_text);
        let resolved = values(&resolved_text);
        let rows = resolved.iter().map(|(path, value)| {
            let said = given.get(path);
            let origin = match said {
                Some(said) if said == value => "recipe",
                Some(_) => "over the recipe",
                None => "default, or a layer",
            };
            let shown = if said.is_some() { Span::Strong(value.clone()) } else { code(value) };
            cells![code(path), said.map(code), shown, origin]
        });
        let titles = ["setting", "recipe says", "resolved", "from"];
        let settings = Table::new("Settings as given and as resolved", &titles).with(rows);
        let none = Block::paragraph("This run stopped before its settings were written down.");
        let layers = view.about.layers.join(", ");
        let layers = format!("Layers, lowest first: {layers}.");
        let about = [
            Some(Block::Facts(origin(&view))),
            (!view.about.layers.is_empty()).then(|| Block::paragraph(layers)),
        ];
        let (as_given, as_resolved) =
            (Block::Text(given_text.clone()), Block::Text(resolved_text.clone()));
        let body = html! {
            (report::blocks(&about.into_iter().flatten().collect::<Vec<_>>()))
            (sections([
                Section::of("values", "Every setting", vec![settings.block().unwrap_or(none)]),
                Section::of("text", "The recipe as given", vec![as_given]),
                Section::of("resolved", "The recipe, resolved", vec![as_resolved]),
            ]))
        };
        let data = json!({
            "run": id, "about": view.about,
            "given": given, "resolved": resolved, "given-text": given_text, "resolved-text": resolved_text,
        });
        Ok(view.page("Settings", &format!("/run/{id}/settings"), body, data))
    }
}
