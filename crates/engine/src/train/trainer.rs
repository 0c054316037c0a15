//! The training loop's one step: choose rows, accumulate gradients, update.

use std::ops::Range;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::{
    Data, Example, Method, Optimizer, Schedule, TrainSettings, Update, packed, parts, positions,
};
use crate::Token;
use crate::adapter::Adapter;
use crate::error::{Error, Result};
use crate::head::HeadGradient;
use crate::kernel::update::{Adamw, sgd};
use crate::kernel::vector::square_sum;
use crate::kernel::{Buffer, Threads};
use crate::model::Model;
use crate::pass::{Activations, Gradients, Network, Packing};

/// A training run in progress.
pub struct Trainer {
    pub(super) model: Model,
    pub(super) network: Network,
    pub(super) data: Data,
    pub(super) settings: TrainSettings,
    threads: Threads,
    /// The distillation teacher, or the preference reference.
    other: Option<Network>,
    gradient: Buffer,
    pub(super) first: Buffer,
    pub(super) second: Buffer,
    pub(super) done: usize,
    /// Row numbers of the epoch under way, and which epoch that is.
    order: Vec<usize>,
    epoch: Option<usize>,
    memory: Activations,
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("settings", &self.settings)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl Trainer {
    /// Prepares a run; checks every example against the model's vocabulary and context.
    ///
    /// A low-rank run starts from the model's own adapter where it has one of the same shape, and
    /// from a fresh one otherwise. A full run needs a model without an adapter.
    pub fn new(
        model: &Model,
        data: Data,
        settings: TrainSettings,
        threads: Threads,
    ) -> Result<Self> {
        settings.check()?;
        let mut model = model.clone();
        let other = match &data {
            Data::Distillation { teacher, support, .. } => {
                let (ours, theirs) =
                    (model.decoder.config.vocabulary, teacher.decoder.config.vocabulary);
                if ours != theirs {
                    return Err(Error::Request {
                        item: "teacher".to_owned(),
                        reason: format!(
                            "has a vocabulary of {theirs}, the student's is {ours}; logits cannot be compared"
                        ),
                    });
                }
                if let Some(tokens) = support {
                    let ascending = tokens.windows(2).all(|pair| pair[0] < pair[1]);
                    if tokens.len() < 2
                        || !ascending
                        || tokens.last().is_some_and(|&t| t as usize >= ours)
                    {
                        return Err(Error::Request {
                            item: "support".to_owned(),
                            reason: format!(
                                "must hold at least two tokens below {ours}, ascending, each once"
                            ),
                        });
                    }
                }
                Some(Network::new(teacher))
            }
            Data::Preference { .. } => Some(Network::new(&model)),
            Data::Rows(_) => None,
        };
        match &settings.method {
            Method::Full { .. } if model.adapter.is_some() => {
                return Err(Error::Adapter(
                    "a full run needs a model without adapter; merge it first or train low-rank"
                        .to_owned(),
                ));
            }
            Method::Full { .. } => {}
            Method::LowRank(config) => {
                if model.adapter.as_ref().is_none_or(|a| a.config != *config) {
                    let adapter =
                        Adapter::init(config.clone(), &model.decoder.config, settings.seed)?;
                    model.adapter = Some(Arc::new(adapter));
                }
            }
        }
        let count = match &data {
            Data::Rows(rows) | Data::Distillation { rows, .. } => {
                for (i, row) in rows.iter().enumerate() {
                    row.check(|| format!("row {}", i + 1), &model)?;
                }
                rows.len()
            }
            Data::Preference { pairs, .. } => {
                for (i, (chosen, rejected)) in pairs.iter().enumerate() {
                    chosen.check(|| format!("pair {} (chosen)", i + 1), &model)?;
                    rejected.check(|| format!("pair {} (rejected)", i + 1), &model)?;
                }
                pairs.len()
            }
        };
        if count == 0 {
            return Err(Error::Request {
                item: "training data".to_owned(),
                reason: "is empty; expected at least one row".to_owned(),
            });
        }
        let network = Network::new(&model);
        let len = match settings.method {
            Method::Full { .. } => network.decoder.parameters.data.len(),
            Method::LowRank(_) => network.adapter.as_ref().map_or(0, |a| a.parameters.data.len()),
        };
        let second = match settings.optimizer {
            Optimizer::Adamw { .. } => Buffer::zeros(len),
            Optimizer::Sgd { .. } => Buffer::default(),
        };
        Ok(Self {
            model,
            network,
            data,
            settings,
            threads,
            other,
            gradient: Buffer::zeros(len),
            first: Buffer::zeros(len),
            second,
            done: 0,
            order: (0..count).collect(),
            epoch: None,
            memory: Activations::default(),
        })
    }

    /// Updates done so far.
    pub fn updates_done(&self) -> usize {
        self.done
    }

    /// The model as it is now: the base with the adapter being trained, or new weights.
    pub fn model(&self) -> Model {
        Model {
            decoder: Arc::clone(&self.network.decoder),
            adapter: self.network.adapter.clone(),
            ..self.model.clone()
        }
    }

    /// Does one update.
    pub fn update(&mut self) -> Result<Update> {
        let threads = self.threads.clone();
        let _whole = threads.whole("update");
        let rows: Vec<usize> = (0..self.settings.batch)
            .map(|i| self.row(self.done * self.settings.batch + i))
            .collect();
        self.gradient.fill(0.0);
        let (loss, tokens) = threads.enter(|| self.accumulate(&rows));
        let learning_rate = self.settings.learning_rate_at(self.done);
        let not_finite = |what| Error::NotFinite { update: self.done + 1, what, learning_rate };
        if !loss.is_finite() {
            return Err(not_finite("loss"));
        }
        let gradient_norm = square_sum(&self.gradient).sqrt();
        if !gradient_norm.is_finite() {
            return Err(not_finite("gradient norm"));
        }
        let factor = match self.settings.clip {
            Some(most) if gradient_norm > most => (most / (gradient_norm + 1e-6)) as f32,
            _ => 1.0,
        };
        self.apply(learning_rate, factor);
        self.done += 1;
        Ok(Update { update: self.done, loss, gradient_norm, learning_rate, tokens })
    }

    /// Loss over `rows` of the data and its gradient, flat in the layout of what is trained
    /// (decoder or adapter), without an update.
    pub fn gradient(&mut self, rows: &[usize]) -> (f64, &[f32]) {
        self.gradient.fill(0.0);
        let (loss, _) = self.accumulate(rows);
        (loss, &self.gradient)
    }

    /// Moves the adapter being trained, keeping reference and teacher where they are.
    #[cfg(test)]
    pub(crate) fn replace_adapter(&mut self, adapter: Arc<Adapter>) {
        self.network.adapter = Some(adapter);
    }

    /// The data row at a place in the endless stream of shuffled epochs.
    fn row(&mut self, place: usize) -> usize {
        let count = self.order.len();
        let epoch = place / count;
        if self.epoch != Some(epoch) {
            self.order.sort_unstable();
            let mut random = ChaCha8Rng::seed_from_u64(self.settings.seed);
            random.set_stream(1 + epoch as u64);
            // Fisher and Yates, from the end.
            for i in (1..count).rev() {
                let wide = u128::from(random.next_u64()) * (i as u128 + 1);
                self.order.swap(i, (wide >> 64) as usize);
            }
            self.epoch = Some(epoch);
        }
        self.order[place % count]
    }

    fn accumulate(&mut self, rows: &[usize]) -> (f64, usize) {
        let gradient = std::mem::take(&mut self.gradient);
        let mut job = Accumulation {
            network: &self.network,
            threads: &self.threads,
            full: matches!(self.settings.method, Method::Full { .. }),
            embeddings: matches!(self.settings.method, Method::Full { embeddings: true }),
            gradient,
            memory: std::mem::take(&mut self.memory),
            loss: 0.0,
            tokens: 0,
        };
        let most = self.network.tokens_at_once();
        match &self.data {
            Data::Rows(all) => {
                let examples: Vec<&Example> = rows.iter().map(|&i| &all[i]).collect();
                let weight = 1.0 / examples.iter().map(|e| e.targets()).sum::<usize>() as f32;
                for part in parts(&examples, most) {
                    job.cross_entropy(&part, weight);
                }
            }
            Data::Distillation { rows: all, support, .. } => {
                let examples: Vec<&Example> = rows.iter().map(|&i| &all[i]).collect();
                let weight = 1.0 / examples.iter().map(|e| e.targets()).sum::<usize>() as f32;
                let teacher = self.other.as_ref().expect("a distillation run has a teacher");
                for part in parts(&examples, most) {
                    job.distillation(&part, teacher, support.as_deref(), weight);
                }
            }
            Data::Preference { pairs, beta } => {
                let reference = self.other.as_ref().expect("a preference run has a reference");
                for &i in rows {
                    job.preference(&pairs[i], reference, *beta, 1.0 / rows.len() as f32);
                }
            }
        }
        self.gradient = job.gradient;
        self.memory = job.memory;
        (job.loss, job.tokens)
    }

    fn apply(&mut self, learning_rate: f64, factor: f32) {
        let threads = &self.threads;
        let parameters = match self.settings.method {
            Method::Full { .. } => self.network.weights_mut(),
            Method::LowRank(_) => {
                self.network.adapter_mut().expect("a low-rank run has an adapter")
            }
        };
        // Frozen numbers keep their value even where weight decay would move them.
        let frozen: &[&str] = match self.settings.method {
            Method::Full { embeddings: false } => &["embed.weight", "head.weight"],
            _ => &[],
        };
        let spans = parameters.layout.spans().iter();
        let trained: Vec<Range<usize>> = spans
            .filter(|span| !frozen.contains(&&*span.name))
            .map(|span| span.range.clone())
            .collect();
        let weights = &mut parameters.data;
        for range in joined(trained) {
            let weights = &mut weights[range.clone()];
            let gradient = &self.gradient[range.clone()];
            let first = &mut self.first[range.clone()];
            match self.settings.optimizer {
                Optimizer::Adamw { beta1, beta2, epsilon, weight_decay } => {
                    let rule = Adamw {
                        learning_rate,
                        beta1,
                        beta2,
                        epsilon,
                        weight_decay,
                        update: self.done + 1,
                    };
                    let second = &mut self.second[range];
                    rule.apply(threads, weights, gradient, factor, first, second);
                }
                Optimizer::Sgd { momentum } => {
                    let (rate, momentum) = (learning_rate as f32, momentum as f32);
                    sgd(threads, rate, momentum, weights, gradient, factor, first);
                }
            }
        }
    }
}

/// Ascending ranges with neighbours that touch made one.
fn joined(ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

/// One update's gradient in the making.
struct Accumulation<'a> {
    network: &'a Network,
    threads: &'a Threads,
    full: bool,
    embeddings: bool,
    gradient: Buffer,
    memory: Activations,
    loss: f64,
    tokens: usize,
}

impl Accumulation<'_> {
    fn forward(&mut self, part: &[&Example], packing: Packing) -> Activations {
        self.tokens += part.iter().map(|example| example.tokens.len()).sum::<usize>();
        self.network.forward_training(self.threads, packing, std::mem::take(&mut self.memory))
    }

