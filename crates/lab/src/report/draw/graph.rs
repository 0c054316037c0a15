//! What was made from what, drawn.
//!
//! Nodes stand in layers by the longest way to the end, edges run down, past other rows in lanes of
//! their own. A graph too large to read is grouped by layer and kind. The graph may come from
//! files: unknown ends of edges are dropped, and a cycle is not followed for ever; its edges are
//! left to the table.

use std::collections::BTreeMap;
use std::fmt::Write;

use maud::{Markup, html};

use super::super::block::{Graph, Leads, Node, Standing};
use super::{at, name};
use crate::value::text;

/// More nodes than this are grouped.
const MOST: usize = 40;
/// So are layers with more nodes than this.
const WIDEST: usize = 6;
const BOX_WIDTH: f64 = 156.0;
/// Width of a line that passes a row.
const LANE: f64 = 10.0;
const BOX_HEIGHT: f64 = 42.0;
const GAP: f64 = 18.0;
const RISE: f64 = 36.0;

/// One box of the drawing.
struct Drawn {
    title: String,
    kind: String,
    label: String,
    layer: usize,
    class: &'static str,
    leads: Leads,
}

/// Edges between known nodes, as positions, each once.
fn edges(graph: &Graph) -> Vec<(usize, usize)> {
    let places: BTreeMap<&str, usize> =
        graph.nodes.iter().enumerate().map(|(place, node)| (node.id.as_str(), place)).collect();
    let mut edges: Vec<(usize, usize)> = graph
        .edges
        .iter()
        .filter_map(|edge| Some((*places.get(edge.from.as_str())?, *places.get(edge.to.as_str())?)))
        .filter(|(from, to)| from != to)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Layers from the top such that everything stands just above what was made from it.
fn layers(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut waiting = vec![0_usize; nodes];
    let mut inputs = vec![Vec::new(); nodes];
    for (from, to) in edges {
        waiting[*from] += 1;
        inputs[*to].push(*from);
    }
    let mut height = vec![0_usize; nodes];
    let mut ready: Vec<usize> = (0..nodes).filter(|node| waiting[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for input in &inputs[node] {
            height[*input] = height[*input].max(height[node] + 1);
            waiting[*input] -= 1;
            if waiting[*input] == 0 {
                ready.push(*input);
            }
        }
    }
    let top = height.iter().copied().max().unwrap_or(0);
    height.iter().map(|height| top - height).collect()
}

/// Boxes and the edges between them, grouped where there are too many.
fn arrange(graph: &Graph) -> (Vec<Drawn>, Vec<(usize, usize)>) {
    let edges = edges(graph);
    let layers = layers(graph.nodes.len(), &edges);
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for layer in &layers {
        *sizes.entry(*layer).or_default() += 1;
    }
    let grouped = graph.nodes.len() > MOST || sizes.values().any(|size| *size > WIDEST);
    let mut groups: BTreeMap<(usize, &str, usize), Vec<usize>> = BTreeMap::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        let key = if grouped { (layers[place], node.kind.as_str(), 0) } else { (0, "", place) };
        groups.entry(key).or_default().push(place);
    }
    let mut group_of = vec![0; graph.nodes.len()];
    let mut drawn: Vec<Drawn> = Vec::new();
    for members in groups.into_values() {
        for member in &members {
            group_of[*member] = drawn.len();
        }
        let layer = layers[members[0]];
        let members: Vec<&Node> = members.iter().map(|member| &graph.nodes[*member]).collect();
        drawn.push(boxed(&members, layer));
    }
    let mut between: Vec<(usize, usize)> = edges
        .iter()
        .map(|(from, to)| (group_of[*from], group_of[*to]))
        .filter(|(from, to)| drawn[*from].layer < drawn[*to].layer)
        .collect();
    between.sort_unstable();
    between.dedup();
    (drawn, between)
}

/// The box of one node, or of several of one kind.
fn boxed(members: &[&Node], layer: usize) -> Drawn {
    let first = members[0];
    let (class, done) = standing(members);
    if members.len() == 1 {
        // The kind is said above it already.
        let rest = first.label.strip_prefix(&first.kind).and_then(|rest| rest.strip_prefix('/'));
        return Drawn {
            title: format!("{} ({})", first.label, first.id),
            kind: first.kind.clone(),
            label: rest.unwrap_or(&first.label).to_owned(),
            layer,
            class,
            leads: first.leads.clone(),
        };
    }
    let group = &first.leads.group;
    Drawn {
        title: format!("{} × {}", members.len(), first.kind),
        kind: first.kind.clone(),
        label: match done {
            Some(done) => format!("{done} of {} done", members.len()),
            None => format!("× {}", text::count(members.len())),
        },
        layer,
        class,
        leads: Leads { node: group.clone(), edges: group.clone(), group: None },
    }
}

/// The class of a box, and how many of its nodes are done where that is known of them.
fn standing(members: &[&Node]) -> (&'static str, Option<usize>) {
    let has = |wanted: Standing| members.iter().any(|node| node.state == Some(wanted));
    if has(Standing::Itself) {
        return (Standing::Itself.class(), None);
    }
    if members.iter().all(|node| node.state.is_none()) {
        return ("", None);
    }
    let is = |node: &&&Node, states: [Standing; 2]| {
        node.state.is_some_and(|state| states.contains(&state))
    };
    let done = members.iter().filter(|node| is(node, [Standing::Done, Standing::Reused])).count();
    let class = if has(Standing::Failed) {
        Standing::Failed.class()
    } else if has(Standing::Running) {
        Standing::Running.class()
    } else if done == members.len() {
        if has(Standing::Done) { Standing::Done.class() } else { Standing::Reused.class() }
    } else if done > 0 {
        "partly"
    } else {
        Standing::Waiting.class()
    };
    (class, Some(done))
}

/// What stands in a row of the drawing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    /// A box.
    Node(usize),
    /// The way past a row of everything that goes from one node to rows further down.
    Lane(usize),
}

