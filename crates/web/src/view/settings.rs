//! A run's settings: as the recipe gave them, and as they were resolved.

use std::collections::BTreeMap;

use maud::html;
use owlet_lab::report::block::{Line, Span};
use owlet_lab::value::text;
use owlet_store::RunId;
use serde_json::json;
use toml::{Table, Value};

use super::error::Result;
use super::page::Page;
use super::parts::{cell, code, name, section, table};
use super::run::origin;
use super::window::Window;

/// Every value of a recipe by its path; nothing where the text is none.
pub(super) fn values(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Ok(table) = text.parse::<Table>() {
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
        let rows: Vec<Vec<Line>> = resolved
            .iter()
            .map(|(path, value)| {
                let said = given.get(path);
                let origin = match said {
                    Some(said) if said == value => "recipe",
                    Some(_) => "over the recipe",
                    None => "default, or a layer",
                };
                vec![
                    code(path),
                    cell(said.map(code)),
                    if said.is_some() { Span::Strong(value.clone()).into() } else { code(value) },
                    cell(origin),
                ]
            })
            .collect();
        let path = format!("/run/{id}/settings");
        let body = html! {
            (origin(&view))
            @if !view.about.layers.is_empty() {
                p { "Layers, lowest first: " (name(&view.about.layers.join(", "))) "." }
            }
            (section("values", "Every setting", &html! {
                @if rows.is_empty() {
                    p { "This run stopped before its settings were written down." }
                } @else {
                    (table("Settings as given and as resolved", &["setting", "recipe says", "resolved", "from"], rows))
                }
            }))
            (section("text", "The recipe as given", &html! { pre tabindex="0" { code { (text::reveal(&given_text)) } } }))
            (section("resolved", "The recipe, resolved", &html! { pre tabindex="0" { code { (text::reveal(&resolved_text)) } } }))
        };
        let data = json!({
            "run": id, "about": view.about,
            "given": given, "resolved": resolved, "given-text": given_text, "resolved-text": resolved_text,
        });
        Ok(view.page("Settings", &path, body, data))
    }
}
