//! A fine-tuning job as it is kept and told.

use owlet_engine::train::Rewards;
use owlet_lab::recipe::Training;
use owlet_store::ArtifactId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Kept;
use super::records::{Records, Stored, Thing};

/// How rows are learned: answers, or which of two is the better one.
pub(crate) const SUPERVISED: &str = "supervised";
pub(crate) const DPO: &str = "dpo";

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
    /// Where preferences are learned, the strength of the pull to the model before.
    #[serde(default)]
    pub(crate) beta: Option<f32>,
    pub(crate) epochs: f64,
    pub(crate) multiplier: f64,
    pub(crate) seed: u64,
    pub(crate) suffix: Option<String>,
    pub(crate) artifact: Option<ArtifactId>,
    pub(crate) trained_tokens: Option<u64>,
    pub(crate) error: Option<String>,
    /// The field of the request that is at fault.
    #[serde(default)]
    pub(crate) error_field: Option<String>,
    pub(crate) metadata: Option<Value>,
    /// Mean loss on the rows of the validation file, in nats per token, before the first update, after those of
    /// which a copy was kept, and after the last.
    #[serde(default)]
    pub(crate) validation: Vec<(usize, f64)>,
    /// The rewards beside them, of preferences.
    #[serde(default)]
    pub(crate) validation_rewards: Vec<(usize, Rewards)>,
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
        let mut parameters = json!({
            "n_epochs": this.epochs,
            "batch_size": this.training.batch,
            "learning_rate_multiplier": this.multiplier,
        });
        let method = if this.beta.is_some() { DPO } else { SUPERVISED };
        if let Some(beta) = this.beta {
            // As it was written: its neighbour in 64 bits is longer.
            parameters["beta"] = beta.to_string().parse::<f64>().unwrap_or_default().into();
        }
        let error = this.error.as_ref().map(|message| {
            let field = this.error_field.as_deref();
            let code = field.map_or("failed".to_owned(), |field| format!("invalid_{field}"));
            json!({ "code": code, "message": message, "param": field })
        });
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
            "hyperparameters": if method == SUPERVISED { parameters.clone() } else { Value::Null },
            "method": { "type": method, method: { "hyperparameters": parameters } },
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
