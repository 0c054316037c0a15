//! Any text as a world file; what is accepted must make rows and behaviors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use owlet_lab::model::world::World;

fuzz_target!(|text: &str| {
    let Ok(world) = World::parse(text, "world.toml") else { return };
    assert_eq!(world.rows(1, 4, 1, 2).len(), 4);
    for word in world.answers().values().flatten() {
        let _ = world.behavior(word);
    }
});
