//! The report as one HTML file: no network, no `eval`, nothing to install.
//!
//! The content security policy allows exactly the scripts and the style of this file, by digest,
//! and nothing else. Everything reads without JavaScript; scripts only replace figures by better
//! ones. All text goes through the template's escaping, what cannot be seen is made visible, and data
//! for scripts cannot close its element.

use std::collections::BTreeMap;

use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Graph, section};
use crate::kind::inherit::result::InheritResult;
use crate::value::cost::KindCost;
use crate::value::text;

/// What a report is made from.
#[derive(Clone, Copy, Debug)]
pub struct ReportInput<'a> {
    /// What was found.
    pub result: &'a InheritResult,
    /// Its figures, as [`super::figures`] makes them.
    pub figures: &'a BTreeMap<String, Value>,
    /// The recipe as the user gave it.
    pub recipe_text: &'a str,
    /// The recipe with every value decided.
    pub resolved_recipe: &'a str,
    /// What was made from what.
    pub lineage: &'a Graph,
    /// What its steps took.
    pub costs: &'a [KindCost],
    /// The command that makes the same result again.
    pub reproduce_command: &'a str,
    /// The version of owlet.
    pub version: &'a str,
}

/// The style of the report, and of whatever shows its sections.
pub const STYLE: &str = include_str!("../../assets/report.css");
const VEGA: &str = include_str!("../../assets/vega/vega.min.js");
const VEGA_LITE: &str = include_str!("../../assets/vega/vega-lite.min.js");
const INTERPRETER: &str = include_str!("../../assets/vega/vega-interpreter.js");
const SCRIPT: &str = include_str!("../../assets/report.js");

/// What comes from elsewhere, by its name in the list of assets.
#[cfg(test)]
pub(super) const VENDORED: [(&str, &str); 3] =
    [("vega.min.js", VEGA), ("vega-lite.min.js", VEGA_LITE), ("vega-interpreter.js", INTERPRETER)];

/// The interpreter comes as a module; here it is a function beside the others.
fn interpreter() -> String {
    let body = INTERPRETER
        .replace(
            "import { ascending, isString, DisallowedObjectProperties } from 'vega-util';",
            "const { ascending, isString, DisallowedObjectProperties } = vega;",
        )
        .replace(
            "export { expression as expressionInterpreter };",
            "globalThis.expressionInterpreter = expression;",
        );
    format!("(() => {{\n{body}\n}})();\n")
}

/// Inline text as a content security policy names it: its SHA-256 digest, quoted.
pub fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(digest))
}

/// The scripts that draw figures, in the order they must run, by name. They look for
/// `figure[data-figure=NAME]` with an element of class `drawn`, and for the figure's data in
/// `#data-NAME`, as [`figure_data`] writes it.
pub fn scripts() -> Vec<(&'static str, String)> {
    // A source map beside the file would be asked for over the network by developer tools.
    let quiet = |script: &str| script.replace("//# sourceMappingURL=", "// map: ");
    vec![
        ("vega.js", quiet(VEGA)),
        ("vega-lite.js", quiet(VEGA_LITE)),
        ("vega-interpreter.js", quiet(&interpreter())),
        ("report.js", SCRIPT.to_owned()),
    ]
}

/// The data of figures as elements that no browser runs.
pub fn figure_data(figures: &BTreeMap<String, Value>) -> Markup {
    html! {
        @for (name, figure) in figures {
            script type="application/json" id={ "data-" (name) } { (PreEscaped(inert(figure))) }
        }
    }
}

fn policy(scripts: &[String]) -> String {
    let scripts: Vec<String> = scripts.iter().map(|script| digest(script)).collect();
    let scripts = if scripts.is_empty() { "'none'".to_owned() } else { scripts.join(" ") };
    format!(
        "default-src 'none'; script-src {scripts}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digest(STYLE)
    )
}

/// JSON that cannot end the element it stands in.
fn inert(value: &Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// The report: the whole file.
pub fn html(input: &ReportInput<'_>) -> String {
    let scripts: Vec<String> = if input.figures.is_empty() {
        Vec::new()
    } else {
        scripts().into_iter().map(|(_, script)| script).collect()
    };
    let result = input.result;
    let title = format!("{} · owlet report", text::strip(&result.name));
    let description = text::strip(&result.description);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(&scripts));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "owlet " (input.version) };
                meta name="description" content=(description);
                title { (title) }
                // An empty icon: browsers ask for one otherwise.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#answer" { "Skip to the answer" }
                (section::header(result))
                (section::contents(input))
                main {
                    @for part in section::all(input) { (part) }
                }
                footer {
                    p {
                        "Made by owlet " (input.version) ". This file needs no network; its figures are Vega-Lite "
                        "data inside it. The same run finds the same numbers, byte for byte; only times differ."
                    }
                }
                (figure_data(input.figures))
                @for script in &scripts { (inline(script)) }
            }
        }
    };
    page.into_string()
}

fn inline(script: &str) -> Markup {
    html! { script { (PreEscaped(script)) } }
}
