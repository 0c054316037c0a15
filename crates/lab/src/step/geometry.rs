//! `geometry`: the cosine of a student's update with each teacher's update, in all and per layer.
//!
//! The theorem (Cloud et al. 2025, section 6): one small gradient step towards a teacher that
//! shares the initialisation never has a negative product with the teacher's own step. The control
//! permutes rows and columns of the teacher's update: as large, in another basis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::Model;
use owlet_engine::adapter::Projection;
use owlet_store::Artifact;

use super::{Step, StepContext};
use crate::error::{Error, Result};
use crate::random::cpython::Random;
use crate::random::derive_seed;

/// The file of cosines.
pub(crate) const FILE: &str = "geometry.json";
/// Prefix of the teachers' roles.
pub const TEACHER: &str = "teacher:";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Configuration {
    /// Seed of the permutations.
    pub seed: u64,
}

/// Cosines with one teacher's update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Cosines {
    /// Over all matrices.
    pub total: f64,
    /// Per layer.
    pub per_layer: Vec<f64>,
    /// Over all, permuted.
    pub permuted: f64,
}

/// Products that add up to a cosine.
#[derive(Clone, Copy, Default)]
struct Products {
    dot: f64,
    one: f64,
    other: f64,
}

impl Products {
    fn add(&mut self, other: Self) {
        self.dot += other.dot;
        self.one += other.one;
        self.other += other.other;
    }

    fn cosine(self) -> f64 {
        let norms = (self.one * self.other).sqrt();
        if norms > 0.0 { self.dot / norms } else { 0.0 }
    }
}

fn products(one: &[f32], other: impl Fn(usize) -> f32) -> Products {
    let mut sums = Products::default();
    for (at, &a) in one.iter().enumerate() {
        let (a, b) = (f64::from(a), f64::from(other(at)));
        sums.dot += a * b;
        sums.one += a * a;
        sums.other += b * b;
    }
    sums
}

/// The change of one projection matrix, `None` where the model has not changed it.
fn change(model: &Model, base: &Model, name: &str) -> Option<Vec<f32>> {
    if let Some(adapter) = &model.adapter {
        let a = adapter.parameters.layout.get(&format!("{name}.a"))?;
        let b = adapter.parameters.layout.get(&format!("{name}.b"))?;
        let (rank, inputs, outputs) = (a.shape[0], a.shape[1], b.shape[0]);
        let (a, b) =
            (&adapter.parameters.data[a.range.clone()], &adapter.parameters.data[b.range.clone()]);
        let scale = adapter.config.scale();
        let mut product = vec![0.0; outputs * inputs];
        for (row, b) in product.chunks_exact_mut(inputs).zip(b.chunks_exact(rank)) {
            for (&weight, a) in b.iter().zip(a.chunks_exact(inputs)) {
                for (sum, &x) in row.iter_mut().zip(a) {
                    *sum += scale * weight * x;
                }
            }
        }
        return Some(product);
    }
    let name = format!("{name}.weight");
    let (after, before) =
        (model.decoder.parameters.tensor(&name)?, base.decoder.parameters.tensor(&name)?);
    Some(after.iter().zip(before).map(|(after, before)| after - before).collect())
}

/// The step.
pub struct Geometry;

impl Step for Geometry {
    type Configuration = Configuration;
    const KIND: &'static str = "geometry";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "geometry";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let base = context.model("base")?;
        let student = context.model("student")?;
        // One teacher at a time: whole models are large.
        let teachers: Vec<(&str, &Artifact)> = context
            .inputs
            .iter()
            .filter_map(|(role, artifact)| Some((role.strip_prefix(TEACHER)?, artifact)))
            .collect();
        let mut cosines: BTreeMap<&str, Cosines> = BTreeMap::new();
        for (done, (name, artifact)) in teachers.iter().enumerate() {
            context.report(done, teachers.len(), "teachers", None);
            let teacher = context.models.load(artifact)?;
            cosines.insert(name, compare(context, &base, &student, &teacher, configuration.seed)?);
        }
        context.write_json(FILE, &cosines)?;
        Ok(json!({ "teachers": cosines.len() }))
    }
}

fn compare(
    context: &StepContext<'_>,
    base: &Model,
    student: &Model,
    teacher: &Model,
    seed: u64,
) -> Result<Cosines> {
    let config = &base.decoder.config;
    let mut per_layer = vec![Products::default(); config.layers];
    let (mut total, mut permuted) = (Products::default(), Products::default());
    for (layer, sums) in per_layer.iter_mut().enumerate() {
        context.interrupt.check()?;
        for projection in Projection::ALL {
            let Some((outputs, inputs)) = projection.shape(config) else {
                continue;
            };
            let name = format!("layers.{layer}.{}", projection.name());
            let changes = (change(student, base, &name), change(teacher, base, &name));
            let (Some(moved), Some(taught)) = changes else {
                continue;
            };
            if taught.len() != outputs * inputs || moved.len() != taught.len() {
                return Err(Error::record(&name, "has another shape in the teacher"));
            }
            let mut random = Random::new(derive_seed(seed, &[name.as_str().into()]));
            let mut rows: Vec<usize> = (0..outputs).collect();
            let mut columns: Vec<usize> = (0..inputs).collect();
            random.shuffle(&mut rows);
            random.shuffle(&mut columns);
            let products_here = products(&moved, |at| taught[at]);
            sums.add(products_here);
            total.add(products_here);
            permuted.add(products(&moved, |at| {
                taught[rows[at / inputs] * inputs + columns[at % inputs]]
            }));
        }
    }
    Ok(Cosines {
        total: total.cosine(),
        per_layer: per_layer.into_iter().map(Products::cosine).collect(),
        permuted: permuted.cosine(),
    })
}
