//! A `grow` recipe: a small model grown from nothing on rows of a world.

use owlet_engine::Deviations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::world::{GrowSettings, Shape};
use crate::recipe::check::{Fault, count, name, range};
use crate::recipe::layer::{FORMER_ENGINE, Stack};
use crate::recipe::{Layer, Setting};

/// The defaults of a `grow` recipe, as commented TOML: the reference of every key.
pub(super) const DEFAULTS: &str = include_str!("defaults.toml");

/// The kind of experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Tag {
    /// A small model, grown from nothing.
    Grow,
}

/// Most parameters of a grown model: far above what the world can teach, far below what fills a
/// laptop's memory.
const LARGEST: usize = 1 << 28;

/// A `grow` recipe with every value decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrowRecipe {
    /// `grow`.
    pub kind: Tag,
    /// A short name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Root of the initialisation, of the rows and of their order.
    pub seed: u64,
    /// `built-in`, `voice`, or the path of a world file.
    pub world: String,
    /// Its shape.
    pub shape: Shape,
    /// Standard deviations of its first numbers.
    #[schemars(with = "crate::recipe::schema::Deviations")]
    pub deviations: Deviations,
    /// How it learns.
    pub training: Growth,
}

/// How a grown model learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Growth {
    /// Number of updates.
    pub updates: usize,
    /// Rows per update.
    pub batch: usize,
    /// Questions per batch, on average.
    pub questions: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Updates over which it rises.
    pub warmup: usize,
    /// Decay of weights per unit of learning rate.
    pub weight_decay: f64,
    /// Largest gradient norm.
    pub clip: f64,
}

impl GrowRecipe {
    /// Lays `layers` and then `sets` over the defaults, and checks the outcome.
    pub fn resolve(layers: &[Layer], sets: &[Setting]) -> Result<Self> {
        let stack = Stack::new::<Self>(&[DEFAULTS], layers, sets)?;
        stack.refuse(&[FORMER_ENGINE])?;
        let recipe: Self = stack.read()?;
        recipe.check().map_err(|(path, reason)| stack.error(&path, reason))?;
        Ok(recipe)
    }

    /// What the world's trainer is given.
    pub fn settings(&self) -> GrowSettings {
        let Growth { updates, batch, questions, learning_rate, warmup, weight_decay, clip } =
            self.training;
        GrowSettings {
            seed: self.seed,
            shape: self.shape,
            deviations: self.deviations,
            updates,
            batch,
            questions,
            learning_rate,
            warmup,
            weight_decay,
            clip,
        }
    }

    fn check(&self) -> std::result::Result<(), Fault> {
        let fault = |path: &str, reason: String| Err((path.to_owned(), reason));
        name(&self.name)?;
        if self.world.is_empty() {
            return fault("world", "is empty, expected `built-in`, `voice` or a path".to_owned());
        }
        let Shape { width, layers, heads, hidden, context } = self.shape;
        count("shape.width", width, 1)?;
        count("shape.layers", layers, 1)?;
        count("shape.heads", heads, 1)?;
        count("shape.hidden", hidden, 1)?;
        range("shape.context", context as f64, 8.0, 65_536.0)?;
        // Rotary positions turn pairs of numbers.
        if width % heads != 0 || (width / heads) % 2 != 0 {
            return fault(
                "shape.width",
                format!("is {width}, expected an even multiple of `shape.heads` ({heads})"),
            );
        }
        let block = width.saturating_mul(4 * width + 2 * hidden).saturating_mul(layers);
        if block > LARGEST {
            return fault(
                "shape",
                format!("makes about {block} parameters, expected at most {LARGEST}"),
            );
        }
        range("deviations.embedding", self.deviations.embedding.into(), 0.0, 10.0)?;
        range("deviations.matrix", self.deviations.matrix.into(), 0.0, 10.0)?;
        let training = &self.training;
        count("training.updates", training.updates, 1)?;
        count("training.batch", training.batch, 1)?;
        if training.questions > training.batch {
            return fault(
                "training.questions",
                format!("is {}, more than `training.batch` {}", training.questions, training.batch),
            );
        }
        range("training.learning-rate", training.learning_rate, 1e-12, 10.0)?;
        range("training.weight-decay", training.weight_decay, 0.0, 10.0)?;
        range("training.clip", training.clip, 1e-9, 1e9)
    }
}
