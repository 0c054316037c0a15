//! The models that are served: those named at start, and fine-tuned ones as they come.

use std::collections::BTreeMap;
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

/// All models served, by name.
#[derive(Debug, Default)]
pub(crate) struct Models {
    first: RwLock<Vec<Arc<Served>>>,
    found: RwLock<BTreeMap<String, Arc<Served>>>,
}

impl Models {
    pub(crate) fn new(models: Vec<Served>) -> Self {
        let models: Vec<Arc<Served>> = models.into_iter().map(Arc::new).collect();
        let found = models.iter().map(|model| (model.id.to_string(), Arc::clone(model))).collect();
        Self { first: RwLock::new(models), found: RwLock::new(found) }
    }

    pub(crate) fn add(&self, model: Served) {
        let model = Arc::new(model);
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        if found.insert(model.id.to_string(), Arc::clone(&model)).is_none() {
            self.first.write().unwrap_or_else(PoisonError::into_inner).push(model);
        }
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Arc<Served>> {
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        self.first.write().unwrap_or_else(PoisonError::into_inner).retain(|model| &*model.id != id);
        found.remove(id)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Served>> {
        self.found.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
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

    /// All, in the order they came.
    pub(crate) fn all(&self) -> Vec<Arc<Served>> {
        self.first.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
