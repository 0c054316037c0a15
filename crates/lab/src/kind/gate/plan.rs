//! The graph of a `gate` recipe: a screen, and beside it who wrote the rows and whether the two share a base.

use super::judge::{self, Judge};
use super::recipe::GateRecipe;
use super::same_base::{self, SameBase};
use super::writer::{self, WriterStep};
use crate::error::Result;
use crate::kind::models::Models;
use crate::kind::screen::plan::{self as screen, Laid};
use crate::random::derive_seed;
use crate::run::plan::{Builder, Outline, PlanContext, Source, named};

pub(super) fn plan(recipe: &GateRecipe, context: &PlanContext) -> Result<Outline> {
    let (mut build, mut models) = (Builder::default(), Models::default());
    let laid = screen::lay(&recipe.screen(), context, &mut build, &mut models)?;
    let mut inputs = vec![(judge::SCREEN.to_owned(), laid.result)];
    let mut candidates = vec![(recipe.base.to_string(), laid.base)];
    if recipe.names_teacher() {
        let mut bind = |build: &mut Builder, name: &str, spec: &str| {
            models.bind_weights(build, name, spec, context)
        };
        let teacher = bind(&mut build, "teacher", &recipe.teacher)?;
        candidates.push((recipe.teacher.clone(), teacher));
        for (at, spec) in recipe.candidates.iter().enumerate() {
            let name = format!("candidate/{}", at + 1);
            candidates.push((spec.clone(), bind(&mut build, &name, spec)?));
        }
        let names = [recipe.base.to_string(), recipe.teacher.clone()];
        let seed = derive_seed(recipe.seed, &["same-base".into()]);
        let from = [("base", laid.base), ("teacher", teacher)];
        let configuration = same_base::Configuration { names, seed };
        let same = build.node::<SameBase>("same-base", &configuration, &from, 0.0)?;
        inputs.push((judge::SAME_BASE.to_owned(), same));
    }
    // A writer who is nobody's candidate is taken for whichever is nearest: the probes stand in for such.
    let probe = |(name, node): &(String, Source)| (format!("{}{name}", judge::PROBE), *node);
    candidates.extend(laid.probes.iter().map(probe));
    let asks_writer = candidates.len() > 1;
    if asks_writer {
        let wrote = writer(recipe, &mut build, laid.rows, candidates, laid.probes.len())?;
        inputs.push((judge::WRITER.to_owned(), wrote));
    }
    let configuration = judge::Configuration {
        name: recipe.name.clone(),
        description: recipe.description.clone(),
        base: recipe.base.to_string(),
        teacher: recipe.names_teacher().then(|| recipe.teacher.clone()),
        asks_writer,
        gates: recipe.gates,
    };
    build.node::<Judge>("gate", &configuration, &named(&inputs), 0.0)?;
    let (Laid { left_out, model_size, .. }, Models { sources, endpoints }) = (laid, models);
    let nodes = build.nodes;
    Ok(Outline { nodes, sources, left_out, model_size, endpoints, ..Outline::default() })
}

/// Who of `candidates` wrote the rows.
fn writer(
    recipe: &GateRecipe,
    build: &mut Builder,
    rows: Source,
    candidates: Vec<(String, Source)>,
    stand_ins: usize,
) -> Result<Source> {
    let (names, from): (Vec<String>, Vec<Source>) = candidates.into_iter().unzip();
    let mut inputs = vec![("rows".to_owned(), rows)];
    for (at, source) in from.into_iter().enumerate() {
        inputs.push((format!("{}{at}", writer::CANDIDATE), source));
    }
    let configuration = writer::Configuration {
        names,
        stand_ins,
        temperature: recipe.likelihood.temperature,
        level: 1.0 - recipe.error(),
        rows: recipe.most_rows,
        seed: derive_seed(recipe.seed, &["writer".into()]),
    };
    build.node::<WriterStep>("writer", &configuration, &named(&inputs), 0.0)
}