    /// The rest of a pass once the loss has left its gradient on the normed rows; `with` computes
    /// that gradient, adding the head's where the head is trained.
    fn backward(
        &mut self,
        mut activations: Activations,
        rows: &[usize],
        with: impl FnOnce(&[f32], HeadGradient) -> f64,
    ) {
        let (normed, x, moments) = self.network.final_norm(self.threads, &activations.last, rows);
        let mut d_normed = Buffer::zeros(normed.len());
        let head = self.full.then(|| &mut self.gradient[self.network.head_place()]);
        self.loss += with(&normed, HeadGradient { rows: &mut d_normed, head });
        let mut gradients = if self.full {
            Gradients {
                weights: Some(&mut self.gradient),
                adapter: None,
                embeddings: self.embeddings,
            }
        } else {
            Gradients { weights: None, adapter: Some(&mut self.gradient), embeddings: false }
        };
        self.network.backward(
            self.threads,
            &mut activations,
            rows,
            &x,
            &moments,
            &d_normed,
            &mut gradients,
        );
        self.memory = activations;
    }

    fn cross_entropy(&mut self, part: &[&Example], weight: f32) {
        let packing = packed(part);
        let (rows, targets) = positions(&packing, part);
        let activations = self.forward(part, packing);
        let (network, threads) = (self.network, self.threads);
        let weights = vec![weight; rows.len()];
        self.backward(activations, &rows, |normed, gradient| {
            let found =
                network.cross_entropy(threads, normed, &targets, Some((&weights, gradient)));
            -f64::from(weight) * found.iter().map(|&l| f64::from(l)).sum::<f64>()
        });
    }

