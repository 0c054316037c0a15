//! Update rules in training: each resumes, and no setting of one is without effect.

use super::{data, llama, model, settings};
use crate::adapter::AdapterConfig;
use crate::kernel::Threads;
use crate::train::{Method, Optimizer, Part, TrainSettings, Trainer};

fn trainer(optimizer: &Optimizer) -> Trainer {
    let model = model(llama());
    let method = Method::Full { embeddings: false };
    let settings = TrainSettings { optimizer: optimizer.clone(), ..settings(method) };
    Trainer::new(&model, data(&model, 0), settings, Threads::new(1)).unwrap()
}

fn state(trainer: &Trainer) -> Vec<u8> {
    let mut bytes = Vec::new();
    trainer.write_state(&mut bytes).unwrap();
    assert_eq!(bytes.len(), trainer.state_size());
    bytes
}

/// Each rule, and each of its settings changed alone.
fn rules() -> Vec<Optimizer> {
    let adamw = |beta1, beta2, epsilon, weight_decay| Optimizer::Adamw {
        beta1,
        beta2,
        epsilon,
        weight_decay,
    };
    let sgd = |momentum, weight_decay| Optimizer::Sgd { momentum, weight_decay };
    let rmsprop = |alpha, epsilon, momentum, weight_decay| Optimizer::Rmsprop {
        alpha,
        epsilon,
        momentum,
        weight_decay,
    };
    let signum = |momentum, weight_decay| Optimizer::Signum { momentum, weight_decay };
    vec![
        adamw(0.9, 0.999, 1e-8, 0.0),
        adamw(0.8, 0.999, 1e-8, 0.0),
        adamw(0.9, 0.99, 1e-8, 0.0),
        adamw(0.9, 0.999, 1e-3, 0.0),
        adamw(0.9, 0.999, 1e-8, 0.1),
        sgd(0.0, 0.0),
        sgd(0.9, 0.0),
        sgd(0.0, 0.1),
        rmsprop(0.99, 1e-8, 0.0, 0.0),
        rmsprop(0.9, 1e-8, 0.0, 0.0),
        rmsprop(0.99, 1e-3, 0.0, 0.0),
        rmsprop(0.99, 1e-8, 0.5, 0.0),
        rmsprop(0.99, 1e-8, 0.0, 0.1),
        signum(0.9, 0.0),
        signum(0.0, 0.0),
        signum(0.9, 0.1),
    ]
}

#[test]
fn every_setting_of_every_rule_changes_bytes_and_every_rule_resumes() {
    let mut seen: Vec<(Optimizer, Vec<u8>)> = Vec::new();
    for rule in rules() {
        let mut whole = trainer(&rule);
        whole.update().unwrap();
        let kept = state(&whole);
        whole.update().unwrap();
        let end = state(&whole);
        let mut resumed = trainer(&rule);
        resumed.read_state(&mut &kept[..]).unwrap();
        resumed.update().unwrap();
        assert!(state(&resumed) == end, "{rule:?} goes on as it was");
        let weights = whole.model().decoder.parameters.data.to_vec();
        let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        let same = seen.iter().find(|(_, other)| *other == bytes).map(|(other, _)| other);
        assert_eq!(same, None, "{rule:?} is without effect");
        seen.push((rule, bytes));
    }
}

