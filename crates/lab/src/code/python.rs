//! Reading a tree of Python: what is asked of it by several rules.

use tree_sitter::Node;

/// All nodes under `root` and itself, before what is in them; deep nests do not exhaust the stack.
pub(super) fn all(root: Node<'_>) -> Vec<Node<'_>> {
    let mut found = Vec::new();
    let mut cursor = root.walk();
    loop {
        found.push(cursor.node());
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
        }
    }
}

/// The text of a node; empty where there is none.
pub(super) fn text<'a>(node: Option<Node<'_>>, code: &'a [u8]) -> &'a str {
    node.and_then(|node| node.utf8_text(code).ok()).unwrap_or_default()
}

pub(super) fn field<'a>(node: Node<'a>, name: &str) -> Option<Node<'a>> {
    node.child_by_field_name(name)
}

/// What encloses a node, the nearest first.
pub(super) fn around(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    std::iter::successors(node.parent(), tree_sitter::Node::parent)
}

/// Named children that are no comments.
pub(super) fn children(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|child| child.kind() != "comment").collect()
}

/// The statements of a body, without its documentation.
pub(super) fn statements(body: Option<Node<'_>>) -> Vec<Node<'_>> {
    let Some(body) = body else { return Vec::new() };
    let is_text = |node: &Node<'_>| {
        node.kind() == "expression_statement"
            && node.named_child_count() == 1
            && node.named_child(0).is_some_and(|child| child.kind() == "string")
    };
    children(body).into_iter().filter(|node| !is_text(node)).collect()
}

/// The arguments of a call.
pub(super) fn arguments(call: Node<'_>) -> Vec<Node<'_>> {
    field(call, "arguments").map(children).unwrap_or_default()
}

/// The text in a string without anything computed in it.
pub(super) fn string<'a>(node: Node<'_>, code: &'a [u8]) -> Option<&'a str> {
    (node.kind() == "string").then_some(())?;
    let parts = children(node);
    let content: Vec<Node<'_>> =
        parts.into_iter().filter(|part| part.kind() == "string_content").collect();
    match content[..] {
        [] => Some(""),
        [one] => one.utf8_text(code).ok(),
        _ => None,
    }
}

/// Whether a value stands there as it is: numbers, strings, and lists of them.
pub(super) fn is_literal(node: Node<'_>) -> bool {
    match node.kind() {
        "integer" | "float" | "string" | "true" | "false" | "none" => {
            all(node).iter().all(|part| part.kind() != "interpolation")
        }
        "unary_operator"
        | "list"
        | "tuple"
        | "dictionary"
        | "set"
        | "pair"
        | "parenthesized_expression" => children(node).into_iter().all(is_literal),
        _ => false,
    }
}

/// The function that a node stands in.
pub(super) fn function(node: Node<'_>) -> Option<Node<'_>> {
    around(node).find(|one| one.kind() == "function_definition")
}
