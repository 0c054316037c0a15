//! Chat templates against what Transformers renders (`tests/golden/templates.py`).

use owlet_engine::{Message, Template};
use serde::Deserialize;

use crate::tiny::bytes;

#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
    messages: Vec<Message>,
    open: bool,
    text: String,
}

#[test]
fn templates_render_as_in_transformers() {
    let cases: Vec<Case> = serde_json::from_slice(&bytes("templates.json")).unwrap();
    for case in cases {
        let template = Template::new(&case.source).unwrap().with_tokens("<s>", "</s>");
        let text = template.render(&case.messages, case.open).unwrap();
        assert_eq!(text, case.text, "{}", case.name);
    }
}
