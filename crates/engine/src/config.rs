//! The shape of one decoder: every family the engine runs is a value of [`DecoderConfig`].
//!
//! This is the engine's own description, independent of any file format; `file` translates
//! Hugging Face `config.json` and GGUF metadata into it and back.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The family a checkpoint belongs to: decides tensor names in files, never arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Llama, SmolLM2, and Mistral, which is a Llama whose layers may all have a window.
    Llama,
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Qwen3.
    Qwen3,
    /// GPT-NeoX and Pythia.
    GptNeox,
    /// GPT-2.
    Gpt2,
    /// Gemma (first generation).
    Gemma,
    /// Gemma 3, text only.
    Gemma3,
}

impl Family {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Llama,
        Self::Qwen2,
        Self::Qwen3,
        Self::GptNeox,
        Self::Gpt2,
        Self::Gemma,
        Self::Gemma3,
    ];

    /// Whether it is one of Gemma's generations.
    pub(crate) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma | Self::Gemma3)
    }
}

/// How a residual stream is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NormConfig {
    /// `true`: mean is subtracted and a bias added (LayerNorm); `false`: RMSNorm.
    pub centered: bool,
    /// Added to the variance before the square root.
    pub epsilon: f32,
    /// The stored weight is an offset from one (Gemma).
    pub unit_offset: bool,
}

/// The non-linearity of the feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x·sigmoid(x).
    Silu,
    /// The exact Gaussian error linear unit (erf).
    Gelu,
    /// The tanh approximation of it (GPT-2's `gelu_new`).
    GeluTanh,
}

/// Where a token's position enters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Position {
    /// Rotary embedding on the first `width` dimensions of each head, halves rotated together.
    Rotary {
        /// Base of the geometric frequencies.
        theta: f32,
        /// How many of a head's dimensions rotate (even).
        width: usize,
        /// Llama 3's frequency scaling, where the checkpoint has it.
        #[serde(default)]
        scaling: Option<RotaryScaling>,
    },
    /// A learned vector per position, added to the token embedding.
    Learned,
}

impl Position {
    /// How many of a head's dimensions rotate, where positions are rotary.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Rotary { width, .. } => Some(width),
            Self::Learned => None,
        }
    }
}

/// Llama 3 rotary scaling: low frequencies divided by `factor`, a smooth ramp between the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RotaryScaling {
    /// Divisor of low frequencies.
    pub factor: f32,
    /// Wavelengths above `original_context / low` are divided.
    pub low: f32,
    /// Wavelengths below `original_context / high` stay.
    pub high: f32,
    /// Context length the checkpoint was first trained at.
    pub original_context: f32,
}

/// Layers that attend only to the last few tokens: those between others that attend to all (Gemma 3 technical
/// report, arXiv 2503.19786, section 2), or all of them (Mistral 7B, arXiv 2310.06825, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalAttention {
    /// How many tokens a local layer attends to, the token's own among them.
    pub window: usize,
    /// Base of the rotary frequencies in local layers, which are not scaled.
    pub theta: f32,
    /// Of so many layers the last is not local, and so on again; more than there are: all are local.
    pub every: usize,
}

/// The shape of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DecoderConfig {
    /// Family, for file names only.
    pub family: Family,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_width: usize,
    /// Width of the feed-forward block's inside.
    pub hidden: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Normalisation, the same everywhere.
    pub norm: NormConfig,
    /// Non-linearity of the feed-forward block.
    pub activation: Activation,
    /// The feed-forward block multiplies by a second, linear projection (SwiGLU and kin).
    pub gated: bool,
    /// How positions enter.
    pub position: Position,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias on the attention output projection.
    pub output_bias: bool,
    /// Biases in the feed-forward block.
    pub mlp_bias: bool,
    /// RMSNorm over each query and key head before rotation (Qwen3, Gemma 3).
    pub qk_norm: bool,
    /// What attention and feed-forward give is normalised before it is added (Gemma 3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub post_norm: bool,
    /// Attention scores are divided by the root of this; `None`: of the head width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_scalar: Option<f32>,
    /// Which layers see a window of the sequence; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalAttention>,
    /// Attention and feed-forward read the same residual and are added together (GPT-NeoX).
    pub parallel: bool,
    /// The output head is the embedding.
    pub tied: bool,
    /// Factor on token embeddings (Gemma: sqrt(width)).
    pub embedding_scale: f32,
}

