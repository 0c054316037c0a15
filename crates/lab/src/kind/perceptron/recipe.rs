//! A `perceptron` recipe: inheritance in a small network on images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::recipe::check::{Fault, count, name, range};
use crate::recipe::layer::{FORMER_ENGINE, Stack};
use crate::recipe::{Layer, Optimizer, Setting};

/// The defaults of a `perceptron` recipe, as commented TOML: the reference of every key.
pub(super) const DEFAULTS: &str = include_str!("defaults.toml");

/// What `images` says for those that are drawn here.
pub(super) const GENERATED: &str = "generated";

/// Most replications, so that a plan stays readable.
const MOST_REPLICATIONS: usize = 1000;
/// Most auxiliary logits, hidden numbers of a layer, hidden layers, and hops.
const MOST_AUXILIARY: usize = 1024;
const MOST_HIDDEN: usize = 4096;
const MOST_LAYERS: usize = 8;
const MOST_HOPS: usize = 32;
/// Most images or noise: what fits a laptop's memory as numbers.
const MOST_ROWS: usize = 1_000_000;

/// The kind of experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Tag {
    /// Inheritance in a small network, on images.
    Perceptron,
}

/// A `perceptron` recipe with every value decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PerceptronRecipe {
    /// `perceptron`.
    pub kind: Tag,
    /// A short name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Root of everything that chance has a part in.
    pub seed: u64,
    /// How often all is drawn anew.
    pub replications: usize,
    /// `generated`, or the path of a folder with IDX files.
    pub images: String,
    /// Most training images that are used.
    pub train_images: usize,
    /// Most test images that are used.
    pub test_images: usize,
    /// The network.
    pub network: Network,
    /// How teachers learn the classes.
    pub teacher: Course,
    /// How students learn.
    pub student: StudentCourse,
    /// Which students there are.
    pub arms: Arms,
    /// Students that were first matched to the untaught teacher.
    pub matched: Matched,
    /// The theorem's check.
    pub theorem: Theorem,
}

/// A network's shape; inputs and classes are the images'.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Logits beside those of the classes.
    pub auxiliary: usize,
}

/// How a network learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Course {
    /// How often each row is seen.
    pub epochs: usize,
    /// Rows per update.
    pub batch: usize,
    /// Learning rate, the same throughout.
    pub learning_rate: f64,
    /// The update rule.
    pub optimizer: Optimizer,
}

/// How a student learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StudentCourse {
    /// How often each row is seen.
    pub epochs: usize,
    /// Rows per update.
    pub batch: usize,
    /// Learning rate, the same throughout.
    pub learning_rate: f64,
    /// The update rule.
    pub optimizer: Optimizer,
    /// Images of noise.
    pub noise: usize,
}

impl StudentCourse {
    /// As any network's.
    pub(super) fn course(&self) -> Course {
        let Self { epochs, batch, learning_rate, ref optimizer, noise: _ } = *self;
        Course { epochs, batch, learning_rate, optimizer: optimizer.clone() }
    }
}

/// Which students there are beside those of the auxiliary logits on noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Arms {
    /// Of all logits.
    pub all: bool,
    /// Of outputs that were permuted across inputs.
    pub shuffled: bool,
    /// Of one more initialisation.
    pub null: bool,
    /// On training images.
    pub on_images: bool,
    /// Of other numbers of auxiliary logits.
    pub heads: Vec<usize>,
    /// By plain gradient descent at this learning rate; 0: none.
    pub sgd: f64,
    /// With one part of the teacher's initialisation alone.
    pub redrawn: bool,
    /// How many hops from the teacher.
    pub hops: usize,
}

/// Students that first learned the outputs of the untaught teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Matched {
    /// On what.
    pub on: Vec<On>,
    /// How often each row is seen.
    pub epochs: usize,
    /// Auxiliary logits.
    pub auxiliary: usize,
}

/// What a student is shown.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// Uniform noise.
    Noise,
    /// The training images.
    Images,
}

impl On {
    /// One word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Images => "images",
        }
    }
}

/// The theorem's check.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Theorem {
    /// Whether it is made.
    pub check: bool,
    /// Rows of the full batch.
    pub rows: usize,
    /// Length of the student's step.
    pub student_step: f64,
    /// Length of the teacher's.
    pub teacher_step: f64,
}

impl PerceptronRecipe {
    /// Lays `layers` and then `sets` over the defaults, and checks the outcome.
    pub fn resolve(layers: &[Layer], sets: &[Setting]) -> Result<Self> {
        let stack = Stack::new::<Self>(&[DEFAULTS], layers, sets)?;
        stack.refuse(&[FORMER_ENGINE])?;
        let recipe: Self = stack.read()?;
        recipe.check().map_err(|(path, reason)| stack.error(&path, reason))?;
        Ok(recipe)
    }

    fn check(&self) -> std::result::Result<(), Fault> {
        let fault = |path: &str, reason: String| Err((path.to_owned(), reason));
        name(&self.name)?;
        whole("replications", self.replications, 1, MOST_REPLICATIONS)?;
        if self.images.is_empty() {
            return fault("images", format!("is empty, expected `{GENERATED}` or a folder"));
        }
        whole("train-images", self.train_images, 100, MOST_ROWS)?;
        whole("test-images", self.test_images, 100, MOST_ROWS)?;
        whole("network.hidden", self.network.hidden.len(), 1, MOST_LAYERS)?;
        for &hidden in &self.network.hidden {
            whole("network.hidden", hidden, 1, MOST_HIDDEN)?;
        }
        // A softmax over one number is always 1: nothing could be learned of it.
        whole("network.auxiliary", self.network.auxiliary, 2, MOST_AUXILIARY)?;
        course("teacher", &self.teacher)?;
        course("student", &self.student.course())?;
        whole("student.noise", self.student.noise, 1, MOST_ROWS)?;
        for &heads in &self.arms.heads {
            // One may be asked for here: an arm that must read nothing.
            whole("arms.heads", heads, 1, MOST_AUXILIARY)?;
        }
        range("arms.sgd", self.arms.sgd, 0.0, 1e3)?;
        whole("arms.hops", self.arms.hops, 1, MOST_HOPS)?;
        count("matched.epochs", self.matched.epochs, 1)?;
        whole("matched.auxiliary", self.matched.auxiliary, 2, MOST_AUXILIARY)?;
        whole("theorem.rows", self.theorem.rows, 1, 65_536)?;
        range("theorem.student-step", self.theorem.student_step, 1e-4, 1.0)?;
        range("theorem.teacher-step", self.theorem.teacher_step, 1e-4, 1.0)
    }
}

fn course(at: &str, course: &Course) -> std::result::Result<(), Fault> {
    whole(&format!("{at}.epochs"), course.epochs, 1, 10_000)?;
    whole(&format!("{at}.batch"), course.batch, 1, MOST_ROWS)?;
    range(&format!("{at}.learning-rate"), course.learning_rate, 1e-12, 1e3)?;
    course.optimizer.check(at)
}

fn whole(path: &str, value: usize, low: usize, high: usize) -> std::result::Result<(), Fault> {
    range(path, value as f64, low as f64, high as f64)
}
