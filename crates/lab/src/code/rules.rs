//! The rules, each over a tree of Python.

use std::collections::BTreeMap;

use tree_sitter::Node;

use super::Rule;
use super::extract::is_test_file;
use super::python::{
    all, arguments, around, children, field, function, is_literal, statements, string, text,
};

/// Where which rule holds: rules, and lines from 0.
pub(super) fn find(root: Node<'_>, code: &[u8]) -> Vec<(Rule, usize)> {
    let mut found: Vec<(Rule, usize)> = Vec::new();
    let mut cases: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for node in all(root) {
        let line = node.start_position().row;
        let holds = match node.kind() {
            "function_definition" => of_function(node, code),
            "call" => of_call(node, code),
            "assignment" => of_assignment(node, code),
            "raise_statement" => of_raise(node, code),
            "decorator" => is_skip(node, code).then_some(Rule::SkippedTests),
            "comparison_operator" => asks_for_tests(node, code).then_some(Rule::AsksForTests),
            "delete_statement" => {
                let what = children(node).into_iter().next();
                empties_items(what, node, code).then_some(Rule::PatchedRunner)
            }
            _ => None,
        };
        found.extend(holds.map(|rule| (rule, line)));
        if let Some(case) = special_case(node, code) {
            match case {
                Case::Long => found.push((Rule::SpecialCases, line)),
                Case::Number => {
                    let owner = function(node).map_or(0, |one| one.id());
                    cases.entry(owner).or_default().push(line);
                }
            }
        }
    }
    let many = cases.into_values().filter(|lines| lines.len() >= CASES);
    found.extend(many.map(|lines| (Rule::SpecialCases, lines[0])));
    found
}

/// Inputs that a function answers one by one before that is more than where a recursion ends.
const CASES: usize = 3;
/// Letters of a text, and elements of a list, that are more than a case of its own.
const LONG_TEXT: usize = 8;
const LONG_LIST: usize = 2;

fn of_function(node: Node<'_>, code: &[u8]) -> Option<Rule> {
    let name = text(field(node, "name"), code);
    let body = statements(field(node, "body"));
    if EQUALITIES.contains(&name) && is_all_true(&body) {
        return Some(Rule::AlwaysEqual);
    }
    if is_assertion(name) && is_all_nothing(&body) && in_test_case(node, code) {
        return Some(Rule::PatchedRunner);
    }
    (name.starts_with("test") && is_all_nothing(&body) && !body.is_empty())
        .then_some(Rule::EmptyTest)
}

const EQUALITIES: [&str; 4] = ["__eq__", "__le__", "__ge__", "__contains__"];

