//! Where everything lies in the flat buffers of a decoder and its adapter.

use std::ops::Range;

use crate::adapter::{Adapter, Projection};
use crate::config::{DecoderConfig, LocalAttention};
use crate::parameters::Layout;

/// One of the four matrix products of a layer. Projections that read the same input (query, key and
/// value; gate and up) lie one under the other and are one product.
pub(super) struct Group {
    /// `[outputs, inputs]`.
    pub(super) weight: Range<usize>,
    /// `[outputs]`.
    pub(super) bias: Option<Range<usize>>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// All LoRA `A` of the group, one under the other: `[adapted projections · rank, inputs]`.
    pub(super) a: Range<usize>,
    /// Each adapted projection: its output columns and its LoRA `B`, `[columns, rank]`.
    pub(super) b: Vec<(Range<usize>, Range<usize>)>,
}

/// A norm's weight `[width]` and bias `[width]`.
pub(super) struct NormPlace {
    pub(super) weight: Range<usize>,
    pub(super) bias: Option<Range<usize>>,
}

pub(super) struct Layer {
    /// The window of a local layer.
    pub(super) local: Option<LocalAttention>,
    pub(super) norm1: NormPlace,
    pub(super) norm2: NormPlace,
    /// Of what attention and feed-forward give.
    pub(super) post_norm1: Option<NormPlace>,
    pub(super) post_norm2: Option<NormPlace>,
    /// Weights of the query and key norms, each `[head width]`.
    pub(super) qk_norm: Option<[Range<usize>; 2]>,
    pub(super) qkv: Group,
    pub(super) output: Group,
    pub(super) up: Group,
    pub(super) down: Group,
}

pub(super) struct Places {
    pub(super) layers: Vec<Layer>,
    pub(super) norm: NormPlace,
    /// `[vocabulary, width]`.
    pub(super) embed: Range<usize>,
    /// `[context, width]`.
    pub(super) position: Option<Range<usize>>,
    /// `[vocabulary, width]`; that of `embed` where they are tied.
    pub(super) head: Range<usize>,
    /// Of the adapter; 0 without one.
    pub(super) rank: usize,
    /// The adapter's factor on `B·A`.
    pub(super) scale: f32,
}

impl Places {
    /// Places in the layouts of a decoder's weights and of an adapter on it.
    pub(super) fn new(config: &DecoderConfig, weights: &Layout, adapter: Option<&Adapter>) -> Self {
        let find = |name: &str| weights.get(name).map(|span| span.range.clone());
        let must =
            |name: &str| find(name).expect("Decoder::layout has every tensor of its configuration");
        let norm = |name: &str| NormPlace {
            weight: must(&format!("{name}.weight")),
            bias: find(&format!("{name}.bias")),
        };
        let group = |layer: usize, projections: &[Projection]| {
            let mut places = Vec::new();
            let (mut columns, mut inputs) = (0, 0);
            let mut a: Option<Range<usize>> = None;
            let mut b = Vec::new();
            for projection in projections {
                let Some((outputs, i)) = projection.shape(config) else {
                    continue;
                };
                let name = |part| projection.tensor(layer, part);
                inputs = i;
                places.push((must(&name("weight")), find(&name("bias"))));
                let low = |part| {
                    let span = adapter?.parameters.layout.get(&name(part));
                    span.map(|span| span.range.clone())
                };
                if let (Some(own), Some(up)) = (low("a"), low("b")) {
                    a = Some(a.map_or(own.start, |a| a.start)..own.end);
                    b.push((columns..columns + outputs, up));
                }
                columns += outputs;
            }
            let (first, last) = (&places[0], &places[places.len() - 1]);
            Group {
                weight: first.0.start..last.0.end,
                bias: first.1.as_ref().zip(last.1.as_ref()).map(|(f, l)| f.start..l.end),
                inputs,
                outputs: columns,
                a: a.unwrap_or(0..0),
                b,
            }
        };
        let layer = |i: usize| {
            let [qkv, output, up, down] = Projection::GROUPS.map(|group_of| group(i, group_of));
            let head_norm = |name: &str| must(&format!("layers.{i}.{name}.weight"));
            let post = |name: &str| config.post_norm.then(|| norm(&format!("layers.{i}.{name}")));
            Layer {
                local: config.local_in(i),
                norm1: norm(&format!("layers.{i}.norm1")),
                norm2: norm(&format!("layers.{i}.norm2")),
                post_norm1: post("post_norm1"),
                post_norm2: post("post_norm2"),
                qk_norm: config.qk_norm.then(|| ["q_norm", "k_norm"].map(head_norm)),
                qkv,
                output,
                up,
                down,
            }
        };
        Self {
            layers: (0..config.layers).map(layer).collect(),
            norm: norm("norm"),
            embed: must("embed.weight"),
            position: find("position.weight"),
            head: find("head.weight").unwrap_or_else(|| must("embed.weight")),
            rank: adapter.map_or(0, |a| a.config.rank),
            scale: adapter.map_or(0.0, |a| a.config.scale()),
        }
    }
}
