//! `grow`: a small model, from nothing, on rows of a world.
//!
//! Its output is a model as `base` makes one of files: grown or shipped, the same weights are the
//! same artifact.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use owlet_engine::file::{self, Precision};

use crate::ask::engine::tune;
use crate::error::Result;
use crate::model;
use crate::model::world::{self, GrowSettings, World};
use crate::step::{Step, StepContext};

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Configuration {
    /// The text of the world's file.
    pub(super) world: String,
    /// Shape, seed and training.
    pub(super) settings: GrowSettings,
}

/// The step.
pub(super) struct Grow;

impl Step for Grow {
    type Configuration = Configuration;
    const KIND: &'static str = model::GROW;
    const ALGORITHM: u32 = 2;
    const OUTPUT: &'static str = "model";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let world = World::parse(&configuration.world, "of the recipe")?;
        let settings = &configuration.settings;
        let mut trainer = world::trainer(&world, settings, context.threads.clone())?;
        let (work, updates) = (context.work(), settings.updates);
        tune::learn(&work, context.scratch, &mut trainer, updates, &mut |_, _| Ok(()))?;
        for (name, bytes) in file::parts(&trainer.model(), Precision::F32)? {
            context.writer.write(name, &bytes)?;
        }
        if world::WORLDS.iter().all(|(_, shipped)| configuration.world != *shipped) {
            context.writer.write(model::WORLD, configuration.world.as_bytes())?;
        }
        Ok(json!({}))
    }
}
