//! Where the result comes from: what was run, what was made from what, how to do it again.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::page::ReportInput;
use super::super::{DrawingSettings, lineage as drawing, terminal};
use super::name;
use super::table::table;
use crate::value::text;

pub(super) fn run(input: &ReportInput<'_>) -> Markup {
    let result = input.result;
    let replication = &result.replication;
    let seeds: Vec<String> = replication.seeds.iter().map(u64::to_string).collect();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for node in &input.lineage.nodes {
        *kinds.entry(name(&node.kind)).or_default() += 1;
    }
    let kinds: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{} {kind}", text::count(*count))).collect();
    let list = |names: &[String]| names.iter().map(|one| name(one)).collect::<Vec<_>>().join(", ");
    let mut facts = vec![
        ("base", name(&result.base)),
        ("taught behaviors", list(&result.behaviors)),
        ("carrier", name(&result.carrier)),
        ("unit of replication", name(&replication.unit)),
        ("seeds", seeds.join(", ")),
        ("unique rows per student", text::count(replication.unique_rows)),
        (
            "training of each student",
            format!(
                "{} updates of {} rows: each row {} times",
                text::count(replication.updates),
                text::count(replication.batch),
                text::plain(replication.epochs)
            ),
        ),
    ];
    if !result.read_also.is_empty() {
        facts.insert(2, ("also read", list(&result.read_also)));
    }
    if !kinds.is_empty() {
        facts.push(("steps", kinds.join(", ")));
    }
    html! {
        dl class="facts" {
            @for (term, fact) in &facts { div { dt { (term) } dd { (fact) } } }
        }
    }
}

/// What the steps took, by kind.
pub(super) fn costs(input: &ReportInput<'_>) -> Option<Markup> {
    let total: f64 = input.costs.iter().map(|cost| cost.core_seconds).sum();
    if total <= 0.0 {
        return None;
    }
    let rows: Vec<Vec<String>> = input
        .costs
        .iter()
        .map(|cost| {
            vec![
                name(&cost.kind),
                text::count(cost.steps),
                format!("{:.1}", cost.core_seconds),
                text::percent(cost.core_seconds / total),
                cost.peak_memory.map_or_else(|| "–".to_owned(), terminal::memory),
            ]
        })
        .collect();
    Some(html! {
        p {
            "In all " strong { (format!("{total:.1}")) " core-seconds" } ": the time of every step times its "
            "threads, reused steps with what they took when they were made. Memory is the most the whole process "
            "held while a step of the kind ran, steps beside it included."
        }
        (table(
            "What steps took",
            &["kind", "#steps", "#core-seconds", "#share", "#peak memory"],
            &rows,
        ))
    })
}

pub(super) fn lineage(input: &ReportInput<'_>) -> Option<Markup> {
    let graph = input.lineage;
    if graph.nodes.is_empty() {
        return None;
    }
    let labels: BTreeMap<&str, &str> =
        graph.nodes.iter().map(|node| (node.id.as_str(), node.label.as_str())).collect();
    let rows: Vec<Vec<String>> = graph
        .nodes
        .iter()
        .map(|node| {
            let inputs: Vec<String> = graph
                .edges
                .iter()
                .filter(|edge| edge.to == node.id)
                .map(|edge| {
                    let from = labels.get(edge.from.as_str()).copied().unwrap_or(&edge.from);
                    match &edge.role {
                        Some(role) => format!("{}: {}", name(role), name(from)),
                        None => name(from),
                    }
                })
                .collect();
            vec![name(&node.label), name(&node.kind), name(&node.id), inputs.join(", ")]
        })
        .collect();
    Some(html! {
        div class="scroll" tabindex="0" { (drawing::drawing(graph, &DrawingSettings::default())) }
        details {
            summary { "Every node: " (text::count(graph.nodes.len())) }
            (table("What was made from what", &["node", "kind", "id", "made from"], &rows))
        }
    })
}

pub(super) fn recipe(input: &ReportInput<'_>) -> Markup {
    html! {
        p { "This command makes the same result, byte for byte:" }
        pre class="command" { code { (text::reveal(input.reproduce_command)) } }
        h3 { "The recipe as given" }
        pre { code { (text::reveal(input.recipe_text)) } }
        details {
            summary { "Every setting, as resolved" }
            pre { code { (text::reveal(input.resolved_recipe)) } }
        }
    }
}