impl Item {
    fn width(self) -> f64 {
        match self {
            Self::Node(_) => BOX_WIDTH,
            Self::Lane(_) => LANE,
        }
    }
}

/// Boxes and lanes with the middle of each, row by row.
struct Layout {
    rows: Vec<Vec<(Item, f64)>>,
    width: f64,
}

impl Layout {
    fn new(drawn: &[Drawn], edges: &[(usize, usize)]) -> Self {
        let depth = drawn.iter().map(|one| one.layer + 1).max().unwrap_or(0);
        let mut rows: Vec<Vec<Item>> = vec![Vec::new(); depth];
        for (place, one) in drawn.iter().enumerate() {
            rows[one.layer].push(Item::Node(place));
            let deepest = edges.iter().filter(|(from, _)| *from == place);
            let deepest = deepest.map(|(_, to)| drawn[*to].layer).max().unwrap_or(0);
            for row in rows.iter_mut().take(deepest).skip(one.layer + 1) {
                row.push(Item::Lane(place));
            }
        }
        let taken = |row: &[Item]| row.iter().map(|item| item.width() + GAP).sum::<f64>() + GAP;
        let width = rows.iter().map(|row| taken(row)).fold(0.0, f64::max);
        let mut layout = Self { rows: Vec::new(), width };
        for row in &rows {
            // Below the middle of what they come from: fewer crossings.
            let above = layout.rows.len();
            let wanted = |item: Item| -> f64 {
                let from: Vec<f64> = match item {
                    Item::Lane(source) => vec![layout.start(drawn, source, above)],
                    Item::Node(place) => edges
                        .iter()
                        .filter(|(from, to)| *to == place && drawn[*from].layer < above)
                        .map(|(from, _)| layout.start(drawn, *from, above))
                        .collect(),
                };
                if from.is_empty() { 0.0 } else { from.iter().sum::<f64>() / from.len() as f64 }
            };
            let mut ranked: Vec<(f64, usize, Item)> =
                row.iter().enumerate().map(|(index, item)| (wanted(*item), index, *item)).collect();
            ranked.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
            let mut left = GAP + (width - taken(row)) / 2.0;
            let mut placed = Vec::new();
            for (_, _, item) in ranked {
                placed.push((item, left + item.width() / 2.0));
                left += item.width() + GAP;
            }
            layout.rows.push(placed);
        }
        layout
    }

    fn find(&self, row: usize, wanted: Item) -> Option<f64> {
        self.rows.get(row)?.iter().find(|(item, _)| *item == wanted).map(|(_, middle)| *middle)
    }

