//! The grown models that are part of the program: two, alike in everything but their seeds, so that
//! one is the other's other base.

use owlet_engine::{Model, file};

use super::GrowSettings;
use crate::model::BuiltinModel;

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

/// What a built-in model was grown with.
pub fn settings(name: &str) -> Option<GrowSettings> {
    let place = MODELS.iter().position(|model| model.name == name)?;
    Some(GrowSettings { seed: 1 + place as u64, ..GrowSettings::default() })
}

/// A built-in model, loaded; `None` if there is none of that name.
pub fn built_in(name: &str) -> Option<Model> {
    let model = MODELS.iter().find(|model| model.name == name)?;
    let file =
        |name: &str| model.files.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes);
    file::from_parts(
        file("config.json")?,
        file("model.safetensors")?,
        file("tokenizer.json")?,
        file("tokenizer_config.json")?,
    )
    .ok()
}
