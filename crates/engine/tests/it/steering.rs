//! Reading and adding activations, against PyTorch hooks (`tests/golden/steering.py`).

use owlet_engine::activation::{Addition, Positions, capture};
use owlet_engine::score::{Scored, score};
use owlet_engine::train::{Example, loss};
use owlet_engine::{Threads, Token};

use crate::tiny::{Golden, model};

fn all_close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let difference = (ours - theirs).abs() / theirs.abs().max(1.0);
        assert!(difference < 1e-4, "{what}[{i}]: {ours} here, {theirs} in the reference");
    }
}

#[test]
fn steering_agrees_with_hooks_in_scoring_and_in_training() {
    let golden = Golden::read("steering.safetensors");
    let one = Threads::new(1);
    for family in ["llama", "gpt2"] {
        let plain = model(family);
        let addition =
            Addition { layer: 1, positions: 3..usize::MAX, vector: golden.numbers("vector") };
        let steered = plain.steered(vec![addition]).unwrap();
        let tokens: Vec<Token> = golden.integers(&format!("{family}.tokens"));
        let layers = [0, 1, 2];
        let short = tokens[..9].to_vec();
        let sequences = [short, tokens.clone()];
        let found = capture(&steered, &sequences, &layers, Positions::All, &one).unwrap();
        let last = capture(&steered, &sequences, &[2], Positions::Last, &one).unwrap();
        for layer in layers {
            let theirs = golden.numbers(&format!("{family}.{layer}"));
            all_close(&found[1][layer], &theirs, &format!("{family} stream {layer}"));
            all_close(&found[0][layer], &theirs[..9 * 32], &format!("{family} short {layer}"));
        }
        assert_eq!(last[1][0], found[1][2][39 * 32..]);

        let logits = golden.numbers(&format!("{family}.logits"));
        let expected: Vec<f32> = logits
            .chunks_exact(96)
            .zip(&tokens[1..])
            .map(|(row, &next)| {
                let total: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
                (f64::from(row[next as usize]) - total.ln()) as f32
            })
            .collect();
        // In two parts, so that later positions come after a cache.
        let item = Scored { prompt: tokens[..5].to_vec(), completion: tokens[5..].to_vec() };
        let scored = score(&steered, std::slice::from_ref(&item), &one).unwrap();
        all_close(&scored[0], &expected[4..], &format!("{family} scores"));
        assert!(score(&plain, &[item], &one).unwrap()[0] != scored[0], "steering does something");
        let mean = loss(&steered, &[Example::whole(tokens)], &one).unwrap();
        let theirs = -expected.iter().map(|&l| f64::from(l)).sum::<f64>() / 39.0;
        assert!((mean - theirs).abs() < 1e-4, "{family} loss {mean}, {theirs} in the reference");
    }
}

#[test]
fn additions_that_do_not_fit_are_refused() {
    let model = model("llama");
    let refused = |layer, width| {
        let addition = Addition { layer, positions: 0..1, vector: vec![1.0; width] };
        model.steered(vec![addition]).unwrap_err().to_string()
    };
    insta::assert_snapshot!(
        format!("{}\n{}", refused(3, 32), refused(2, 31)),
        @"
    addition 1: names layer 3, expected 0 (the embedding) to 2
    addition 1: has 31 numbers, the model's stream is 32 wide
    "
    );
}
