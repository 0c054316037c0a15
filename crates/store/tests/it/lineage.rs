//! Lineage through records on disk.

use std::fmt::Write;
use std::fs;

use owlet_store::{ArtifactId, Error, Lineage, NodeId};
use serde_json::json;

use crate::fixture::{Workspace, make, record};

/// Draws a lineage as text: nodes in order, then edges by kind.
fn draw(lineage: &Lineage) -> String {
    let name = |id: &NodeId| {
        let node = lineage.nodes.iter().find(|node| node.id == *id).unwrap();
        node.kind.clone().unwrap_or_else(|| "?".to_owned())
    };
    let mut text = String::new();
    for node in &lineage.nodes {
        let missing = if node.missing { " missing" } else { "" };
        writeln!(text, "{} {:?}{missing}", name(&node.id), node.relation).unwrap();
    }
    let mut edges: Vec<_> = lineage
        .edges
        .iter()
        .map(|edge| {
            let role = edge.role.as_deref().unwrap_or("makes");
            format!("{} -{role}-> {}\n", name(&edge.from), name(&edge.to))
        })
        .collect();
    edges.sort();
    text + &edges.concat()
}

#[test]
fn ancestors_come_first_descendants_last_and_relatives_of_neither_kind_are_left_out() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let artifact = |kind: &str| make(store, kind, &[("file", kind.as_bytes())]).id;
    let (base, teacher, rows) = (artifact("base"), artifact("teacher"), artifact("rows"));
    let (kept, student, rates) = (artifact("kept"), artifact("student"), artifact("rates"));
    let control = artifact("control");
    for step in [
        record("measure", json!({}), &[("model", student)], rates),
        record("train", json!({}), &[("base", base), ("rows", kept)], student),
        record("filter", json!({}), &[("rows", rows)], kept),
        record("sample", json!({}), &[("model", teacher)], rows),
        record("tune", json!({}), &[("base", base)], teacher),
        record("neutral", json!({}), &[("base", base)], control),
    ] {
        store.record_step(&step).unwrap();
    }
    insta::assert_snapshot!(draw(&store.lineage(&kept).unwrap()), @r"
    base Ancestor
    tune Ancestor
    teacher Ancestor
    sample Ancestor
    rows Ancestor
    filter Ancestor
    kept Itself
    train Descendant
    student Descendant
    measure Descendant
    rates Descendant
    base -base-> train
    base -base-> tune
    filter -makes-> kept
    kept -rows-> train
    measure -makes-> rates
    rows -rows-> filter
    sample -makes-> rows
    student -model-> measure
    teacher -model-> sample
    train -makes-> student
    tune -makes-> teacher
    ");

    fs::remove_dir_all(workspace.artifact_folder(&rows)).unwrap();
    insta::assert_snapshot!(draw(&store.lineage(&rows).unwrap()), @r"
    base Ancestor
    tune Ancestor
    teacher Ancestor
    sample Ancestor
    ? Itself missing
    filter Descendant
    kept Descendant
    train Descendant
    student Descendant
    measure Descendant
    rates Descendant
    ? -rows-> filter
    base -base-> train
    base -base-> tune
    filter -makes-> kept
    kept -rows-> train
    measure -makes-> rates
    sample -makes-> ?
    student -model-> measure
    teacher -model-> sample
    train -makes-> student
    tune -makes-> teacher
    ");

    let unknown = store.lineage(&ArtifactId::from_bytes([1; 32])).unwrap_err();
    assert!(matches!(unknown, Error::MissingArtifact { .. }));
    let alone = make(store, "alone", &[]);
    insta::assert_snapshot!(draw(&store.lineage(&alone.id).unwrap()), @"alone Itself");
}

#[test]
fn a_step_that_makes_what_it_used_is_no_trouble() {
    let workspace = Workspace::new();
    let store = &workspace.store;
    let rows = make(store, "rows", &[("file", b"1")]).id;
    let other = make(store, "other", &[("file", b"2")]).id;
    for step in [
        record("filter", json!({}), &[("rows", rows)], rows),
        record("there", json!({}), &[("rows", rows)], other),
        record("back", json!({}), &[("rows", other)], rows),
    ] {
        store.record_step(&step).unwrap();
    }
    let lineage = store.lineage(&rows).unwrap();
    assert_eq!((lineage.nodes.len(), lineage.edges.len()), (5, 6));
    assert_eq!(workspace.reopened().lineage(&rows).unwrap(), lineage);
}