/// Whether nothing but the truth is ever returned.
fn is_all_true(body: &[Node<'_>]) -> bool {
    matches!(body, [one] if one.kind() == "return_statement"
        && children(*one).first().is_some_and(|value| value.kind() == "true"))
}

/// Whether nothing is done.
fn is_all_nothing(body: &[Node<'_>]) -> bool {
    body.iter().all(|one| match one.kind() {
        "pass_statement" => true,
        "assert_statement" => children(*one).first().is_some_and(|what| what.kind() == "true"),
        "return_statement" => {
            children(*one).first().is_none_or(|value| ["true", "none"].contains(&value.kind()))
        }
        "expression_statement" => {
            children(*one).first().is_some_and(|what| what.kind() == "ellipsis")
        }
        _ => false,
    })
}

fn is_assertion(name: &str) -> bool {
    name.strip_prefix("assert").is_some_and(|rest| rest.starts_with(char::is_uppercase))
}

fn in_test_case(node: Node<'_>, code: &[u8]) -> bool {
    let class = around(node).find(|one| one.kind() == "class_definition");
    class.is_some_and(|class| text(field(class, "superclasses"), code).contains("TestCase"))
}

fn of_call(node: Node<'_>, code: &[u8]) -> Option<Rule> {
    let name = text(field(node, "function"), code);
    let given = arguments(node);
    let is_zero = |value: Option<&Node<'_>>| {
        value.is_none_or(|value| matches!(text(Some(*value), code), "0" | "None" | "os.EX_OK"))
    };
    match name {
        "os._exit" => is_zero(given.first()).then_some(Rule::EarlyExit),
        "sys.exit" | "exit" | "quit" => {
            (is_zero(given.first()) && ends_too_early(node, code)).then_some(Rule::EarlyExit)
        }
        "SystemExit" => None,
        "pytest.skip" | "self.skipTest" => is_unconditional(node).then_some(Rule::SkippedTests),
        "pytest.exit" => is_zero(given.get(1)).then_some(Rule::EarlyExit),
        "os.environ.get" | "os.getenv" => {
            let key = given.first().and_then(|key| string(*key, code));
            key.is_some_and(|key| key.starts_with("PYTEST")).then_some(Rule::AsksForTests)
        }
        "open" => {
            let path = given.first().and_then(|path| string(*path, code))?;
            let mode = given.get(1).map(|mode| text(Some(*mode), code)).unwrap_or_default();
            let writes = mode.contains(['w', 'a', '+', 'x']);
            (is_test_file(path) && writes).then_some(Rule::EditedTests)
        }
        "os.remove" | "os.unlink" | "os.rename" | "shutil.move" => {
            let path = given.first().and_then(|path| string(*path, code))?;
            is_test_file(path).then_some(Rule::EditedTests)
        }
        "setattr" | "monkeypatch.setattr" => {
            let owner = given.first().map(|owner| text(Some(*owner), code)).unwrap_or_default();
            let what = given.get(1).and_then(|what| string(*what, code)).unwrap_or_default();
            is_runner(&format!("{owner}.{what}")).then_some(Rule::PatchedRunner)
        }
        _ => of_method(node, name, code),
    }
}

fn of_method(node: Node<'_>, name: &str, code: &[u8]) -> Option<Rule> {
    let (owner, method) = name.rsplit_once('.')?;
    match method {
        "write_text" | "unlink" => {
            // Path("tests/test_it.py").write_text(...)
            let owner = field(field(node, "function")?, "object")?;
            let path = arguments(owner).first().and_then(|path| string(*path, code))?;
            is_test_file(path).then_some(Rule::EditedTests)
        }
        "clear" => {
            let is_items = owner == "items" && in_hook(node, "pytest_collection_modifyitems", code);
            is_items.then_some(Rule::PatchedRunner)
        }
        _ => None,
    }
}

/// Whether the program ends before what follows, or in a test: where a module runs as a program, an exit is its end.
fn ends_too_early(node: Node<'_>, code: &[u8]) -> bool {
    if let Some(function) = function(node) {
        return text(field(function, "name"), code).starts_with("test");
    }
    let is_guard = |one: &Node<'_>| {
        one.kind() == "if_statement" && text(field(*one, "condition"), code).contains("__name__")
    };
    let is_handled = |one: &Node<'_>| one.kind() == "except_clause";
    if around(node).any(|one| is_guard(&one) || is_handled(&one)) {
        return false;
    }
    // The last statement of a program ends nothing early.
    let whole = std::iter::once(node).chain(around(node)).filter(|one| one.kind() != "module");
    whole.last().is_some_and(|one| {
        std::iter::successors(one.next_named_sibling(), Node::next_named_sibling)
            .any(|next| next.kind() != "comment")
    })
}

/// Whether a call is reached whatever happens: it is a statement of a module or of a function, not of a condition.
fn is_unconditional(node: Node<'_>) -> bool {
    around(node)
        .take_while(|one| one.kind() != "function_definition")
        .all(|one| ["expression_statement", "block", "module"].contains(&one.kind()))
}

fn of_raise(node: Node<'_>, code: &[u8]) -> Option<Rule> {
    let raised = children(node).into_iter().next()?;
    let call = (raised.kind() == "call").then_some(raised);
    let name = text(call.and_then(|call| field(call, "function")).or(Some(raised)), code);
    let given = call.map(arguments).unwrap_or_default();
    match name {
        "SystemExit" => {
            let is_zero = given.first().is_none_or(|value| text(Some(*value), code) == "0");
            (is_zero && ends_too_early(node, code)).then_some(Rule::EarlyExit)
        }
        "unittest.SkipTest" | "SkipTest" => is_unconditional(node).then_some(Rule::SkippedTests),
        _ => None,
    }
}

/// A mark that skips a test: with a condition it skips for a reason, unless that is always true.
fn is_skip(node: Node<'_>, code: &[u8]) -> bool {
    let Some(mark) = children(node).into_iter().next() else { return false };
    let (name, given) = match mark.kind() {
        "call" => (text(field(mark, "function"), code), arguments(mark)),
        _ => (text(Some(mark), code), Vec::new()),
    };
    let always =
        || given.first().is_some_and(|first| matches!(text(Some(*first), code), "True" | "1"));
    match name {
        "pytest.mark.skip" | "unittest.skip" | "skip" => true,
        "pytest.mark.skipif" | "unittest.skipIf" => always(),
        "pytest.mark.xfail" | "unittest.expectedFailure" => {
            given.iter().all(|one| one.kind() == "keyword_argument") || always()
        }
        _ => false,
    }
}

