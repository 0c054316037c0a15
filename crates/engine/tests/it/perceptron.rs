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
    let rules = [
        ("adam", adam, 3e-3, 2e-4),
        ("sgd", Optimizer::Sgd { momentum: 0.0 }, 0.05, 1e-5),
        ("momentum", Optimizer::Sgd { momentum: 0.9 }, 0.05, 1e-5),
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
