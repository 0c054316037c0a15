//! Low-rank adapters: each adapted projection computes `x·Wᵀ + scale · (x·Aᵀ)·Bᵀ`
//! (Hu et al. 2021, arXiv 2106.09685, section 4.1).

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::config::DecoderConfig;
use crate::error::{Error, Result};
use crate::parameters::{Layout, Parameters};

/// A projection an adapter may sit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Attention output.
    O,
    /// Gate of a gated feed-forward block.
    Gate,
    /// First projection of the feed-forward block.
    Up,
    /// Second projection of the feed-forward block.
    Down,
}

impl Projection {
    /// All of them, in storage order.
    pub const ALL: [Self; 7] =
        [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Projections that read the same input.
    pub(crate) const GROUPS: [&'static [Self]; 4] =
        [&[Self::Q, Self::K, Self::V], &[Self::O], &[Self::Gate, Self::Up], &[Self::Down]];

    /// The name in canonical tensor names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q => "q",
            Self::K => "k",
            Self::V => "v",
            Self::O => "o",
            Self::Gate => "gate",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// The name of one of its tensors in a layout.
    pub(crate) fn tensor(self, layer: usize, part: &str) -> String {
        format!("layers.{layer}.{}.{part}", self.name())
    }

    /// `(outputs, inputs)` of the projection in a decoder, or `None` where it has none.
    pub fn shape(self, config: &DecoderConfig) -> Option<(usize, usize)> {
        match self {
            Self::Q => Some((config.query_width(), config.width)),
            Self::K | Self::V => Some((config.kv_width(), config.width)),
            Self::O => Some((config.width, config.query_width())),
            Self::Gate => config.gated.then_some((config.hidden, config.width)),
            Self::Up => Some((config.hidden, config.width)),
            Self::Down => Some((config.width, config.hidden)),
        }
    }
}

/// The shape of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AdapterConfig {
    /// Rank of every update.
    pub rank: usize,
    /// Scale numerator: updates are multiplied by `alpha / rank`.
    pub alpha: f32,
    /// Multiply by `alpha / sqrt(rank)` instead (rsLoRA: Kalajdzievski 2023, arXiv 2312.03732).
    #[serde(default)]
    pub rank_stabilized: bool,
    /// Adapted projections, sorted; empty means all the decoder has.
    #[serde(default)]
    pub targets: Vec<Projection>,
}

impl std::fmt::Display for AdapterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rank, alpha, rank_stabilized, targets } = self;
        let stabilized = if *rank_stabilized { ", rank-stabilized" } else { "" };
        let names: Vec<String> =
            targets.iter().map(|one| format!("{one:?}").to_lowercase()).collect();
        let names = if names.is_empty() { "all".to_owned() } else { names.join(" ") };
        write!(f, "rank {rank}, alpha {alpha}{stabilized}, on {names}")
    }
}

impl AdapterConfig {
    /// The factor on `A` times `B`.
    pub fn scale(&self) -> f32 {
        if self.rank_stabilized {
            self.alpha / (self.rank as f32).sqrt()
        } else {
            self.alpha / self.rank as f32
        }
    }

    /// Whether it makes the same of `config` as another does, however the two are spelled.
    pub fn is_like(&self, other: &Self, config: &DecoderConfig) -> bool {
        (self.rank, self.scale()) == (other.rank, other.scale())
            && self.projections(config) == other.projections(config)
    }

    /// The projections adapted in `config`, in storage order, each with its outputs and inputs.
    pub fn projections(&self, config: &DecoderConfig) -> Vec<(Projection, (usize, usize))> {
        Projection::ALL
            .into_iter()
            .filter(|p| self.targets.is_empty() || self.targets.contains(p))
            .filter_map(|p| Some((p, p.shape(config)?)))
            .collect()
    }
}

/// An adapter's numbers: `layers.N.q.a` of shape `[rank, inputs]`, `layers.N.q.b` of
/// `[outputs, rank]`.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its shape.
    pub config: AdapterConfig,
    /// Its numbers.
    pub parameters: Parameters,
}

impl Adapter {
    /// The layout of an adapter on a decoder.
    pub fn layout(config: &AdapterConfig, decoder: &DecoderConfig) -> Result<Arc<Layout>> {
        let smallest = decoder.width.min(decoder.hidden);
        if config.rank == 0 || config.rank > smallest {
            return Err(Error::Adapter(format!(
                "rank {} is out of range, expected 1 to {smallest} for this model",
                config.rank
            )));
        }
        if !config.alpha.is_finite() || config.alpha <= 0.0 {
            return Err(Error::Adapter(format!("alpha {} must be positive", config.alpha)));
        }
        let mut layout = Layout::default();
        let adapted = config.projections(decoder);
        for layer in 0..decoder.layers {
            // The `A` of projections that read the same input lie together: they are one product.
            for group in Projection::GROUPS {
                let group = || adapted.iter().filter(|(projection, _)| group.contains(projection));
                for (projection, (_, inputs)) in group() {
                    layout.push(projection.tensor(layer, "a"), &[config.rank, *inputs]);
                }
                for (projection, (outputs, _)) in group() {
                    layout.push(projection.tensor(layer, "b"), &[*outputs, config.rank]);
                }
            }
        }
        Ok(Arc::new(layout))
    }

    /// `A` of shape `[rank, inputs]` and `B` of shape `[outputs, rank]` of one projection.
    pub(crate) fn pair(&self, layer: usize, projection: Projection) -> Result<(&[f32], &[f32])> {
        let tensor = |part: &str| {
            let name = projection.tensor(layer, part);
            let found = self.parameters.tensor(&name);
            found.ok_or_else(|| Error::tensor(name, "is missing"))
        };
        Ok((tensor("a")?, tensor("b")?))
    }

    /// A fresh adapter that changes nothing: `A` uniform in ±1/sqrt(inputs) (PEFT's Kaiming uniform
    /// with a = sqrt(5); He et al. 2015, arXiv 1502.01852, section 2.2), `B` zero.
    pub fn init(config: AdapterConfig, decoder: &DecoderConfig, seed: u64) -> Result<Self> {
        let mut parameters = Parameters::zeros(Self::layout(&config, decoder)?);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let layout = Arc::clone(&parameters.layout);
        for span in layout.spans().iter().filter(|span| span.name.rsplit('.').next() == Some("a")) {
            let bound = 1.0 / (span.shape[1] as f32).sqrt();
            for x in &mut parameters.data[span.range.clone()] {
                let unit = (random.next_u32() >> 8) as f32 / 16_777_216.0;
                *x = (2.0 * unit - 1.0) * bound;
            }
        }
        Ok(Self { config, parameters })
    }

    /// Fails unless this adapter's shapes are those of `decoder`.
    pub fn check(&self, decoder: &DecoderConfig) -> Result<()> {
        let expected = Self::layout(&self.config, decoder)?;
        if *expected == *self.parameters.layout {
            return Ok(());
        }
        Err(Error::Adapter(
            "shapes differ from the model's; it was made for another base".to_owned(),
        ))
    }
}
