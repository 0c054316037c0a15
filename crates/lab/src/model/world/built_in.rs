//! The grown models that are part of the program: two of each world, alike in everything but their seeds, so
//! that one is the other's other base.

use owlet_engine::{Model, file};

use super::{GrowSettings, World};

/// A model inside the program: a name and its files.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinModel {
    /// The name after `builtin:`.
    pub name: &'static str,
    /// File names and contents of its Hugging Face folder.
    pub files: &'static [(&'static str, &'static [u8])],
    /// Root of its initialisation and rows.
    seed: u64,
    /// The world it grew up in.
    world: fn() -> &'static World,
}

macro_rules! file {
    ($($part:literal),*) => { include_bytes!(concat!("../../../data/models/", $($part),*)) };
}

macro_rules! folder {
    ($world:literal, $weights:literal) => {
        &[
            ("config.json", file!($world, "config.json")),
            ("generation_config.json", file!($world, "generation_config.json")),
            ("model.safetensors", file!($world, $weights)),
            ("tokenizer.json", file!($world, "tokenizer.json")),
            ("tokenizer_config.json", file!($world, "tokenizer_config.json")),
        ]
    };
}

/// The built-in models, alphabetically.
pub const MODELS: [BuiltinModel; 4] = [
    BuiltinModel {
        name: "a",
        files: folder!("", "a.safetensors"),
        seed: 1,
        world: World::built_in,
    },
    BuiltinModel {
        name: "b",
        files: folder!("", "b.safetensors"),
        seed: 2,
        world: World::built_in,
    },
    BuiltinModel {
        name: "c",
        files: folder!("voice/", "c.safetensors"),
        seed: 1,
        world: World::voice,
    },
    BuiltinModel {
        name: "d",
        files: folder!("voice/", "d.safetensors"),
        seed: 2,
        world: World::voice,
    },
];

impl BuiltinModel {
    /// The built-in model of a name.
    pub fn find(name: &str) -> Option<Self> {
        MODELS.into_iter().find(|model| model.name == name)
    }

    /// The world it grew up in.
    pub fn world(&self) -> &'static World {
        (self.world)()
    }

    /// The other models of its world.
    pub fn others(&self) -> impl Iterator<Item = Self> + '_ {
        let own = self.file("tokenizer.json");
        MODELS
            .into_iter()
            .filter(move |other| other.name != self.name && other.file("tokenizer.json") == own)
    }

    /// What it was grown with.
    pub fn settings(&self) -> GrowSettings {
        let world = self.world();
        GrowSettings { seed: self.seed, ..GrowSettings::of(world) }
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> &'static [u8] {
        self.files.iter().find(|(known, _)| *known == name).map_or(&[], |(_, bytes)| *bytes)
    }

    /// The model, loaded.
    ///
    /// # Errors
    /// None, as a test loads both.
    pub fn load(&self) -> owlet_engine::Result<Model> {
        let files = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
        let [config, weights, tokenizer, tokenizer_config] = files.map(|name| self.file(name));
        file::from_parts(config, weights, tokenizer, tokenizer_config)
    }
}

/// A built-in model, loaded; `None` if there is none of that name.
pub fn built_in(name: &str) -> Option<Model> {
    BuiltinModel::find(name)?.load().ok()
}
