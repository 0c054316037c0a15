//! Small networks against PyTorch (`tests/golden/perceptron.py`): logits, losses, gradients, updates.

use owlet_engine::Threads;
use owlet_engine::perceptron::{Goal, Learner, Pass, Perceptron};
use owlet_engine::train::Optimizer;

use crate::tiny::Golden;

const WIDTHS: [usize; 4] = [20, 17, 15, 13];
const CLASSES: usize = 10;

fn close(ours: &[f32], theirs: &[f32], bound: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((ours - theirs).abs() < bound, "{what}[{place}]: {ours} here, {theirs} in PyTorch");
    }
}

#[test]
fn a_small_network_computes_and_learns_as_in_pytorch() {
    let golden = Golden::read("perceptron.safetensors");
    let threads = Threads::new(1);
    let mut start = Perceptron::new(&WIDTHS, 0).unwrap();
    start.parameters.data.copy_from_slice(&golden.numbers("start"));
    let (inputs, wanted) = (golden.numbers("inputs"), golden.numbers("wanted"));
    let classes = golden.integers("classes");
    let auxiliary = CLASSES..WIDTHS[3];
    let mut pass = Pass::default();
    close(start.run(&threads, &inputs, &mut pass), &golden.numbers("logits"), 1e-5, "logits");
    let adam = Optimizer::Adamw { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    let sgd = |momentum| Optimizer::Sgd { momentum, weight_decay: 0.0 };
    let rules = [
        ("adam", adam, 3e-3, 2e-4),
        ("sgd", sgd(0.0), 0.05, 1e-5),
        ("momentum", sgd(0.9), 0.05, 1e-5),
    ];
    for (name, goal) in [
        ("classes", Goal::Classes { range: 0..CLASSES, classes: &classes }),
        ("distributions", Goal::Distributions { range: auxiliary.clone(), logits: &wanted }),
        ("values", Goal::Values { range: auxiliary.clone(), logits: &wanted }),
    ] {
        let mut gradient = vec![0.0; start.parameters.data.len()];
        let loss = start.gradient(&threads, &inputs, &goal, &mut pass, &mut gradient);
        close(&[loss as f32], &golden.numbers(&format!("{name}.loss")), 1e-5, name);
        close(&gradient, &golden.numbers(&format!("{name}.gradient")), 1e-6, name);
        for (rule, optimizer, learning_rate, bound) in &rules {
            let mut learner = Learner::new(start.clone(), optimizer.clone(), *learning_rate);
            for _ in 0..5 {
                learner.update(&threads, &inputs, &goal).unwrap();
            }
            let what = format!("{name}.{rule}");
            let theirs = golden.numbers(&what);
            close(&learner.network.parameters.data, &theirs, *bound, &what);
        }
    }
}

#[test]
fn every_update_rule_moves_weights_as_in_pytorch() {
    let golden = Golden::read("optimizers.safetensors");
    let threads = Threads::new(1);
    let mut start = Perceptron::new(&[12, 11, 9], 0).unwrap();
    start.parameters.data.copy_from_slice(&golden.numbers("start"));
    let (inputs, wanted) = (golden.numbers("inputs"), golden.numbers("wanted"));
    let goal = Goal::Values { range: 0..9, logits: &wanted };
    let rmsprop = |alpha, epsilon, momentum, weight_decay| Optimizer::Rmsprop {
        alpha,
        epsilon,
        momentum,
        weight_decay,
    };
    let signum = |momentum, weight_decay| Optimizer::Signum { momentum, weight_decay };
    for (rule, optimizer, learning_rate) in [
        ("sgd", Optimizer::Sgd { momentum: 0.9, weight_decay: 0.1 }, 0.05),
        ("rmsprop", rmsprop(0.99, 1e-8, 0.0, 0.0), 1e-3),
        ("rmsprop-all", rmsprop(0.9, 1e-3, 0.8, 0.1), 1e-3),
        ("signsgd", signum(0.0, 0.0), 3e-3),
        ("signum", signum(0.9, 0.0), 3e-3),
        ("signum-decay", signum(0.7, 0.5), 3e-3),
    ] {
        let mut learner = Learner::new(start.clone(), optimizer, learning_rate);
        for _ in 0..8 {
            learner.update(&threads, &inputs, &goal).unwrap();
        }
        let moved = &learner.network.parameters.data;
        close(moved, &golden.numbers(rule), 2e-6, rule);
        // The first input is always zero, so nothing moves its weights but weight decay.
        let stays = moved[0].to_bits() == start.parameters.data[0].to_bits();
        assert_eq!(stays, ["rmsprop", "signsgd", "signum"].contains(&rule), "{rule}");
    }
}
