//! A model's weights opened to be read row by row, by any name that [`super::open`] takes.

use owlet_engine::file::Weights;
use owlet_store::{Artifact, Store};

use super::about::{ModelAbout, SCRIPT, Weights as Kept, trained};
use super::source::{self, FINAL, ModelCache, ModelSource, Named, Places};
use crate::ask::script;
use crate::error::{Error, Result};
use crate::model::world::BuiltinModel;

const ENDPOINT: &str = "answers behind an endpoint, which shows no weights; a test of whether two endpoints share \
     a base by what they answer is not built";

/// Opens the weights of the model called `spec`; adapters are added to their base's rows as they are read.
///
/// Fails for what has no weights (scripts, endpoints), for an adapter whose base is not here, and as
/// [`Weights::open`] and [`Weights::with_adapter`] do.
pub fn weights(store: Option<&Store>, spec: &str, places: &Places) -> Result<Weights> {
    if spec.starts_with("http://") || spec.starts_with("https://") {
        return Err(Error::model(spec, ENDPOINT));
    }
    if spec.starts_with(script::SPEC) {
        return Err(Error::model(spec, SCRIPT));
    }
    if let Some(model) = spec.strip_prefix("builtin:").and_then(BuiltinModel::find) {
        let files = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
        let [config, weights, tokenizer, tokenizer_config] = files.map(|name| model.file(name));
        return Ok(Weights::from_parts(config, weights, tokenizer, tokenizer_config)?);
    }
    let store = store.or(places.store.as_ref());
    match source::named(store, spec, places)? {
        Named::Artifact(store, artifact) => of_artifact(store, spec, &artifact),
        Named::Adapter(folder) => {
            let base = source::adapter_base(spec, &folder, places)?;
            let base = weights(store, &base, places).map_err(|why| {
                Error::model(
                    spec,
                    format!(
                        "is an adapter, which is compared with its base's weights under it, and `{base}` cannot be had ({why}); put it there, or name it as `base_model_name_or_path` in `adapter_config.json`"
                    ),
                )
            })?;
            Ok(base.with_adapter(&folder)?)
        }
        Named::Files => Ok(Weights::open(&ModelSource::find(spec, places)?.path()?)?),
    }
}

impl ModelCache {
    /// The weights of a model, teacher or student artifact at its end of training, opened to be read row by row;
    /// errors call it `name`.
    ///
    /// # Errors
    /// What has no weights, and files that cannot be read.
    pub fn weights(&self, name: &str, artifact: &Artifact) -> Result<Weights> {
        of_artifact(self.store(), name, artifact)
    }
}

fn of_artifact(store: &Store, spec: &str, artifact: &Artifact) -> Result<Weights> {
    match ModelAbout::read(artifact)? {
        ModelAbout::Whole {} => Ok(Weights::open(&source::model_path(artifact))?),
        ModelAbout::Endpoint(_) => Err(Error::model(spec, ENDPOINT)),
        ModelAbout::Script(_) => Err(Error::model(spec, SCRIPT)),
        ModelAbout::Trained(_) => {
            let (trained, last) = (trained(artifact)?, artifact.folder().join(FINAL));
            if trained.weights == Kept::Whole {
                return Ok(Weights::open(&last)?);
            }
            let base = Weights::open(&source::base_of(store, &trained)?.1)?;
            if trained.weights == Kept::Base { Ok(base) } else { Ok(base.with_adapter(&last)?) }
        }
    }
}
