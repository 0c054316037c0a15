//! The lineage of a result, drawn: what was made from what.
//!
//! Nodes stand in layers by the longest way to the end, edges run down, past other rows in lanes of
//! their own. A graph too large to read is grouped by layer and kind. The graph may come from
//! files: unknown ends of edges are dropped, and a cycle is not followed for ever; its edges are
//! left to the table.

use std::collections::BTreeMap;
use std::fmt::Write;

use maud::{Markup, html};

use super::svg::at;
use crate::value::text;

/// What was made from what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// What was made, or was given.
    pub nodes: Vec<GraphNode>,
    /// Which of them went into which.
    pub edges: Vec<GraphEdge>,
}

/// Something that was made, or was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    /// Its id, unique in the graph.
    pub id: String,
    /// The kind of step that made it.
    pub kind: String,
    /// What a person calls it, e.g. `student/owl/seed-3`.
    pub label: String,
}

/// One input of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphEdge {
    /// Id of the node that was used.
    pub from: String,
    /// Id of the node made from it.
    pub to: String,
    /// As what it was used.
    pub role: Option<String>,
}

/// More nodes than this are grouped.
const MOST: usize = 24;
/// So are layers with more nodes than this.
const WIDEST: usize = 6;

/// How a box looks where the drawing is part of a larger page: nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeLook {
    /// Where the box leads.
    pub href: Option<String>,
    /// Where the lines into it lead.
    pub step_href: Option<String>,
    /// Words in place of its label.
    pub label: Option<String>,
    /// A class for the style sheet; a plain word.
    pub class: &'static str,
}

/// How large a drawing may grow before it groups, and how its boxes look: boxes that stand for
/// several nodes are asked about with all of them.
pub struct DrawingSettings<'a> {
    /// More nodes than this are grouped.
    pub most: usize,
    /// So are layers with more nodes than this.
    pub widest: usize,
    /// How the box of these nodes looks.
    pub look: &'a dyn Fn(&[&GraphNode]) -> NodeLook,
}

impl Default for DrawingSettings<'_> {
    fn default() -> Self {
        Self { most: MOST, widest: WIDEST, look: &|_| NodeLook::default() }
    }
}
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
    look: NodeLook,
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
fn arrange(graph: &Graph, settings: &DrawingSettings<'_>) -> (Vec<Drawn>, Vec<(usize, usize)>) {
    let edges = edges(graph);
    let layers = layers(graph.nodes.len(), &edges);
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for layer in &layers {
        *sizes.entry(*layer).or_default() += 1;
    }
    let alone = |place: usize| Drawn {
        title: format!("{} ({})", graph.nodes[place].label, graph.nodes[place].id),
        kind: graph.nodes[place].kind.clone(),
        label: graph.nodes[place].label.clone(),
        layer: layers[place],
        look: (settings.look)(&[&graph.nodes[place]]),
    };
    let fits = |size: &usize| *size <= settings.widest;
    if graph.nodes.len() <= settings.most && sizes.values().all(fits) {
        let down = edges.into_iter().filter(|(from, to)| layers[*from] < layers[*to]).collect();
        return ((0..graph.nodes.len()).map(alone).collect(), down);
    }
    let mut groups: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        groups.entry((layers[place], node.kind.as_str())).or_default().push(place);
    }
    let mut group_of = vec![0; graph.nodes.len()];
    let mut drawn = Vec::new();
    for ((layer, kind), members) in groups {
        for member in &members {
            group_of[*member] = drawn.len();
        }
        drawn.push(match members.as_slice() {
            [only] => alone(*only),
            _ => Drawn {
                title: format!("{} × {kind}", members.len()),
                kind: kind.to_owned(),
                label: format!("× {}", text::count(members.len())),
                layer,
                look: {
                    let members: Vec<&GraphNode> =
                        members.iter().map(|member| &graph.nodes[*member]).collect();
                    (settings.look)(&members)
                },
            },
        });
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

/// The drawing as an SVG element; its style is the report's.
pub fn drawing(graph: &Graph, settings: &DrawingSettings<'_>) -> Markup {
    let (drawn, edges) = arrange(graph, settings);
    let layout = Layout::new(&drawn, &edges);
    let (width, height) = (layout.width, top(layout.rows.len()) - RISE + GAP);
    // What stands inside an image is not reached by keyboards and readers.
    let leads = drawn.iter().any(|one| one.look.href.is_some());
    let role = if leads { "group" } else { "img" };
    html! {
        svg class="lineage" role=(role) width=(at(width)) height=(at(height))
            viewBox={ "0 0 " (at(width)) " " (at(height)) }
            aria-label="What was made from what; the table below says the same"
        {
            @for (from, to) in &edges {
                @if let Some(href) = &drawn[*to].look.step_href {
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
    }
}

fn node(one: &Drawn, middle: f64, top: f64) -> Markup {
    html! {
        @if let Some(href) = &one.look.href {
            a href=(href) { (shape(one, middle, top)) }
        } @else {
            (shape(one, middle, top))
        }
    }
}

fn shape(one: &Drawn, middle: f64, top: f64) -> Markup {
    html! {
        g class={ "node" @if !one.look.class.is_empty() { " " (one.look.class) } } {
            title { (text::reveal(&one.title)) }
            rect x=(at(middle - BOX_WIDTH / 2.0)) y=(at(top)) width=(at(BOX_WIDTH))
                height=(at(BOX_HEIGHT)) rx="6" {}
            text class="kind" x=(at(middle)) y=(at(top + 16.0)) text-anchor="middle" {
                (text::cut(&text::reveal(&one.kind), 20))
            }
            text x=(at(middle)) y=(at(top + 32.0)) text-anchor="middle" {
                (text::cut(&text::reveal(one.look.label.as_ref().unwrap_or(&one.label)), 22))
            }
        }
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