impl DecoderConfig {
    /// What models of a family have in common, where their files do not say otherwise. Of the sizes only
    /// `width` is set, the others are zero, that of a window too.
    pub fn of(family: Family, width: usize) -> Self {
        let classic = matches!(family, Family::Gpt2 | Family::GptNeox);
        let (gemma, gemma3) = (family.is_gemma(), family == Family::Gemma3);
        Self {
            family,
            vocabulary: 0,
            width,
            layers: 0,
            heads: 0,
            kv_heads: 0,
            head_width: 0,
            hidden: 0,
            context: 0,
            norm: NormConfig {
                centered: classic,
                epsilon: if classic { 1e-5 } else { 1e-6 },
                unit_offset: gemma,
            },
            activation: match family {
                Family::Llama | Family::Qwen2 | Family::Qwen3 => Activation::Silu,
                Family::GptNeox => Activation::Gelu,
                Family::Gpt2 | Family::Gemma | Family::Gemma3 => Activation::GeluTanh,
            },
            gated: !classic,
            position: match family {
                Family::Gpt2 => Position::Learned,
                Family::Gemma3 => Position::Rotary { theta: 1e6, width: 0, scaling: None },
                _ => Position::Rotary { theta: 10_000.0, width: 0, scaling: None },
            },
            qkv_bias: classic || family == Family::Qwen2,
            output_bias: classic,
            mlp_bias: classic,
            qk_norm: gemma3 || family == Family::Qwen3,
            post_norm: gemma3,
            query_scalar: None,
            local: gemma3.then_some(LocalAttention { window: 0, theta: 10_000.0, every: 6 }),
            parallel: family == Family::GptNeox,
            tied: gemma || family == Family::Gpt2,
            embedding_scale: if gemma { (width as f64).sqrt() as f32 } else { 1.0 },
        }
    }

    /// A Llama as small as one can be and still do everything: what tests and benchmarks vary.
    pub fn tiny(vocabulary: usize) -> Self {
        Self {
            vocabulary,
            layers: 2,
            heads: 2,
            kv_heads: 2,
            head_width: 8,
            hidden: 32,
            context: 128,
            norm: NormConfig { centered: false, epsilon: 1e-5, unit_offset: false },
            position: Position::Rotary { theta: 10_000.0, width: 8, scaling: None },
            tied: true,
            ..Self::of(Family::Llama, 16)
        }
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Width of all key (or value) heads together.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_width
    }

    /// Width of the fused query, key and value projection.
    pub fn qkv_width(&self) -> usize {
        self.query_width() + 2 * self.kv_width()
    }

    /// Width of the fused first feed-forward projection (gate and up, or up alone).
    pub fn up_width(&self) -> usize {
        if self.gated { 2 * self.hidden } else { self.hidden }
    }

    /// The window of a layer, if it is local.
    pub fn local_in(&self, layer: usize) -> Option<LocalAttention> {
        self.local.filter(|local| !(layer + 1).is_multiple_of(local.every))
    }

    /// Checks every relation the kernels rely on, with sizes bounded so that products cannot
    /// overflow.
    pub fn check(&self) -> Result<()> {
        let bounded = [
            ("vocabulary", self.vocabulary, 1 << 22),
            ("width", self.width, 1 << 16),
            ("layers", self.layers, 1 << 10),
            ("heads", self.heads, 1 << 10),
            ("kv-heads", self.kv_heads, 1 << 10),
            ("head-width", self.head_width, 1 << 12),
            ("hidden", self.hidden, 1 << 18),
            ("context", self.context, 1 << 22),
        ];
        for (field, value, most) in bounded {
            if value == 0 || value > most {
                return Err(Error::config(field, format!("is {value}, expected 1 to {most}")));
            }
        }
        let (heads, kv_heads, head_width) = (self.heads, self.kv_heads, self.head_width);
        if !heads.is_multiple_of(kv_heads) {
            let reason = format!("{kv_heads} does not divide heads {heads}");
            return Err(Error::config("kv-heads", reason));
        }
        if let Position::Rotary { width, theta, .. } = self.position {
            if width == 0 || width % 2 != 0 || width > head_width {
                let reason =
                    format!("is {width}, expected an even number up to head-width {head_width}");
                return Err(Error::config("position.width", reason));
            }
            if !(theta.is_finite() && theta > 0.0) {
                let reason = format!("is {theta}, expected a positive number");
                return Err(Error::config("position.theta", reason));
            }
        }
        if let Some(LocalAttention { window, theta, every }) = self.local {
            if window == 0 || every < 2 || !matches!(self.position, Position::Rotary { .. }) {
                let reason = "needs a window of a token or more, two layers or more from one that \
                              is not local to the next, and rotary positions";
                return Err(Error::config("local", reason));
            }
            if !(theta.is_finite() && theta > 0.0) {
                let reason = format!("is {theta}, expected a positive number");
                return Err(Error::config("local.theta", reason));
            }
        }
        if let Some(scalar) = self.query_scalar
            && !(scalar.is_finite() && scalar > 0.0)
        {
            let reason = format!("is {scalar}, expected a positive number");
            return Err(Error::config("query-scalar", reason));
        }
        let epsilon = self.norm.epsilon;
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            let reason = format!("is {epsilon}, expected zero or more");
            return Err(Error::config("norm.epsilon", reason));
        }
        if !self.embedding_scale.is_finite() {
            return Err(Error::config("embedding-scale", "is not a finite number"));
        }
        Ok(())
    }
}