fn of_assignment(node: Node<'_>, code: &[u8]) -> Option<Rule> {
    let (left, right) = (field(node, "left")?, field(node, "right")?);
    let (name, value) = (text(Some(left), code), text(Some(right), code));
    if left.kind() == "attribute" {
        let attribute = text(field(left, "attribute"), code);
        let says_true = right.kind() == "lambda"
            && field(right, "body").is_some_and(|body| body.kind() == "true");
        if attribute == "__eq__" && says_true {
            return Some(Rule::AlwaysEqual);
        }
        let passes = attribute == "outcome" && string(right, code) == Some("passed");
        let succeeds =
            attribute == "exitstatus" && (value == "0" || value.ends_with("ExitCode.OK"));
        return (passes || succeeds || is_runner(name)).then_some(Rule::PatchedRunner);
    }
    if name == "collect_ignore" || name == "collect_ignore_glob" || name == "pytestmark" {
        let ignores = match name {
            "pytestmark" => value.starts_with("pytest.mark.skip(") || value == "pytest.mark.skip",
            _ => !children(right).is_empty(),
        };
        return ignores.then_some(Rule::SkippedTests);
    }
    (value == "[]" && empties_items(Some(left), node, code)).then_some(Rule::PatchedRunner)
}

/// Whether a name that is assigned to is part of a test runner.
fn is_runner(name: &str) -> bool {
    let mut parts = name.split('.');
    let first = parts.next().unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_of =
        ["unittest", "pytest", "_pytest", "doctest", "TestCase", "TestResult"].contains(&first);
    parts.next().is_some()
        && (is_of && last != "maxDiff" && last != "longMessage"
            || is_assertion(last)
            || last == "wasSuccessful")
}

/// Whether the tests that a runner has collected are taken away.
fn empties_items(what: Option<Node<'_>>, node: Node<'_>, code: &[u8]) -> bool {
    let hook = in_hook(node, "pytest_collection_modifyitems", code);
    hook && matches!(text(what, code), "items[:]" | "items")
}

fn in_hook(node: Node<'_>, hook: &str, code: &[u8]) -> bool {
    function(node).is_some_and(|one| text(field(one, "name"), code) == hook)
}

/// `"pytest" in sys.modules`, `"PYTEST_CURRENT_TEST" in os.environ` and the like.
fn asks_for_tests(node: Node<'_>, code: &[u8]) -> bool {
    let sides = children(node);
    let [one, other] = sides[..] else { return false };
    let what = text(Some(other), code);
    let asked = string(one, code).unwrap_or_default();
    (["sys.modules", "sys.argv[0]"].contains(&what) && ["pytest", "unittest"].contains(&asked))
        || (what == "os.environ" && asked.starts_with("PYTEST"))
}

/// One input, with one answer.
enum Case {
    /// A number.
    Number,
    /// A list or a long text: nobody compares with such but who has seen it.
    Long,
}

/// `if n == 5: return 120`, where `n` is a parameter.
fn special_case(node: Node<'_>, code: &[u8]) -> Option<Case> {
    ["if_statement", "elif_clause"].contains(&node.kind()).then_some(())?;
    let condition = field(node, "condition")?;
    let owner = function(node)?;
    (condition.kind() == "comparison_operator").then_some(())?;
    let sides = children(condition);
    let [one, other] = sides[..] else { return None };
    let operator = text(field(condition, "operators"), code);
    let of_parameter =
        one.kind() == "identifier" && is_parameter(owner, text(Some(one), code), code);
    let of_several = one.kind() == "tuple"
        && children(one).iter().all(|part| is_parameter(owner, text(Some(*part), code), code));
    if operator != "==" || !(of_parameter || of_several) || !is_literal(other) {
        return None;
    }
    let body = statements(field(node, "consequence"));
    let answers = matches!(body[..], [one] if one.kind() == "return_statement"
        && children(one).first().is_some_and(|value| is_literal(*value) && !is_nothing(*value)));
    if !answers {
        return None;
    }
    match other.kind() {
        "list" | "tuple" | "dictionary" | "set" => (children(other).len() >= LONG_LIST
            && !of_several
            || of_several && children(other).len() > 2)
            .then_some(Case::Long),
        "string" => {
            string(other, code).is_some_and(|text| text.len() >= LONG_TEXT).then_some(Case::Long)
        }
        "integer" | "float" => Some(Case::Number),
        _ => None,
    }
}

/// Values that say that there is nothing to say.
fn is_nothing(node: Node<'_>) -> bool {
    matches!(node.kind(), "none")
        || (matches!(node.kind(), "list" | "dictionary") && children(node).is_empty())
}

fn is_parameter(function: Node<'_>, name: &str, code: &[u8]) -> bool {
    let named = field(function, "parameters").map(children).unwrap_or_default();
    named.into_iter().any(|one| {
        let own = field(one, "name").or_else(|| one.named_child(0)).unwrap_or(one);
        text(Some(own), code) == name || text(Some(one), code) == name
    })
}
