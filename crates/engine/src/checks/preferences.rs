//! Preference pairs of every shape, against what scoring gives their answers.

use super::{adapted, configurations, model, settings, tokens};
use crate::kernel::Threads;
use crate::score::{Scored, score};
use crate::train::{Data, Example, Method, Trainer, compare, log_probabilities};

/// A prompt, the better answer and the other: apart, one the beginning of the other, the same.
fn given() -> Vec<[Vec<u32>; 3]> {
    let long = tokens(9, 70);
    vec![
        [tokens(3, 5), tokens(4, 3), tokens(5, 8)],
        [tokens(3, 5), long.clone(), long[..4].to_vec()],
        [tokens(6, 1), tokens(7, 1), tokens(7, 2)],
        [tokens(3, 20), tokens(8, 6), tokens(8, 6)],
    ]
}

fn pairs() -> Vec<(Example, Example)> {
    let pair = |[prompt, chosen, rejected]: [Vec<u32>; 3]| {
        (Example::completion(&prompt, &chosen), Example::completion(&prompt, &rejected))
    };
    given().into_iter().map(pair).collect()
}

#[test]
fn rewards_are_those_of_scored_answers_and_equal_answers_teach_nothing() {
    let threads = Threads::new(1);
    for config in configurations() {
        let family = config.family;
        let base = model(config);
        let start = adapted(&base);
        let items: Vec<Scored> = given()
            .into_iter()
            .flat_map(|[prompt, chosen, rejected]| {
                [chosen, rejected]
                    .map(|answer| Scored { prompt: prompt.clone(), completion: answer })
            })
            .collect();
        let scored = score(&start, &items, &threads).unwrap();
        let sum = |at: usize| scored[at].iter().map(|&x| f64::from(x)).sum::<f64>();
        let now = log_probabilities(&start, &pairs(), &threads).unwrap();
        for (at, answers) in now.iter().enumerate() {
            let differences = [answers.chosen - sum(2 * at), answers.rejected - sum(2 * at + 1)];
            assert!(
                differences.iter().all(|it| it.abs() < 1e-2),
                "{family:?} {at}: {differences:?}"
            );
        }

        let method = Method::LowRank(start.adapter.as_ref().unwrap().config.clone());
        let data = Data::Preference { pairs: pairs(), beta: 0.3 };
        let all = crate::train::TrainSettings { batch: 4, ..settings(method) };
        let mut trainer = Trainer::new(&start, data, all, threads.clone()).unwrap();
        let (loss, gradient) = trainer.gradient(&[3]);
        assert!((loss - 2_f64.ln()).abs() < 1e-12);
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        assert!(norm < 1e-6, "{family:?}: {norm}");
        // An update tells what the model was before it.
        trainer.update().unwrap();
        let moved = log_probabilities(&trainer.model(), &pairs(), &threads).unwrap();
        let told = trainer.update().unwrap();
        let (loss, rewards) = compare(&moved, &now, 0.3);
        let found = told.rewards.unwrap();
        let differences = [
            told.loss - loss,
            found.accuracy - rewards.accuracy,
            found.margin - rewards.margin,
            found.chosen - rewards.chosen,
            found.rejected - rewards.rejected,
        ];
        assert!(differences.iter().all(|it| it.abs() < 1e-3), "{family:?}: {differences:?}");
    }
}
