//! What a text is as a program.

use tree_sitter::Node;

use super::python;

/// A text, read as a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Names of the functions at its top.
    pub(crate) functions: Vec<String>,
    /// Whether some of it could not be parsed.
    pub(crate) is_broken: bool,
    /// Whether there is more at its top than functions, imports and comments.
    pub(crate) has_more: bool,
    /// Whether there are comments, or texts that stand for themselves.
    pub(crate) is_commented: bool,
}

/// Reads the tree of a program.
pub(super) fn read(root: Node<'_>, code: &[u8]) -> Program {
    let mut program = Program {
        functions: Vec::new(),
        is_broken: root.has_error(),
        has_more: false,
        is_commented: false,
    };
    for node in python::all(root) {
        program.is_commented |= node.kind() == "comment" || is_text_alone(node);
    }
    for node in python::children(root) {
        let own = match node.kind() {
            "decorated_definition" => python::field(node, "definition").unwrap_or(node),
            _ => node,
        };
        match own.kind() {
            "function_definition" => {
                program.functions.push(python::text(python::field(own, "name"), code).to_owned());
            }
            "import_statement" | "import_from_statement" | "future_import_statement" => {}
            _ => program.has_more |= !is_text_alone(own),
        }
    }
    program
}

/// A statement that is nothing but a text, in parentheses or parts, too: documentation.
fn is_text_alone(node: Node<'_>) -> bool {
    const TEXTS: [&str; 2] = ["string", "concatenated_string"];
    let mut inner = node;
    while inner.named_child_count() == 1
        && matches!(inner.kind(), "expression_statement" | "parenthesized_expression")
        && let Some(child) = inner.named_child(0)
    {
        inner = child;
    }
    node.kind() == "expression_statement" && TEXTS.contains(&inner.kind())
}
