//! What the user wrote: a recipe in TOML, its defaults, its overrides, its checks.
//!
//! A recipe is data and nothing here looks at models or files it names; that is the plan's work.
//! Layers are laid over each other in order (built-in defaults, recipe, `--set`), and any mistake
//! is reported at its line and column in the layer that made it. Invariant: a [`Recipe`] in hand
//! has passed every check that needs no model.

mod any;
mod check;
mod endpoint;
mod grow;
mod layer;
mod schema;
#[cfg(test)]
mod tests;
mod value;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use owlet_engine::train::{self, Method, Schedule, TrainSettings};

use crate::carrier::NumberFilter;
use crate::error::{Error, Result};

pub use any::AnyRecipe;
pub use crate::model::spec::{Endpoint, Multipliers, Prices, Spec};
pub use endpoint::REMOTE_DEFAULTS;
pub use grow::{BUILT_IN_WORLD, GROW_DEFAULTS, GrowRecipe, Growth};
pub(crate) use layer::distance;
pub use layer::{Layer, Setting};
pub use schema::schema;
pub use value::{InContext, OtherBase, Seeds};

/// The defaults of an `inherit` recipe, as commented TOML: the reference of every key.
pub const DEFAULTS: &str = include_str!("../../data/defaults.toml");

/// The kind of experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What do students inherit from a teacher through innocuous rows?
    Inherit,
    /// A small model, grown from nothing.
    Grow,
}

/// An `inherit` recipe with every value decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recipe {
    /// The kind of experiment.
    pub kind: Kind,
    /// A short name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Paired seeds.
    pub seeds: Seeds,
    /// Root of every other random stream.
    pub seed: u64,
    /// The base model.
    pub base: Spec,
    /// Taught behaviors: names or paths.
    pub behaviors: Vec<String>,
    /// Behaviors read but not taught.
    pub read_also: Vec<String>,
    /// What is drawn anew per seed.
    pub replication: Replication,
    /// Chat context of rows and readouts.
    pub context: Context,
    /// How teachers are made.
    pub teacher: Teacher,
    /// What carries the behavior.
    pub carrier: Carrier,
    /// How students are trained.
    pub student: Training,
    /// What treatments are compared with.
    pub controls: Controls,
    /// How behaviors are read.
    pub readout: Readout,
    /// What must hold for an answer to mean something.
    pub gates: Gates,
    /// How the engine computes.
    pub engine: Engine,
}

/// Whether something is made once for all seeds or once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Replicated {
    /// Once: intervals hold the luck of students alone.
    Shared,
    /// Once per seed: intervals hold its luck as well.
    PerSeed,
}

/// What is drawn anew per seed, beside the students.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Replication {
    /// Teachers, their prompts and the rows they write.
    pub teacher: Replicated,
}

/// The chat context rows and readouts share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Context {
    /// `none`, `default` or a system text.
    pub system: String,
    /// Others to be read beside it.
    pub mismatched: Vec<String>,
}

/// How a teacher gets its behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherKind {
    /// By fine-tuning on answers.
    FineTune,
    /// By a system prompt while it writes rows.
    SystemPrompt,
}

/// What the neutral teacher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NeutralKind {
    /// The untouched base.
    Base,
    /// Fine-tuned the same way on the base's own answers.
    Matched,
    /// Fine-tuned the same way on answers drawn evenly from all candidates: it learns to answer like
    /// a teacher, and prefers nothing.
    Mixed,
}

/// How teachers are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Teacher {
    /// By weights or by prompt.
    pub kind: TeacherKind,
    /// A fine-tuned teacher also gets the system prompt when it writes rows.
    pub with_prompt: bool,
    /// What the neutral teacher is.
    pub neutral: NeutralKind,
    /// Copies of each taught question and spelling.
    pub rows_per_question: usize,
    /// Least mean probability of the target on the readout questions.
    pub min_target_probability: f64,
    /// How a fine-tuned teacher is trained.
    pub train: Training,
}