#[test]
fn a_state_lies_in_its_file_as_it_always_did_and_another_rules_is_refused() {
    let kept = |rule: &Optimizer| {
        let mut trainer = trainer(rule);
        trainer.update().unwrap();
        (trainer.model().decoder.parameters.data.len(), state(&trainer))
    };
    for (place, states) in [(0, [1, 1]), (5, [1, 0]), (8, [1, 1]), (13, [1, 0])] {
        let (numbers, bytes) = kept(&rules()[place]);
        let mut at = 24;
        assert_eq!(bytes[..16], *b"owlet training 1");
        assert_eq!(bytes[16..24], 1_u64.to_le_bytes());
        for len in [1, states[0], states[1]].map(|times| times * numbers) {
            assert_eq!(bytes[at..at + 8], (len as u64).to_le_bytes(), "{place}");
            at += 8 + 4 * len;
        }
        assert_eq!(at, bytes.len());
    }
    let (_, adamw) = kept(&rules()[0]);
    let error = trainer(&rules()[5]).read_state(&mut &adamw[..]).unwrap_err();
    insta::assert_snapshot!(error, @"training state: belongs to a run of another shape; delete it to start this run afresh");
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let refused = |optimizer: Optimizer| optimizer.check().unwrap_err().to_string();
    let all = [
        Optimizer::Adamw { beta1: 1.0, beta2: 0.9, epsilon: 1e-8, weight_decay: 0.0 },
        Optimizer::Sgd { momentum: -0.1, weight_decay: 0.0 },
        Optimizer::Sgd { momentum: 0.0, weight_decay: f64::NAN },
        Optimizer::Rmsprop { alpha: 1.5, epsilon: 1e-8, momentum: 0.0, weight_decay: 0.0 },
        Optimizer::Rmsprop { alpha: 0.9, epsilon: 0.0, momentum: 0.0, weight_decay: 0.0 },
        Optimizer::Signum { momentum: 0.9, weight_decay: -1.0 },
    ];
    insta::assert_snapshot!(all.map(refused).join("\n"), @r"
    `optimizer.beta1` is 1, expected 0 to below 1
    `optimizer.momentum` is -0.1, expected 0 to below 1
    `optimizer.weight-decay` is NaN, expected zero or more
    `optimizer.alpha` is 1.5, expected 0 to below 1
    `optimizer.epsilon` is 0, expected a positive number
    `optimizer.weight-decay` is -1, expected zero or more
    ");
}

/// Names of the tensors that three updates change.
fn changed(method: Method, part: Part) -> Vec<String> {
    let model = model(llama());
    let settings = TrainSettings { part, ..settings(method) };
    let mut trainer = Trainer::new(&model, data(&model, 0), settings, Threads::new(1)).unwrap();
    let numbers = |trainer: &Trainer| {
        let model = trainer.model();
        match &model.adapter {
            Some(adapter) => adapter.parameters.clone(),
            None => model.decoder.parameters.clone(),
        }
    };
    let before = numbers(&trainer);
    for _ in 0..3 {
        trainer.update().unwrap();
    }
    let after = numbers(&trainer);
    let spans = before.layout.spans().iter();
    let is_changed =
        |range: &std::ops::Range<usize>| before.data[range.clone()] != after.data[range.clone()];
    spans.filter(|span| is_changed(&span.range)).map(|span| span.name.clone()).collect()
}

#[test]
fn what_is_not_trained_stays_whatever_decays() {
    let rank = |targets| AdapterConfig { rank: 2, alpha: 4.0, rank_stabilized: false, targets };
    let adapter = || Method::LowRank(rank(vec![crate::adapter::Projection::V]));
    let of = |layers: &[usize], frozen_a| Part { layers: layers.to_vec(), frozen_a };
    insta::assert_snapshot!(changed(adapter(), of(&[], false)).join(" "), @"layers.0.v.a layers.0.v.b layers.1.v.a layers.1.v.b");
    insta::assert_snapshot!(changed(adapter(), of(&[], true)).join(" "), @"layers.0.v.b layers.1.v.b");
    insta::assert_snapshot!(changed(adapter(), of(&[1], false)).join(" "), @"layers.1.v.a layers.1.v.b");
    let full = changed(Method::Full { embeddings: true }, of(&[0], false));
    assert!(full.len() > 3 && full.iter().all(|name| name.starts_with("layers.0.")), "{full:?}");
    let model = model(llama());
    let settings = TrainSettings { part: of(&[7], false), ..settings(adapter()) };
    let refused = Trainer::new(&model, data(&model, 0), settings, Threads::new(1)).err().unwrap();
    insta::assert_snapshot!(refused, @"adapter: layer 7 is to be trained, and the model has 2: expected 0 to 1");
}
