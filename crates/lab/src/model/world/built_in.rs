//! The grown models that are part of the program: two, alike in everything but their seeds, so that
//! one is the other's other base.

use owlet_engine::{Model, file};

use super::GrowSettings;

/// A model inside the program: a name and its files.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinModel {
    /// The name after `builtin:`.
    pub name: &'static str,
    /// File names and contents of its Hugging Face folder.
    pub files: &'static [(&'static str, &'static [u8])],
}

macro_rules! folder {
    ($weights:literal) => {
        &[
            ("config.json", include_bytes!("../../../data/models/config.json")),
            (
                "generation_config.json",
                include_bytes!("../../../data/models/generation_config.json"),
            ),
            ("model.safetensors", include_bytes!(concat!("../../../data/models/", $weights))),
            ("tokenizer.json", include_bytes!("../../../data/models/tokenizer.json")),
            ("tokenizer_config.json", include_bytes!("../../../data/models/tokenizer_config.json")),
        ]
    };
}

/// The built-in models, alphabetically.
pub const MODELS: [BuiltinModel; 2] = [
    BuiltinModel { name: "a", files: folder!("a.safetensors") },
    BuiltinModel { name: "b", files: folder!("b.safetensors") },
];

impl BuiltinModel {
    /// The built-in model of a name.
    pub fn find(name: &str) -> Option<Self> {
        MODELS.into_iter().find(|model| model.name == name)
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

/// What a built-in model was grown with.
pub fn settings(name: &str) -> Option<GrowSettings> {
    let place = MODELS.iter().position(|model| model.name == name)?;
    Some(GrowSettings { seed: 1 + place as u64, ..GrowSettings::default() })
}

/// A built-in model, loaded; `None` if there is none of that name.
pub fn built_in(name: &str) -> Option<Model> {
    BuiltinModel::find(name)?.load().ok()
}
