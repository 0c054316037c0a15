//! Work in parts against work at once.

use super::*;
use crate::activation::{Positions, capture};
use crate::pass::Network;
use crate::score::Judging;

#[test]
fn into_how_many_parts_texts_are_read_changes_no_bit() {
    let model = model(llama());
    let texts = [tokens(1, 23), tokens(2, 1), tokens(3, 30)];
    let all: Vec<u32> = (0..40).collect();
    let expected = |text: &Vec<u32>| -> Vec<Vec<f32>> {
        let prompts: Vec<Vec<u32>> = (1..text.len()).map(|end| text[..end].to_vec()).collect();
        next_token(&model, &prompts, &all, &Threads::new(1)).unwrap()
    };
    let expected: Vec<Vec<Vec<f32>>> = texts.iter().map(expected).collect();
    let sampled = |generator: Generator| {
        let (mut generator, mut done) = (generator, vec![Vec::new(); texts.len()]);
        for (text, seed) in texts.iter().zip(0..) {
            let request = Request { prompt: text.clone(), seed };
            generator.add(request, Arc::new(Sampling::default()), 0).unwrap();
        }
        while !generator.is_idle() {
            let mut hear = |event| {
                if let Event::Finished { request, completion, .. } = event {
                    done[request] = completion.log_probabilities;
                }
            };
            generator.step(&mut hear).unwrap();
        }
        done
    };
    let whole = sampled(Generator::new(&model, &Threads::new(1)));
    for part in [1, 7, 1000] {
        let mut judging = Judging::new(&model, &texts, &Threads::new(1)).unwrap();
        let mut found: Vec<Vec<Vec<f32>>> = vec![Vec::new(); texts.len()];
        while judging.advance(part, &mut |text, place, row| {
            found[text].push(row.to_vec());
            assert_eq!(found[text].len(), place);
        }) {}
        assert_eq!(found, expected, "{part}");
        let generator = Generator::new(&model, &Threads::new(1)).in_parts(part);
        assert_eq!(sampled(generator), whole, "{part}");
    }
}

#[test]
fn whoever_can_begin_goes_before_a_long_prompt_and_does_not_keep_it_from_being_read() {
    let model = model(llama());
    let mut generator = Generator::new(&model, &Threads::new(1)).in_parts(4);
    let sampling = Arc::new(Sampling { max_tokens: 1, ..Sampling::default() });
    let add = |generator: &mut Generator, length: usize| {
        let request = Request { prompt: tokens(length, length), seed: 1 };
        generator.add(request, Arc::clone(&sampling), 0).unwrap()
    };
    // More than the 16 tokens that may be read at once, in 8 parts.
    let long = add(&mut generator, 30);
    let mut steps = 0;
    loop {
        // Somebody new before every step is told in that step.
        let short = add(&mut generator, 5);
        let mut done = Vec::new();
        let mut hear = |event| {
            if let Event::Finished { request, .. } = event {
                done.push(request);
            }
        };
        generator.step(&mut hear).unwrap();
        steps += 1;
        if done.contains(&long) {
            break;
        }
        assert!(done.contains(&short), "step {steps}");
        assert!(steps < 20);
    }
    // What was left of it when it began counted as a short one, in every other step a part of four was read.
    assert!(steps >= 2 * (30 - 16) / 4, "{steps}");
}

#[test]
fn states_are_those_that_the_head_reads() {
    let model = model(llama());
    let texts = [tokens(1, 23), tokens(3, 9)];
    let last = model.decoder.config.layers;
    let stream = capture(&model, &texts, &[last], Positions::All, &Threads::new(1)).unwrap();
    let network = Network::new(&model, &Threads::new(1));
    for part in [5, 100] {
        let mut found: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
        let mut judging = Judging::new(&model, &texts, &Threads::new(1)).unwrap();
        while judging.states(part, &mut |text, _, state| found[text].extend_from_slice(state)) {}
        for (found, stream) in found.iter().zip(&stream) {
            let expected = network.final_norm(&stream[0]).0;
            assert_eq!(found.len(), expected.len());
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
            assert!(found.iter().zip(expected.iter()).all(near), "{part}");
        }
    }
}
