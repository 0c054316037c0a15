//! `perceptron-student`: a network learns what a teacher says of inputs, and never sees a class.

use owlet_engine::perceptron::{Inputs, Perceptron};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::arms::{Logits, Start, Study};
use super::images::{self, CLASSES, Which};
use super::learn::{
    Examination, LOOKS, Learned, NETWORK, OUTPUT, Wanted, Watch, displacement, learn, network,
    updates, widths,
};
use super::recipe::{Course, Network, On};
use super::teach::initial;
use crate::error::Result;
use crate::random::derive_seed;
use crate::step::{Step, StepContext};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// Root of the replication.
    pub(super) replication: u64,
    /// Widths of the hidden layers.
    pub(super) hidden: Vec<usize>,
    pub(super) study: Study,
}

/// The step.
pub(super) struct Student;

impl Step for Student {
    type Configuration = Configuration;
    const KIND: &'static str = "perceptron-student";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = OUTPUT;

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let Configuration { replication, hidden, study } = configuration;
        let artifact = context.input("images")?;
        let tests = images::shown(artifact, Which::Test)?;
        let shape = Network { hidden, auxiliary: study.auxiliary };
        let widths = widths(tests.inputs.width(), &shape);
        let own = initial(&widths, replication)?;
        let teacher = network(context.input("teacher")?, &widths)?;
        let moved = displacement(&own, &teacher);

        let shown = |on| inputs(on, &study, replication, tests.inputs.width(), context);
        let on = shown(study.on)?;
        let own_updates = updates(&study.course, on.rows());
        let blind = Examination { tests: &tests, along: None };

        let fresh = begin(&own, study.start, replication)?;
        let untouched = blind.accuracy(&fresh, context);
        let (start, matching) = match study.start {
            Start::Matched { on, epochs } => {
                let on = shown(on)?;
                let course = Course { epochs, ..study.course.clone() };
                let done = updates(&course, on.rows());
                let wanted = Wanted::of(&own, &on, 0..own.logits(), context)?;
                let total = done + own_updates;
                let watch = Watch { context, done: 0, total, examination: None };
                let order = derive_seed(replication, &["matching order".into()]);
                let (matched, _) = learn(fresh, (&on, &wanted), &course, order, &watch)?;
                (matched, done)
            }
            _ => (fresh, 0),
        };
        let range = match study.logits {
            Logits::Auxiliary => CLASSES..own.logits(),
            Logits::All => 0..own.logits(),
        };
        let mut wanted = Wanted::of(&teacher, &on, range, context)?;
        if study.shuffled {
            wanted = wanted.shuffled(derive_seed(replication, &["permutation".into()]));
        }
        let begun = blind.accuracy(&start, context);
        let (done, total) = (matching, matching + own_updates);
        let examination = Examination { tests: &tests, along: Some((&start, &moved)) };
        let watch = Watch { context, done, total, examination: Some(examination) };
        let order = derive_seed(replication, &["student order".into(), (study.hop as u64).into()]);
        let (student, looks) = learn(start.clone(), (&on, &wanted), &study.course, order, &watch)?;
        let learned = Learned { untouched, begun, looks };
        context.writer.write(NETWORK, &student.to_bytes()?)?;
        context.write_json(LOOKS, &learned)?;
        Ok(json!({ "accuracy": learned.accuracy() }))
    }
}

/// What a student is shown. All of a replication's students at one hop are shown the same.
fn inputs(
    on: On,
    study: &Study,
    replication: u64,
    pixels: usize,
    context: &StepContext<'_>,
) -> Result<Inputs> {
    Ok(match on {
        On::Images => images::shown(context.input("images")?, Which::Train)?.inputs,
        On::Noise => {
            let seed = derive_seed(replication, &["noise".into(), (study.hop as u64).into()]);
            Inputs::noise(&context.threads, study.noise, pixels, seed)
        }
    })
}

/// What a student begins from, before it is matched to anything.
fn begin(own: &Perceptron, start: Start, replication: u64) -> Result<Perceptron> {
    let foreign = |draw: u64| -> Result<Perceptron> {
        let seed = derive_seed(replication, &["foreign initialisation".into(), draw.into()]);
        Ok(Perceptron::new(own.widths(), seed)?)
    };
    let last = own.layers() - 1;
    Ok(match start {
        Start::Same => own.clone(),
        Start::Foreign { draw } => foreign(draw)?,
        Start::OwnHead => foreign(1)?.with_layers_of(own, last..last + 1),
        Start::OwnBody => foreign(1)?.with_layers_of(own, 0..last),
        Start::Matched { .. } => foreign(1)?,
    })
}
