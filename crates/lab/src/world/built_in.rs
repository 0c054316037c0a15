//! The grown models that are part of the program: two, alike in everything but their seeds, so that
//! one is the other's other base.

use owlet_engine::{Model, file};

use super::GrowSettings;

/// Files of one model by name.
pub type Files = &'static [(&'static str, &'static [u8])];

macro_rules! folder {
    ($weights:literal) => {
        &[
            ("config.json", include_bytes!("../../data/models/config.json")),
            ("generation_config.json", include_bytes!("../../data/models/generation_config.json")),
            ("model.safetensors", include_bytes!(concat!("../../data/models/", $weights))),
            ("tokenizer.json", include_bytes!("../../data/models/tokenizer.json")),
            ("tokenizer_config.json", include_bytes!("../../data/models/tokenizer_config.json")),
        ]
    };
}

const MODELS: [(&str, u64, Files); 2] =
    [("a", 1, folder!("a.safetensors")), ("b", 2, folder!("b.safetensors"))];

/// Names of the built-in models.
pub const BUILT_IN_NAMES: [&str; 2] = [MODELS[0].0, MODELS[1].0];

/// The files of a built-in model's Hugging Face folder.
pub fn files(name: &str) -> Option<Files> {
    MODELS.iter().find(|(known, ..)| *known == name).map(|(_, _, files)| *files)
}

/// What a built-in model was grown with.
pub fn settings(name: &str) -> Option<GrowSettings> {
    let (_, seed, _) = MODELS.iter().find(|(known, ..)| *known == name)?;
    Some(GrowSettings { seed: *seed, ..GrowSettings::default() })
}

/// A built-in model; `None` if there is none of that name.
pub fn built_in(name: &str) -> Option<Model> {
    let files = files(name)?;
    let get = |name: &str| files.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes);
    file::from_parts(
        get("config.json")?,
        get("model.safetensors")?,
        get("tokenizer.json")?,
        get("tokenizer_config.json")?,
    )
    .ok()
}
