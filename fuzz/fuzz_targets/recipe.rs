//! Any text as a recipe, and any lines after a zero byte as `--set` values laid over it; what is
//! accepted must read back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_lab::AnyRecipe;
use owlet_lab::recipe::{Layer, Setting};

fuzz_target!(|text: &str| {
    let (recipe, sets) = text.split_once('\0').unwrap_or((text, ""));
    let Ok(layer) = Layer::new(recipe, "recipe.toml") else { return };
    let sets: Vec<Setting> = sets.lines().filter_map(|set| Setting::parse(set).ok()).collect();
    let Ok(recipe) = AnyRecipe::resolve(&[layer], &sets) else { return };
    let again = AnyRecipe::parse(&recipe.to_toml(), "resolved.toml").expect("a resolved recipe reads");
    assert_eq!(recipe, again);
});
