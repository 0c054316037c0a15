//! What hostile files make the loaders allocate: a small multiple of their size. A binary of its
//! own with one test, because allocations are counted for the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use owlet_engine::{Tokenizer, file};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes per byte of file, and for what does not depend on it (patterns, tables).
const FACTOR: usize = 64;
const FIXED: usize = 4 << 20;

fn bytes(relative: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read(folder.join(relative)).unwrap()
}

/// Fails if `load` takes more than its input allows.
fn measured(size: usize, what: &str, load: impl FnOnce()) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    load();
    let taken = ALLOCATOR.peak_usage() - before;
    assert!(taken <= FACTOR * size + FIXED, "{what}: {taken} bytes for a file of {size}");
}

#[test]
fn memory_is_bounded_by_the_file() {
    let gguf = bytes("gguf/qwen2.gguf");
    let names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let parts = names.map(|name| bytes(&format!("qwen2/{name}")));
    let load = |parts: &[Vec<u8>; 4]| {
        let size = parts.iter().map(Vec::len).sum();
        measured(size, "folder", || {
            let _ = file::from_parts(&parts[0], &parts[1], &parts[2], &parts[3]);
        });
    };
    // Warm what is made once per process.
    file::from_gguf(&gguf).unwrap();
    load(&parts);

    let digits = prop::collection::vec(
        (any::<usize>(), prop::sample::select(b"0189[]{}\",:".to_vec())),
        1..8,
    );
    let flips = prop::collection::vec((0..2000_usize, any::<u8>()), 1..4);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&(flips, digits, 0..4_usize), |(flips, digits, which)| {
            let mut damaged = gguf.clone();
            for (place, value) in flips {
                damaged[place] = value;
            }
            measured(damaged.len(), "gguf", || {
                let _ = file::from_gguf(&damaged);
            });
            let mut damaged = parts.clone();
            let within = damaged[which].len().min(3000);
            for (place, value) in digits {
                damaged[which][8 + place % (within - 8)] = value;
            }
            load(&damaged);
            Ok(())
        })
        .unwrap();

    // Sizes that are only claimed.
    let mut damaged = parts.clone();
    let config = String::from_utf8(damaged[0].clone()).unwrap();
    for (from, to) in [("\"vocab_size\": 96", "4000000"), ("\"num_hidden_layers\": 2", "1000")] {
        let (name, _) = from.split_once(' ').unwrap();
        assert!(config.contains(from));
        damaged[0] = config.replace(from, &format!("{name} {to}")).into_bytes();
        load(&damaged);
    }
    let far =
        br#"{"model":{"type":"WordLevel","vocab":{"a":4294967295,"b":4000000},"unk_token":"a"}}"#;
    measured(far.len(), "tokenizer", || {
        let _ = Tokenizer::from_json(far);
    });
}