    fn distillation(
        &mut self,
        part: &[&Example],
        teacher: &Network,
        support: Option<&[Token]>,
        weight: f32,
    ) {
        let packing = packed(part);
        let (rows, _) = positions(&packing, part);
        // The student's pass goes into the same memory: of the teacher's, only the end is wanted.
        let memory = std::mem::take(&mut self.memory);
        let before = teacher.forward_training(self.threads, packing.clone(), memory);
        let (goal, _, _) = teacher.final_norm(self.threads, &before.last, &rows);
        self.memory = before;
        let activations = self.forward(part, packing);
        let (network, threads) = (self.network, self.threads);
        self.backward(activations, &rows, |normed, gradient| {
            let found =
                network.distillation(threads, normed, teacher, &goal, support, weight, gradient);
            f64::from(weight) * found.iter().map(|&d| f64::from(d)).sum::<f64>()
        });
    }

    fn preference(
        &mut self,
        pair: &(Example, Example),
        reference: &Network,
        beta: f32,
        weight: f32,
    ) {
        let part = [&pair.0, &pair.1];
        let packing = packed(&part);
        let (rows, targets) = positions(&packing, &part);
        let chosen = pair.0.targets();
        let margin = |found: &[f32]| {
            let sum = |part: &[f32]| part.iter().map(|&l| f64::from(l)).sum::<f64>();
            sum(&found[..chosen]) - sum(&found[chosen..])
        };
        let memory = std::mem::take(&mut self.memory);
        let pass = reference.forward_training(self.threads, packing.clone(), memory);
        let (normed, _, _) = reference.final_norm(self.threads, &pass.last, &rows);
        self.memory = pass;
        let before = margin(&reference.cross_entropy(self.threads, &normed, &targets, None));
        let activations = self.forward(&part, packing);
        let (network, threads) = (self.network, self.threads);
        self.backward(activations, &rows, |normed, gradient| {
            let now = margin(&network.cross_entropy(threads, normed, &targets, None));
            let z = f64::from(beta) * (now - before);
            // Slope of -log sigmoid(z), shared by every token of a completion.
            let slope = f64::from(beta) / (1.0 + z.exp()) * f64::from(weight);
            let weights: Vec<f32> = (0..targets.len())
                .map(|i| if i < chosen { slope as f32 } else { -slope as f32 })
                .collect();
            network.cross_entropy(threads, normed, &targets, Some((&weights, gradient)));
            f64::from(weight) * if z > 0.0 { (-z).exp().ln_1p() } else { z.exp().ln_1p() - z }
        });
    }
}

