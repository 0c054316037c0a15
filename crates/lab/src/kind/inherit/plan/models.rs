//! The models that a plan begins from.

use std::collections::BTreeMap;

use super::cost::{Pace, Tokens};
use super::find;
use super::nodes::Bound;
use crate::ask;
use crate::error::{Error, Result};
use crate::model::ModelSource;
use crate::model::spec::{Endpoint, Spec};
use crate::model::world::World;
use crate::run::plan::{Builder, PlanContext};

/// The models that a plan begins from.
#[derive(Default)]
pub(super) struct Models {
    /// Files of those outside the store, by digest.
    pub(super) sources: BTreeMap<String, ModelSource>,
    /// Where others answer.
    pub(super) endpoints: Vec<Endpoint>,
}

impl Models {
    /// The files of a model that is here, and the world it grew up in, if it did.
    pub(super) fn find(
        spec: &Spec,
        context: &PlanContext,
    ) -> Result<(Option<ModelSource>, Option<World>)> {
        let Some(name) = spec.here() else { return Ok((None, None)) };
        let source = ModelSource::find(name, &context.places)?;
        let world = source.world()?;
        Ok((Some(source), world))
    }

    /// Adds the model that `spec` names to the plan, as the node of this name and at this place in the
    /// recipe.
    pub(super) fn bind<'a>(
        &mut self,
        build: &mut Builder,
        (name, at): (&str, &str),
        spec: &'a Spec,
        source: Option<ModelSource>,
        tokens: Tokens,
    ) -> Result<Bound<'a>> {
        let can = ask::can(spec);
        let (node, pace) = match (spec, source) {
            (Spec::Endpoint(endpoint), _) => {
                let at_once = endpoint.requests_at_once as f64;
                self.endpoints.push(Endpoint { at: at.to_owned(), ..(**endpoint).clone() });
                (find::endpoint(build, name, endpoint)?, Pace::Waited { at_once })
            }
            (Spec::Here(name_of_model), source) => {
                let source = source.ok_or_else(|| Error::record(name_of_model, "is not found"))?;
                let parameters = source.parameters();
                let node = find::base(build, &mut self.sources, name, source, parameters)?;
                (node, Pace::Weights { parameters, tokens })
            }
        };
        Ok(Bound { node, spec, can, pace })
    }
}
