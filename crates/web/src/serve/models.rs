//! The models that are served: those named at start, and fine-tuned ones as they come.

use std::sync::{Arc, PoisonError, RwLock};

use owlet_engine::Model;
use owlet_lab::model::ModelSource;
use serde_json::{Value, json};

use super::refusal::Refusal;

/// A model under a name.
#[derive(Debug)]
pub struct Served {
    /// The name clients use.
    pub id: Arc<str>,
    /// The model.
    pub model: Model,
    /// Stands before every conversation that has no system text of its own.
    pub system_prompt: Option<String>,
    /// Seconds since 1970.
    pub created: u64,
    /// The name of the model it was fine-tuned from.
    pub parent: Option<String>,
    /// Its files, if it is a base that can be fine-tuned.
    pub source: Option<ModelSource>,
}

impl Served {
    /// As `/v1/models` tells it.
    pub(crate) fn json(&self) -> Value {
        let config = &self.model.decoder.config;
        json!({
            "id": &*self.id,
            "object": "model",
            "created": self.created,
            "owned_by": "owlet",
            "root": self.parent.as_deref().unwrap_or(&self.id),
            "parent": self.parent,
            "max_model_len": config.context,
            "vocabulary": config.vocabulary,
        })
    }
}

/// All models served, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Models(RwLock<Vec<Arc<Served>>>);

impl Models {
    pub(crate) fn new(models: Vec<Served>) -> Self {
        Self(RwLock::new(models.into_iter().map(Arc::new).collect()))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Served>>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a model, in the place of one of its name if there is one.
    pub(crate) fn add(&self, model: Served) {
        let model = Arc::new(model);
        self.change(|all| match all.iter_mut().find(|other| other.id == model.id) {
            Some(other) => *other = model,
            None => all.push(model),
        });
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Arc<Served>> {
        self.change(|all| {
            let at = all.iter().position(|model| &*model.id == id)?;
            Some(all.remove(at))
        })
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Served>> {
        self.all().into_iter().find(|model| &*model.id == id)
    }

    /// The model a request names; without a name, the only one there is.
    pub(crate) fn named(&self, id: Option<&str>) -> Result<Arc<Served>, Refusal> {
        let all = self.all();
        let Some(id) = id else {
            return match all.as_slice() {
                [only] => Ok(Arc::clone(only)),
                _ => Err(Refusal::field("model", "is missing, and more than one is served")),
            };
        };
        self.get(id).ok_or_else(|| {
            let names: Vec<String> = all.iter().take(8).map(|m| format!("`{}`", m.id)).collect();
            let id: String = id.chars().take(200).collect();
            Refusal {
                field: Some("model".to_owned()),
                ..Refusal::new(
                    axum::http::StatusCode::NOT_FOUND,
                    format!("the model `{id}` is not served here; these are: {}", names.join(", ")),
                )
                .coded("model_not_found")
            }
        })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Served>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
