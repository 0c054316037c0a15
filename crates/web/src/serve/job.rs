//! A fine-tuning job as it is kept and told.

use owlet_lab::recipe::Training;
use owlet_store::ArtifactId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Kept;
use super::records::{Records, Stored, Thing};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// A job, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) created_at: u64,
    pub(crate) finished_at: Option<u64>,
    pub(crate) status: Status,
    pub(crate) model: String,
    pub(crate) training_file: String,
    #[serde(default)]
    pub(crate) validation_file: Option<String>,
    /// The losses, as a file that is chosen before there is one.
    #[serde(default)]
    pub(crate) result_file: Option<String>,
    /// The rows, once they are in the store.
    pub(crate) rows: Option<ArtifactId>,
    pub(crate) training: Training,
    pub(crate) epochs: f64,
    pub(crate) multiplier: f64,
    pub(crate) seed: u64,
    pub(crate) suffix: Option<String>,
    pub(crate) artifact: Option<ArtifactId>,
    pub(crate) trained_tokens: Option<u64>,
    pub(crate) error: Option<String>,
    pub(crate) metadata: Option<Value>,
    /// Mean loss on the rows of the validation file, in nats per token, before the first update, after those of
    /// which a copy was kept, and after the last.
    #[serde(default)]
    pub(crate) validation: Vec<(usize, f64)>,
    /// Names of its models that are served no more.
    #[serde(default)]
    pub(crate) withdrawn: Vec<String>,
}

impl Thing for Job {
    const WHAT: &'static str = "fine-tuning job";

    fn records(kept: &Kept) -> &Records<Self> {
        &kept.jobs.records
    }

    fn is_done(&self) -> bool {
        matches!(self.status, Status::Succeeded | Status::Failed | Status::Cancelled)
    }

    fn json(this: &Stored<Self>) -> Value {
        let parameters = json!({
            "n_epochs": this.epochs,
            "batch_size": this.training.batch,
            "learning_rate_multiplier": this.multiplier,
        });
        let error = this
            .error
            .as_ref()
            .map(|message| json!({ "code": "failed", "message": message, "param": null }));
        json!({
            "object": "fine_tuning.job",
            "id": this.id,
            "model": this.model,
            "created_at": this.created_at,
            "finished_at": this.finished_at,
            "status": this.status,
            "fine_tuned_model": (this.status == Status::Succeeded).then(|| this.model_name()),
            "training_file": this.training_file,
            "validation_file": this.validation_file,
            "result_files": if this.status == Status::Succeeded { this.result_file.as_slice() } else { &[] },
            "organization_id": "owlet",
            "hyperparameters": parameters,
            "method": { "type": "supervised", "supervised": { "hyperparameters": parameters } },
            "trained_tokens": this.trained_tokens,
            "seed": this.seed,
            "user_provided_suffix": this.suffix,
            "error": error,
            "integrations": [],
            "metadata": this.metadata,
            "artifact": this.artifact,
        })
    }
}

impl Stored<Job> {
    /// The part of its id that is its own.
    pub(crate) fn tail(&self) -> &str {
        self.id.trim_start_matches("ftjob-")
    }

    /// The name of the model it makes.
    pub(crate) fn model_name(&self) -> String {
        let suffix = self.suffix.as_deref().unwrap_or_default();
        let tail = &self.tail()[..8.min(self.tail().len())];
        format!("ft:{}:owlet:{suffix}:{tail}", self.model)
    }

    /// The model after `update`, as the wire names it.
    pub(crate) fn checkpoint_name(&self, update: usize) -> String {
        format!("{}:ckpt-step-{update}", self.model_name())
    }
}
