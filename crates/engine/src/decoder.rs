//! One decoder for every family: its parameters and where they lie.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::config::{DecoderConfig, Position};
use crate::error::Result;
use crate::parameters::{Layout, Parameters};

/// A decoder-only transformer's shape and weights.
///
/// Canonical tensor names: `embed.weight` `[vocabulary, width]`; `position.weight`
/// `[context, width]` where positions are learned; per layer `layers.N.` followed by
/// `norm1.weight`, `norm1.bias`, `q|k|v|o.weight` `[outputs, inputs]`, `q|k|v|o.bias`,
/// `q_norm.weight`, `k_norm.weight` `[head-width]`, `norm2.weight`, `norm2.bias`,
/// `gate|up|down.weight`, `gate|up|down.bias`, `post_norm1|post_norm2.weight`; then `norm.weight`,
/// `norm.bias` and, untied, `head.weight` `[vocabulary, width]`.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Shape.
    pub config: DecoderConfig,
    /// Weights.
    pub parameters: Parameters,
}

/// Standard deviations of a fresh decoder's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Deviations {
    /// Of token and position embeddings and an untied head.
    pub embedding: f32,
    /// Of the matrices in the layers.
    pub matrix: f32,
}

impl Default for Deviations {
    /// GPT-2's.
    fn default() -> Self {
        Self { embedding: 0.02, matrix: 0.02 }
    }
}

impl Decoder {
    /// Names and places of every tensor of a decoder.
    pub fn layout(config: &DecoderConfig) -> Arc<Layout> {
        let (d, h, q, kv) = (config.width, config.hidden, config.query_width(), config.kv_width());
        let mut layout = Layout::default();
        let norm = |layout: &mut Layout, name: String| {
            layout.push(format!("{name}.weight"), &[d]);
            if config.norm.centered {
                layout.push(format!("{name}.bias"), &[d]);
            }
        };
        layout.push("embed.weight", &[config.vocabulary, d]);
        if config.position == Position::Learned {
            layout.push("position.weight", &[config.context, d]);
        }
        for i in 0..config.layers {
            let name = |part: &str| format!("layers.{i}.{part}");
            norm(&mut layout, name("norm1"));
            // Adjacent, so that the three are one product.
            layout.push(name("q.weight"), &[q, d]);
            layout.push(name("k.weight"), &[kv, d]);
            layout.push(name("v.weight"), &[kv, d]);
            if config.qkv_bias {
                layout.push(name("q.bias"), &[q]);
                layout.push(name("k.bias"), &[kv]);
                layout.push(name("v.bias"), &[kv]);
            }
            if config.qk_norm {
                layout.push(name("q_norm.weight"), &[config.head_width]);
                layout.push(name("k_norm.weight"), &[config.head_width]);
            }
            layout.push(name("o.weight"), &[d, q]);
            if config.output_bias {
                layout.push(name("o.bias"), &[d]);
            }
            if config.post_norm {
                norm(&mut layout, name("post_norm1"));
            }
            norm(&mut layout, name("norm2"));
            if config.gated {
                layout.push(name("gate.weight"), &[h, d]);
            }
            layout.push(name("up.weight"), &[h, d]);
            if config.mlp_bias {
                if config.gated {
                    layout.push(name("gate.bias"), &[h]);
                }
                layout.push(name("up.bias"), &[h]);
            }
            layout.push(name("down.weight"), &[d, h]);
            if config.mlp_bias {
                layout.push(name("down.bias"), &[d]);
            }
            if config.post_norm {
                norm(&mut layout, name("post_norm2"));
            }
        }
        norm(&mut layout, "norm".to_owned());
        if !config.tied {
            layout.push("head.weight", &[config.vocabulary, d]);
        }
        Arc::new(layout)
    }

    /// A decoder with all-zero weights, to be filled from a file.
    pub fn zeros(config: DecoderConfig) -> Result<Self> {
        config.check()?;
        let parameters = Parameters::zeros(Self::layout(&config));
        Ok(Self { config, parameters })
    }

    /// A fresh decoder: embeddings and matrices normal, matrices that write into the residual
    /// stream divided by sqrt(2·layers) (GPT-2: Radford et al. 2019, section 2.3), norms one,
    /// biases zero.
    pub fn init(config: DecoderConfig, deviations: Deviations, seed: u64) -> Result<Self> {
        let mut decoder = Self::zeros(config)?;
        let residual = 1.0 / (2.0 * decoder.config.layers as f32).sqrt();
        let one = if decoder.config.norm.unit_offset { 0.0 } else { 1.0 };
        let layout = Arc::clone(&decoder.parameters.layout);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for span in layout.spans() {
            let values = &mut decoder.parameters.data[span.range.clone()];
            if span.shape.len() == 2 {
                let embeds = !span.name.starts_with("layers.");
                let writes = span.name.ends_with("o.weight") || span.name.ends_with("down.weight");
                let deviation = match (embeds, writes) {
                    (true, _) => deviations.embedding,
                    (false, true) => deviations.matrix * residual,
                    (false, false) => deviations.matrix,
                };
                values.fill_with(|| deviation * normal(&mut random));
            } else if span.name.contains("norm") && span.name.ends_with("weight") {
                values.fill(one);
            }
        }
        Ok(decoder)
    }
}

/// A standard normal number by the Box-Muller transform (Box & Muller 1958), in f64 so that libm
/// differences vanish in the rounding to f32.
pub(crate) fn normal(random: &mut ChaCha8Rng) -> f32 {
    let unit = |random: &mut ChaCha8Rng| (random.next_u32() as f64 + 0.5) / 4_294_967_296.0;
    let (u, v) = (unit(random), unit(random));
    ((-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()) as f32
}