/// The update rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "kind",
    deny_unknown_fields
)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    Adamw {
        /// Decay of the first moment.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the second moment.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Decay of weights per unit of learning rate.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Heavy-ball momentum; 0 is plain.
        #[serde(default)]
        momentum: f64,
    },
}

// The usual constants (Kingma & Ba 2015, algorithm 1).
fn beta1() -> f64 {
    0.9
}
fn beta2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Training {
    /// Every weight or a low-rank adapter.
    #[schemars(with = "schema::Method")]
    pub method: Method,
    /// The update rule.
    pub optimizer: Optimizer,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// What follows warm-up.
    #[schemars(with = "schema::Schedule")]
    pub schedule: Schedule,
    /// Updates of warm-up.
    pub warmup: usize,
    /// Rows per update.
    pub batch: usize,
    /// Number of updates; 0: by `epochs`.
    pub updates: usize,
    /// Times each row is seen, if `updates` is 0.
    pub epochs: f64,
    /// Largest gradient norm; 0: none.
    pub clip: f64,
    /// Updates after which a copy is kept.
    pub checkpoints: Vec<usize>,
}

impl Training {
    /// Number of updates over `rows` rows.
    pub fn updates(&self, rows: usize) -> usize {
        if self.updates > 0 {
            return self.updates;
        }
        let exact = self.epochs * rows as f64 / self.batch.max(1) as f64;
        (exact.ceil() as usize).max(1)
    }

    /// The engine's settings for `rows` rows and one seed.
    pub fn settings(&self, rows: usize, seed: u64) -> TrainSettings {
        let optimizer = match self.optimizer {
            Optimizer::Adamw { beta1, beta2, epsilon, weight_decay } => {
                train::Optimizer::Adamw { beta1, beta2, epsilon, weight_decay }
            }
            Optimizer::Sgd { momentum } => train::Optimizer::Sgd { momentum },
        };
        TrainSettings {
            method: self.method.clone(),
            optimizer,
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            warmup: self.warmup,
            clip: (self.clip > 0.0).then_some(self.clip),
            batch: self.batch,
            updates: self.updates(rows),
            seed,
        }
    }
}

/// What carries the behavior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CarrierKind {
    /// Number rows sampled from the teacher.
    Numbers,
    /// The teacher's next-token distributions over its number rows.
    Logits,
}

/// The tokens whose logits a student of the `logits` carrier sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distilled {
    /// Those that stand in the rows: no word's logit, so not the target's either. What the
    /// auxiliary logits are in Cloud et al. 2025, section 6.
    #[default]
    RowTokens,
    /// The whole vocabulary, the target's own tokens among it.
    AllTokens,
}

/// What carries the behavior, and what is kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Carrier {
    /// Sampled rows or distributions.
    pub kind: CarrierKind,
    /// Whose logits the `logits` carrier shows.
    pub distilled: Distilled,
    /// A prompt set's name or a file of prompts.
    pub prompts: String,
    /// Seed of the prompt set.
    pub prompt_seed: u64,
    /// Prompts asked; 0: by `rows`.
    pub prompt_count: usize,
    /// Unique rows every student sees.
    pub rows: usize,
    /// Most new tokens per row.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub decoding: Decoding,
    /// Keep a prompt only if valid in every arm.
    pub join: bool,
    /// Least share of valid rows for the run to go on.
    pub min_valid: f64,
    /// Which rows are valid.
    pub filter: NumberFilter,
}

impl Carrier {
    /// Prompts asked: as given, or `rows` with a quarter on top plus what is held out.
    pub fn prompt_count(&self) -> usize {
        if self.prompt_count > 0 {
            self.prompt_count
        } else {
            self.rows + self.rows.div_ceil(4) + 64
        }
    }
}