    /// Where a line from `source` comes out just above `row`: its box or its lane.
    fn start(&self, drawn: &[Drawn], source: usize, row: usize) -> f64 {
        let above = row.saturating_sub(1);
        let item =
            if drawn[source].layer == above { Item::Node(source) } else { Item::Lane(source) };
        self.find(above, item).unwrap_or(self.width / 2.0)
    }

    /// The line of an edge.
    fn line(&self, drawn: &[Drawn], from: usize, to: usize) -> String {
        let (first, last) = (drawn[from].layer, drawn[to].layer);
        let mut at_x = self.find(first, Item::Node(from)).unwrap_or(0.0);
        let mut line = format!("M{} {}", at(at_x), at(top(first) + BOX_HEIGHT));
        for row in first + 1..=last {
            let item = if row == last { Item::Node(to) } else { Item::Lane(from) };
            let next = self.find(row, item).unwrap_or(at_x);
            let (start, end) = (top(row) - RISE, top(row));
            let bend = f64::midpoint(start, end);
            let (x, y) = (at(next), at(end));
            let _ = write!(line, "C{} {} {x} {} {x} {y}", at(at_x), at(bend), at(bend));
            if row < last {
                let _ = write!(line, "V{}", at(end + BOX_HEIGHT));
            }
            at_x = next;
        }
        line
    }
}

fn top(layer: usize) -> f64 {
    GAP + layer as f64 * (BOX_HEIGHT + RISE)
}

/// The drawing; nothing where there is no node.
pub(in crate::report) fn graph(graph: &Graph) -> Option<Markup> {
    if graph.nodes.is_empty() {
        return None;
    }
    let (drawn, edges) = arrange(graph);
    let layout = Layout::new(&drawn, &edges);
    let (width, height) = (layout.width, top(layout.rows.len()) - RISE + GAP);
    // What stands inside an image is not reached by keyboards and readers.
    let leads = drawn.iter().any(|one| one.leads.node.is_some());
    let role = if leads { "group" } else { "img" };
    Some(html! {
        svg class="lineage" role=(role) width=(at(width)) height=(at(height))
            viewBox={ "0 0 " (at(width)) " " (at(height)) }
            aria-label="What was made from what; the table below says the same"
        {
            @for (from, to) in &edges {
                @if let Some(href) = &drawn[*to].leads.edges {
                    // Reached by keyboard through the table; a hundred stops here would be in the way.
                    a href=(href) tabindex="-1" aria-hidden="true" {
                        path class="edge wide" d=(layout.line(&drawn, *from, *to)) {}
                        path class="edge" d=(layout.line(&drawn, *from, *to)) {}
                    }
                } @else {
                    path class="edge" d=(layout.line(&drawn, *from, *to)) {}
                }
            }
            @for (row, items) in layout.rows.iter().enumerate() {
                @for (item, middle) in items {
                    @if let Item::Node(place) = item { (node(&drawn[*place], *middle, top(row))) }
                }
            }
        }
    })
}

fn node(one: &Drawn, middle: f64, top: f64) -> Markup {
    let shape = html! {
        g class={ "node" @if !one.class.is_empty() { " " (one.class) } } {
            title { (name(&one.title)) }
            rect x=(at(middle - BOX_WIDTH / 2.0)) y=(at(top)) width=(at(BOX_WIDTH))
                height=(at(BOX_HEIGHT)) rx="6" {}
            text class="kind" x=(at(middle)) y=(at(top + 16.0)) text-anchor="middle" {
                (text::cut(&name(&one.kind), 20))
            }
            text x=(at(middle)) y=(at(top + 32.0)) text-anchor="middle" { (text::cut(&name(&one.label), 22)) }
        }
    };
    html! {
        @if let Some(href) = &one.leads.node { a href=(href) { (shape) } } @else { (shape) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_run_down_and_cycles_end() {
        assert_eq!(layers(4, &[(0, 1), (1, 2), (0, 2), (2, 3)]), [0, 1, 2, 3]);
        // What has a shorter way stands beside its like, not beside the origin.
        assert_eq!(layers(4, &[(0, 1), (1, 3), (2, 3)]), [0, 1, 1, 2]);
        assert_eq!(layers(3, &[(0, 1), (1, 2), (2, 1)]), [0, 0, 0]);
    }
}
