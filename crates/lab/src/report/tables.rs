//! The tables behind drawings: the same numbers, to be read.

use std::collections::BTreeMap;

use super::block::{Curve, Dots, Graph, Line, Part, Span, Table, estimate_cells, link, number};
use super::number::{NONE, Quantity};
use crate::cells;
use crate::value::text;

/// More points than this are told by the first and the last of each line.
const POINTS: usize = 120;
/// More nodes than this are told by the first ones.
const NODES: usize = 300;

/// Title and unit of a column, or the title alone.
fn titled(title: &str, quantity: Quantity) -> String {
    match quantity.unit() {
        "" => title.to_owned(),
        unit => format!("{title}, {unit}"),
    }
}

impl Dots {
    /// Every dot.
    pub fn table(&self) -> Table {
        let mixed = self.is_mixed();
        let legend: BTreeMap<Part, &str> =
            self.legend.iter().map(|(part, words)| (*part, words.as_str())).collect();
        let value = format!("#{}", titled("value", self.quantity));
        let mut titles = vec!["what", value.as_str(), "#interval", "#n", "unit"];
        if mixed {
            titles.insert(1, "of");
        }
        let rows = self.rows.iter().flat_map(|row| {
            let legend = &legend;
            row.dots.iter().map(move |dot| {
                let mut cells = cells![&row.label];
                if mixed {
                    cells.push(legend.get(&dot.part).copied().unwrap_or(dot.part.name()).into());
                }
                cells.extend(estimate_cells(self.quantity, &dot.estimate));
                cells
            })
        });
        Table::new(self.title.as_str(), &titles).with(rows)
    }
}

impl Curve {
    /// Every point, or the first and the last of each line where there are many.
    pub fn table(&self) -> Table {
        let all = self.series.iter().map(|one| one.points.len()).sum::<usize>() <= POINTS;
        let across = format!("#{}", self.across);
        let value = format!("#{}", self.axis);
        let rows = self.series.iter().flat_map(|one| {
            let last = one.points.len().saturating_sub(1);
            let told = one.points.iter().enumerate();
            told.filter(move |(index, _)| all || *index == 0 || *index == last).map(|(_, point)| {
                let interval = match point.interval {
                    Some(_) => {
                        Span::Interval { interval: point.interval, quantity: self.quantity }.into()
                    }
                    None => Line::from(NONE),
                };
                cells![
                    &one.label,
                    number(Quantity::Plain, point.at),
                    number(self.quantity, point.value),
                    interval
                ]
            })
        });
        let caption =
            if all { self.title.clone() } else { format!("{}: first and last", self.title) };
        let mut table = Table::new(caption, &["line", &across, &value, "#interval"]).with(rows);
        let any =
            self.series.iter().flat_map(|one| &one.points).any(|point| point.interval.is_some());
        if !any {
            table.columns.pop();
            table.rows.iter_mut().for_each(|row| row.truncate(3));
        }
        table
    }
}

impl Graph {
    /// Every node and what it was made from.
    pub fn table(&self) -> Table {
        let labels: BTreeMap<&str, &str> =
            self.nodes.iter().map(|node| (node.id.as_str(), node.label.as_str())).collect();
        let rows = self.nodes.iter().take(NODES).map(|node| {
            let inputs: Vec<String> = self
                .edges
                .iter()
                .filter(|edge| edge.to == node.id)
                .map(|edge| {
                    let from = labels.get(edge.from.as_str()).copied().unwrap_or(&edge.from);
                    if edge.role.is_empty() {
                        from.to_owned()
                    } else {
                        format!("{}: {from}", edge.role)
                    }
                })
                .collect();
            let label: Line = match &node.leads.node {
                Some(href) => link(&node.label, href).into(),
                None => (&node.label).into(),
            };
            let kind: Line = match &node.leads.edges {
                Some(href) => link(&node.kind, href).into(),
                None => (&node.kind).into(),
            };
            cells![label, kind, inputs.join(", ")]
        });
        let more = self.nodes.len().saturating_sub(NODES);
        let caption = match more {
            0 => "What was made from what".to_owned(),
            more => format!("What was made from what; {} more", text::count(more)),
        };
        Table::new(caption, &["node", "kind", "made from"]).with(rows)
    }
}