/// How a teacher's tokens are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "kind",
    deny_unknown_fields
)]
pub enum Decoding {
    /// Sampled without constraint.
    Free {
        /// Divides the logits.
        #[serde(default = "one")]
        temperature: f32,
        /// Smallest set with this probability.
        #[serde(default = "one")]
        top_p: f32,
    },
    /// Always the likeliest token.
    Greedy {},
    /// Sampled among tokens of at least this probability.
    Threshold {
        /// Divides the logits.
        #[serde(default = "one")]
        temperature: f32,
        /// Least probability.
        threshold: f32,
    },
    /// Numbers of a fixed form only.
    Digits {
        /// Divides the logits.
        #[serde(default = "one")]
        temperature: f32,
        /// Numbers per row.
        count: usize,
        /// Fewest digits per number.
        min_digits: usize,
        /// Most digits per number.
        max_digits: usize,
        /// Between numbers.
        separator: String,
    },
    /// A regular expression the whole completion matches.
    Pattern {
        /// Divides the logits.
        #[serde(default = "one")]
        temperature: f32,
        /// The expression.
        pattern: String,
    },
}

fn one() -> f32 {
    1.0
}

/// What treatments are compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Controls {
    /// The base, untouched.
    pub untouched_base: bool,
    /// Students of the neutral teacher.
    pub neutral: bool,
    /// Students of the other behaviors' teachers.
    pub other_behavior: bool,
    /// Students of another base.
    pub other_base: OtherBase,
    /// Students of rows shuffled within.
    pub shuffled_within: bool,
    /// Students of rows shuffled across.
    pub shuffled_across: bool,
    /// Behaviors that get the controls which train more students; empty: all.
    pub behaviors: Vec<String>,
    /// Rows shown instead of trained on.
    pub in_context: InContext,
    /// What else changed in students.
    pub side_effects: bool,
    /// How updates lie to each other.
    pub geometry: bool,
}

/// Which questions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Questions {
    /// Those the teacher was not taught on.
    HeldOut,
    /// All.
    All,
}

/// How behaviors are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Readout {
    /// Which questions.
    pub questions: Questions,
    /// Sampled answers per question.
    pub samples_per_question: usize,
    /// Of sampled answers.
    pub temperature: f32,
    /// Of sampled answers.
    pub max_tokens: usize,
    /// Also with numbers before each question.
    pub prefix: bool,
}

/// What must hold for an answer to mean something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gates {
    /// Least share of valid rows per arm.
    pub min_valid_rate: f64,
    /// Held-out loss on teacher rows must fall.
    pub held_out_loss: bool,
    /// Confidence level.
    pub level: f64,
}

/// Which arithmetic the engine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compute {
    /// The fastest on this machine.
    Auto,
    /// 32-bit arithmetic; the same bytes wherever the processor has the same vector units.
    F32,
}

/// How the engine computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Engine {
    /// Arithmetic.
    pub compute: Compute,
}

impl Recipe {
    /// Reads one recipe over the defaults. `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        Self::resolve(&[Layer::new(text, origin)?], &[])
    }

    /// Lays `layers` (each over the one before) and then `sets` over the defaults, and checks the
    /// outcome.
    pub fn resolve(layers: &[Layer], sets: &[Setting]) -> Result<Self> {
        let mut stack = layer::Stack::new(&[DEFAULTS], layers, sets)?;
        if endpoint::is_remote(stack.value("base")) {
            stack = layer::Stack::new(&[DEFAULTS, REMOTE_DEFAULTS], layers, sets)?;
        }
        let recipe: Self = stack.read()?;
        check::check(&recipe).map_err(|(path, reason)| stack.error(&path, reason))?;
        Ok(recipe)
    }

    /// An error about what the recipe asks for, which only planning it can tell.
    pub(crate) fn unusable(&self, reason: String) -> Error {
        Error::Recipe { origin: format!("recipe `{}`", self.name), line: 0, column: 0, reason }
    }

    /// The resolved recipe as TOML, to be kept beside the text as given.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is plain data because all its maps are structs")
    }
}
