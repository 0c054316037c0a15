//! The graph of a sweep: the graphs of its points, in which equal steps are one, and a step that judges them all.

use std::collections::BTreeMap;

use super::judge::{self, Judge};
use super::recipe::SweepRecipe;
use crate::error::{Error, Result};
use crate::kind::inherit;
use crate::run::plan::{Builder, Node, Outline, PlanContext, Source, named};
use crate::stats;
use crate::step::behavior;
use crate::value::text;

/// Steps of several plans, equal ones once.
#[derive(Default)]
struct Union {
    nodes: Vec<Node>,
    /// By all that makes a step what it is, where it stands.
    known: BTreeMap<String, usize>,
    /// By node, the first point that needs it.
    of: Vec<usize>,
    /// Steps of all points, shared ones as often as they are needed.
    all: usize,
}

impl Union {
    /// Adds a point's steps and returns where each stands.
    fn add(&mut self, point: usize, nodes: Vec<Node>) -> Vec<Source> {
        let mut stands: Vec<Source> = Vec::with_capacity(nodes.len());
        self.all += nodes.len();
        for mut node in nodes {
            for source in node.inputs.values_mut() {
                if let Source::Node(place) = source {
                    *source = stands[*place];
                }
            }
            let content = format!("{} {} {:?}", node.kind.name, node.configuration, node.inputs);
            let next = self.nodes.len();
            let place = *self.known.entry(content).or_insert(next);
            if place == next {
                self.nodes.push(node);
                self.of.push(point);
            }
            stands.push(Source::Node(place));
        }
        stands
    }

    /// The steps; those of one name that differ say which point they are of.
    fn into_nodes(mut self) -> Vec<Node> {
        let mut named: BTreeMap<String, usize> = BTreeMap::new();
        for node in &self.nodes {
            *named.entry(node.name.clone()).or_default() += 1;
        }
        for (node, point) in self.nodes.iter_mut().zip(&self.of) {
            if named[&node.name] > 1 {
                node.name = judge::role(*point, &node.name);
            }
        }
        self.nodes
    }
}

pub(super) fn plan(recipe: &SweepRecipe, context: &PlanContext) -> Result<Outline> {
    let mut union = Union::default();
    let mut whole = Outline::default();
    let (mut points, mut inputs) = (Vec::new(), BTreeMap::new());
    for (number, point) in recipe.points.iter().enumerate() {
        let mut outline = inherit::plan::plan(&point.recipe, context)?;
        let Some(last) = outline.nodes.pop() else { continue };
        let stands = union.add(number, outline.nodes);
        if number == 0 {
            let before = stands[..outline.first].iter().filter_map(|source| match source {
                Source::Node(place) => Some(place + 1),
                Source::Artifact(_) => None,
            });
            whole.first = before.max().unwrap_or(0);
        }
        for (role, source) in last.inputs {
            let source = match source {
                Source::Node(place) => stands[place],
                artifact @ Source::Artifact(_) => artifact,
            };
            // What was asked is no point's own: by it results of the same recipe are told apart.
            if number == 0 && role.starts_with(behavior::READ) {
                inputs.insert(role.clone(), source);
            }
            inputs.insert(judge::role(number, &role), source);
        }
        let estimate = serde_json::from_value(last.configuration)
            .map_err(|error| Error::record(point.at.as_str(), error))?;
        let (at, places) = (point.at.clone(), point.places.clone());
        points.push(judge::Point { at, places, estimate });
        whole.sources.extend(outline.sources);
        for endpoint in outline.endpoints {
            if !whole.endpoints.contains(&endpoint) {
                whole.endpoints.push(endpoint);
            }
        }
        for words in outline.left_out {
            if !whole.left_out.contains(&words) {
                whole.left_out.push(words);
            }
        }
        whole.model_size = outline.model_size;
    }
    let axes = recipe.axes.iter().map(|axis| judge::Axis {
        key: axis.key.clone(),
        values: axis.values.iter().map(toml::Value::to_string).collect(),
    });
    let mut common = serde_json::to_value(recipe)
        .map_err(|error| Error::record(recipe.common.name.as_str(), error))?;
    common["base"] = serde_json::to_value(recipe.common.base.without_limits())
        .map_err(|error| Error::record("base", error))?;
    let configuration = judge::Configuration {
        recipe: common,
        axes: axes.collect(),
        points,
        left_out: whole.left_out.clone(),
    };
    let apart = recipe.points.len() + union.all;
    let mut build = Builder { nodes: union.into_nodes() };
    let inputs: Vec<(String, Source)> = inputs.into_iter().collect();
    build.node::<Judge>("sweep", &configuration, &named(&inputs), 0.0)?;
    whole.nodes = build.nodes;
    whole.power = format!(
        "{} instead of {} in runs of their own; {}",
        text::counted(whole.nodes.len(), "step"),
        text::count(apart),
        power(recipe)
    );
    Ok(whole)
}

/// What the recipe's repetitions can tell from nothing at one point, corrected over all of them.
fn power(recipe: &SweepRecipe) -> String {
    let common = &recipe.common;
    let (repetitions, points) = (common.seeds.0.len(), recipe.points.len());
    if repetitions < 2 {
        return "one repetition decides nothing: set seeds = 6 or more".to_owned();
    }
    let verdicts = common.behaviors.len() * points;
    let effect = stats::detectable(repetitions, (1.0 - common.gates.level) / verdicts as f64);
    format!(
        "{} at each of {} tell a difference of {effect:.1} standard deviations between them from none, four times in five ({} corrected together)",
        text::counted(repetitions, "repetition"),
        text::counted(points, "point"),
        text::counted(verdicts, "verdict"),
    )
}
