//! `perceptron-teacher`: a copy of an initialisation learns the classes of images. Nobody tells it anything
//! about its auxiliary logits.

use owlet_engine::perceptron::Perceptron;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::images::{self, Which};
use super::learn::{
    Examination, LOOKS, Learned, NETWORK, OUTPUT, Wanted, Watch, learn, updates, widths,
};
use super::recipe::{Course, Network};
use crate::error::Result;
use crate::random::derive_seed;
use crate::step::{Step, StepContext};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// Root of the replication.
    pub(super) replication: u64,
    pub(super) network: Network,
    pub(super) course: Course,
}

/// The step.
pub(super) struct Teach;

impl Step for Teach {
    type Configuration = Configuration;
    const KIND: &'static str = "perceptron-teacher";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = OUTPUT;

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { replication, network, course } = configuration;
        let artifact = context.input("images")?;
        let shown = images::shown(artifact, Which::Train)?;
        let tests = images::shown(artifact, Which::Test)?;
        let widths = widths(shown.inputs.width(), &network);
        let start = initial(&widths, replication)?;
        let examination = Examination { tests: &tests, along: None };
        let untouched = examination.accuracy(&start, context);
        let total = updates(&course, shown.inputs.rows());
        let watch = Watch { context, done: 0, total, examination: Some(examination) };
        let (inputs, wanted) = (shown.inputs, Wanted::Classes(shown.classes));
        let order = derive_seed(replication, &["teacher order".into()]);
        let (taught, looks) = learn(start, (&inputs, &wanted), &course, order, &watch)?;
        let learned = Learned { untouched, begun: untouched, looks };
        context.writer.write(NETWORK, &taught.to_bytes()?)?;
        context.write_json(LOOKS, &learned)?;
        Ok(json!({ "accuracy": learned.accuracy() }))
    }
}

/// The initialisation that a replication's teacher began from.
pub(super) fn initial(widths: &[usize], replication: u64) -> Result<Perceptron> {
    Ok(Perceptron::new(widths, derive_seed(replication, &["initialisation".into()]))?)
}