impl TrainSettings {
    /// Fails on a setting out of range.
    pub fn check(&self) -> Result<()> {
        let fail = |field, reason: String| Err(Error::Setting { field, reason });
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return fail(
                "learning-rate",
                format!("is {}, expected a positive number", self.learning_rate),
            );
        }
        if self.batch == 0 {
            return fail("batch", "is 0, expected at least one row per update".to_owned());
        }
        if self.updates == 0 {
            return fail("updates", "is 0, expected at least one".to_owned());
        }
        if self.clip.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
            return fail("clip", "must be a positive number, or left out to never clip".to_owned());
        }
        match self.optimizer {
            Optimizer::Adamw { beta1, beta2, epsilon, weight_decay } => {
                for (field, beta) in [("optimizer.beta1", beta1), ("optimizer.beta2", beta2)] {
                    if !(0.0..1.0).contains(&beta) {
                        return fail(field, format!("is {beta}, expected 0 to below 1"));
                    }
                }
                if !(epsilon.is_finite() && epsilon > 0.0) {
                    return fail(
                        "optimizer.epsilon",
                        format!("is {epsilon}, expected a positive number"),
                    );
                }
                if !(weight_decay.is_finite() && weight_decay >= 0.0) {
                    return fail(
                        "optimizer.weight-decay",
                        format!("is {weight_decay}, expected zero or more"),
                    );
                }
            }
            Optimizer::Sgd { momentum } => {
                if !(0.0..1.0).contains(&momentum) {
                    return fail(
                        "optimizer.momentum",
                        format!("is {momentum}, expected 0 to below 1"),
                    );
                }
            }
        }
        Ok(())
    }

    /// The learning rate of the update after `done` others.
    pub fn learning_rate_at(&self, done: usize) -> f64 {
        if done < self.warmup {
            return self.learning_rate * (done + 1) as f64 / (self.warmup + 1) as f64;
        }
        let rest = self.updates.saturating_sub(self.warmup).max(1) as f64;
        let gone = ((done - self.warmup) as f64 / rest).min(1.0);
        self.learning_rate
            * match self.schedule {
                Schedule::Constant => 1.0,
                Schedule::Linear => 1.0 - gone,
                Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * gone).cos()),
            }
    }
}
