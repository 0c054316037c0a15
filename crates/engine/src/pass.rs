//! One forward and one backward pass over packed sequences, for every family of decoder.
//!
//! The same layer code serves training, which keeps each layer's activations, and sampling and
//! scoring, which reuse one layer's memory and keep keys and values in a cache instead.

mod backward;
mod cache;
mod packing;

use std::ops::Range;
use std::sync::Arc;

pub(crate) use self::cache::{Cache, Piece};
pub(crate) use self::packing::{Beginning, Packing};
use crate::Token;
use crate::activation::Steering;
use crate::adapter::{Adapter, Projection};
use crate::config::DecoderConfig;
use crate::decoder::Decoder;
use crate::kernel::activation;
use crate::kernel::attention::{self, Block, Heads, Sequence};
use crate::kernel::matrix::{View, ViewMut, product};
use crate::kernel::norm::{Moments, Norm};
use crate::kernel::rotary::Rotary;
use crate::kernel::{Buffer, Threads};
use crate::model::Model;
use crate::parameters::{Layout, Parameters};

/// Activations a training pass may keep, in numbers: five quarters of a gibibyte.
const KEPT: usize = 5 << 26;

/// One of the four matrix products of a layer; fused where inputs are shared.
struct Group {
    weight: Range<usize>,
    bias: Option<Range<usize>>,
    inputs: usize,
    outputs: usize,
    /// All `A` of the group, one under the other.
    a: Range<usize>,
    /// Each adapted projection: its output columns and its `B`.
    b: Vec<(Range<usize>, Range<usize>)>,
}

struct NormPlace {
    weight: Range<usize>,
    bias: Option<Range<usize>>,
}

struct Layer {
    norm1: NormPlace,
    norm2: NormPlace,
    qk_norm: Option<[Range<usize>; 2]>,
    qkv: Group,
    output: Group,
    up: Group,
    down: Group,
}

/// Where everything lies in the flat buffers of a decoder and its adapter.
pub(crate) struct Places {
    layers: Vec<Layer>,
    norm: NormPlace,
    embed: Range<usize>,
    position: Option<Range<usize>>,
    head: Range<usize>,
    rank: usize,
    scale: f32,
}

impl Places {
    fn new(config: &DecoderConfig, weights: &Layout, adapter: Option<&Adapter>) -> Self {
        let find = |name: &str| weights.get(name).map(|span| span.range.clone());
        let must =
            |name: &str| find(name).expect("Decoder::layout has every tensor of its configuration");
        let norm = |name: &str| NormPlace {
            weight: must(&format!("{name}.weight")),
            bias: find(&format!("{name}.bias")),
        };
        let rank = adapter.map_or(0, |a| a.config.rank);
        let group = |layer: usize, projections: &[Projection]| {
            let mut places = Vec::new();
            let (mut columns, mut inputs) = (0, 0);
            let mut a: Option<Range<usize>> = None;
            let mut b = Vec::new();
            for projection in projections {
                let Some((outputs, i)) = projection.shape(config) else {
                    continue;
                };
                let name = format!("layers.{layer}.{}", projection.name());
                inputs = i;
                places.push((must(&format!("{name}.weight")), find(&format!("{name}.bias"))));
                if let Some(adapter) = adapter {
                    let span = |part| {
                        adapter
                            .parameters
                            .layout
                            .get(&format!("{name}.{part}"))
                            .map(|s| s.range.clone())
                    };
                    if let (Some(own), Some(up)) = (span("a"), span("b")) {
                        a = Some(a.map_or(own.start, |a| a.start)..own.end);
                        b.push((columns..columns + outputs, up));
                    }
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
        let layers = (0..config.layers)
            .map(|i| Layer {
                norm1: norm(&format!("layers.{i}.norm1")),
                norm2: norm(&format!("layers.{i}.norm2")),
                qk_norm: config.qk_norm.then(|| {
                    [
                        must(&format!("layers.{i}.q_norm.weight")),
                        must(&format!("layers.{i}.k_norm.weight")),
                    ]
                }),
                qkv: group(i, &[Projection::Q, Projection::K, Projection::V]),
                output: group(i, &[Projection::O]),
                up: group(i, &[Projection::Gate, Projection::Up]),
                down: group(i, &[Projection::Down]),
            })
            .collect();
        Self {
            layers,
            norm: norm("norm"),
            embed: must("embed.weight"),
            position: find("position.weight"),
            head: find("head.weight").unwrap_or_else(|| must("embed.weight")),
            rank,
            scale: adapter.map_or(0.0, |a| a.config.scale()),
        }
    }
}

/// A decoder and adapter prepared for passes.
pub(crate) struct Network {
    pub(crate) decoder: Arc<Decoder>,
    pub(crate) adapter: Option<Arc<Adapter>>,
    steering: Option<Arc<Steering>>,
    places: Places,
    rotary: Option<Rotary>,
}

/// What a layer leaves behind for its backward pass.
#[derive(Default)]
struct Trace {
    input: Buffer,
    moments1: Vec<Moments>,
    normed1: Buffer,
    qkv_raw: Buffer,
    qk_moments: Vec<Moments>,
    qkv: Buffer,
    low_qkv: Buffer,
    mixed: Buffer,
    log_sums: Buffer,
    low_output: Buffer,
    middle: Buffer,
    moments2: Vec<Moments>,
    normed2: Buffer,
    inner: Buffer,
    low_up: Buffer,
    active: Buffer,
    low_down: Buffer,
}

/// Activations kept by [`Network::forward_training`].
#[derive(Default)]
pub(crate) struct Activations {
    packing: Packing,
    traces: Vec<Trace>,
    /// The residual stream after the last layer, `[tokens, width]`.
    pub(crate) last: Buffer,
    /// Memory of the backward pass.
    back: Back,
}

/// What the backward pass of one layer after the other works in.
#[derive(Default)]
#[expect(clippy::struct_field_names, reason = "`d_` marks a gradient, as it does in the pass")]
struct Back {
    d_x: Buffer,
    d_rows: Buffer,
    d_normed: Buffer,
    d_normed2: Buffer,
    d_active: Buffer,
    d_mixed: Buffer,
    d_qkv: Buffer,
    d_low: Buffer,
}

/// Where a backward pass adds its gradients: one of the two is absent.
pub(crate) struct Gradients<'a> {
    pub(crate) weights: Option<&'a mut [f32]>,
    pub(crate) adapter: Option<&'a mut [f32]>,
    /// Whether token embeddings are among the trained weights.
    pub(crate) embeddings: bool,
}

impl Network {
    pub(crate) fn new(model: &Model) -> Self {
        let (decoder, adapter) = (Arc::clone(&model.decoder), model.adapter.clone());
        let places = Places::new(&decoder.config, &decoder.parameters.layout, adapter.as_deref());
        let rotary = Rotary::new(decoder.config.position, decoder.config.context);
        let steering = model.steering.clone();
        Self { decoder, adapter, steering, places, rotary }
    }

    pub(crate) fn config(&self) -> &DecoderConfig {
        &self.decoder.config
    }

    /// The decoder's numbers, to be updated in place.
    pub(crate) fn weights_mut(&mut self) -> &mut Parameters {
        &mut Arc::make_mut(&mut self.decoder).parameters
    }

    /// The adapter's numbers, to be updated in place.
    pub(crate) fn adapter_mut(&mut self) -> Option<&mut Parameters> {
        self.adapter.as_mut().map(|a| &mut Arc::make_mut(a).parameters)
    }

    /// Tokens a training pass takes at once: as many as keep its activations within [`KEPT`], and
    /// no fewer than fill the matrix products. Each pass packs every weight, and reads and writes
    /// the gradient of all that is trained, so few large passes are faster than many small ones.
    pub(crate) fn tokens_at_once(&self) -> usize {
        let c = self.config();
        let layer = 4 * c.width + c.qkv_width() + c.query_width() + c.up_width() + c.hidden;
        (KEPT / (c.layers * layer)).clamp(256, 2048)
    }

    fn weight(&self, range: &Range<usize>) -> &[f32] {
        &self.decoder.parameters.data[range.clone()]
    }

    fn low(&self, range: &Range<usize>) -> &[f32] {
        self.adapter.as_ref().map_or(&[], |a| &a.parameters.data[range.clone()])
    }

    fn norm<'a>(&'a self, place: &'a NormPlace) -> Norm<'a> {
        Norm {
            config: self.config().norm,
            weight: self.weight(&place.weight),
            bias: place.bias.as_ref().map(|b| self.weight(b)),
        }
    }

    fn steer(&self, layer: usize, positions: &[usize], x: &mut [f32]) {
        if let Some(steering) = &self.steering {
            steering.apply(layer, positions, x);
        }
    }

    fn heads(&self) -> Heads {
        let c = self.config();
        Heads { query: c.heads, kv: c.kv_heads, width: c.head_width }
    }

    /// `out (+)= x·Wᵀ + bias + (scale·x·Aᵀ)·Bᵀ`; `low` keeps `scale·x·Aᵀ`.
    fn project(
        &self,
        threads: &Threads,
        group: &Group,
        x: &[f32],
        accumulate: bool,
        out: &mut [f32],
        low: &mut Buffer,
    ) {
        let rows = x.len() / group.inputs;
        let weight = View::dense(self.weight(&group.weight), group.outputs, group.inputs);
        let input = View::dense(x, rows, group.inputs);
        product(threads, input, weight.t(), accumulate, ViewMut::new(out, group.outputs));
        if let Some(bias) = &group.bias {
            let bias = self.weight(bias);
            for row in out.chunks_exact_mut(group.outputs) {
                crate::kernel::vector::add(row, bias);
            }
        }
        let rank = self.places.rank;
        let slots = group.b.len() * rank;
        low.reset(rows * slots);
        if slots == 0 || rows == 0 {
            return;
        }
        let a = View::dense(self.low(&group.a), slots, group.inputs);
        product(threads, input, a.t(), false, ViewMut::new(low, slots));
        for x in low.iter_mut() {
            *x *= self.places.scale;
        }
        for (slot, (columns, b)) in group.b.iter().enumerate() {
            let b = View::dense(self.low(b), columns.len(), rank);
            let u = View::new(&low[slot * rank..], rows, rank, slots);
            product(
                threads,
                u,
                b.t(),
                true,
                ViewMut::new(&mut out[columns.start..], group.outputs),
            );
        }
    }

    fn embed(&self, tokens: &[Token], positions: &[usize], out: &mut Buffer) {
        let width = self.config().width;
        let table = self.weight(&self.places.embed);
        let rows = out.reset(tokens.len() * width).chunks_exact_mut(width);
        for ((&token, &position), x) in tokens.iter().zip(positions).zip(rows) {
            let row = &table[token as usize * width..][..width];
            for (x, w) in x.iter_mut().zip(row) {
                *x = w * self.config().embedding_scale;
            }
            if let Some(place) = &self.places.position {
                crate::kernel::vector::add(x, &self.weight(place)[position * width..][..width]);
            }
        }
    }

    /// Queries and keys are normalised (Qwen3) and rotated in place.
    fn place_heads(
        &self,
        threads: &Threads,
        layer: &Layer,
        positions: &[usize],
        trace: &mut Trace,
    ) {
        let c = self.config();
        let stride = c.qkv_width();
        if let Some(place) = &layer.qk_norm {
            trace.qkv_raw.copy(&trace.qkv);
            let heads = c.heads + c.kv_heads;
            trace.qk_moments.resize(positions.len() * heads, Moments::default());
            for r in 0..positions.len() {
                for head in 0..heads {
                    let at =
                        r * stride + head * c.head_width..r * stride + (head + 1) * c.head_width;
                    let norm = self.head_norm(place, head);
                    let index = r * heads + head;
                    norm.forward(
                        &Threads::new(1),
                        &trace.qkv_raw[at.clone()],
                        &mut trace.qkv[at],
                        &mut trace.qk_moments[index..=index],
                    );
                }
            }
        }
        if let Some(rotary) = &self.rotary {
            let heads = c.heads + c.kv_heads;
            rotary.apply(threads, &mut trace.qkv, stride, c.head_width, heads, positions, false);
        }
    }

    fn head_norm<'a>(&'a self, place: &[Range<usize>; 2], head: usize) -> Norm<'a> {
        let which = usize::from(head >= self.config().heads);
        let config = crate::config::NormConfig { centered: false, ..self.config().norm };
        Norm { config, weight: self.weight(&place[which]), bias: None }
    }

    /// One layer: `x` is the residual stream, read and replaced. `attend` fills `trace.mixed` from
    /// `trace.qkv`.
    fn layer(
        &self,
        threads: &Threads,
        layer: &Layer,
        positions: &[usize],
        x: &mut [f32],
        trace: &mut Trace,
        keep: bool,
        attend: impl FnOnce(&mut Trace),
    ) {
        let c = self.config();
        let rows = positions.len();
        if keep {
            trace.input.copy(x);
        }
        trace.normed1.reset(x.len());
        trace.moments1.resize(rows, Moments::default());
        self.norm(&layer.norm1).forward(threads, x, &mut trace.normed1, &mut trace.moments1);
        trace.qkv.reset(rows * c.qkv_width());
        self.project(
            threads,
            &layer.qkv,
            &trace.normed1,
            false,
            &mut trace.qkv,
            &mut trace.low_qkv,
        );
        self.place_heads(threads, layer, positions, trace);
        trace.mixed.reset(rows * c.query_width());
        attend(trace);
        trace.normed2.reset(x.len());
        trace.moments2.resize(rows, Moments::default());
        let norm2 = self.norm(&layer.norm2);
        if c.parallel {
            norm2.forward(threads, x, &mut trace.normed2, &mut trace.moments2);
            self.project(threads, &layer.output, &trace.mixed, true, x, &mut trace.low_output);
        } else {
            self.project(threads, &layer.output, &trace.mixed, true, x, &mut trace.low_output);
            if keep {
                trace.middle.copy(x);
            }
            norm2.forward(threads, x, &mut trace.normed2, &mut trace.moments2);
        }
        trace.inner.reset(rows * c.up_width());
        self.project(
            threads,
            &layer.up,
            &trace.normed2,
            false,
            &mut trace.inner,
            &mut trace.low_up,
        );
        trace.active.reset(rows * c.hidden);
        activation::forward(
            threads,
            c.activation,
            c.gated,
            c.hidden,
            &trace.inner,
            &mut trace.active,
        );
        self.project(threads, &layer.down, &trace.active, true, x, &mut trace.low_down);
    }

    /// Runs packed sequences and keeps what the backward pass needs, in the memory of earlier
    /// `activations`.
    pub(crate) fn forward_training(
        &self,
        threads: &Threads,
        packing: Packing,
        mut activations: Activations,
    ) -> Activations {
        let positions = &packing.positions;
        let mut x = std::mem::take(&mut activations.last);
        self.embed(&packing.tokens, positions, &mut x);
        activations.traces.resize_with(self.config().layers, Trace::default);
        let c = self.config();
        let (stride, width) = (c.qkv_width(), c.query_width());
        for (index, (layer, trace)) in
            self.places.layers.iter().zip(&mut activations.traces).enumerate()
        {
            self.steer(index, positions, &mut x);
            self.layer(threads, layer, positions, &mut x, trace, true, |trace| {
                let qkv = &trace.qkv;
                let block = |rows: &Range<usize>| {
                    let own = &qkv[rows.start * stride..rows.end * stride];
                    Block {
                        keys: &own[width..],
                        values: &own[width + c.kv_width()..],
                        stride,
                        len: rows.len(),
                    }
                };
                let shared = (packing.shared > 0).then_some(0..packing.shared);
                let before: Vec<Block> = shared.iter().map(block).collect();
                let own = packing.own.iter().map(|rows| {
                    let blocks = before.iter().copied().chain([block(rows)]).collect();
                    Sequence { rows: rows.clone(), blocks, seamless: false }
                });
                let first = shared.clone().map(|rows| {
                    let blocks = before.clone();
                    Sequence { rows, blocks, seamless: false }
                });
                let sequences: Vec<Sequence> = first.into_iter().chain(own).collect();
                trace.log_sums.reset(positions.len() * c.heads);
                attention::forward(
                    threads,
                    self.heads(),
                    qkv,
                    stride,
                    &sequences,
                    &mut trace.mixed,
                    Some(&mut trace.log_sums),
                );
            });
        }
        self.steer(c.layers, positions, &mut x);
        activations.last = x;
        activations.packing = packing;
        activations
    }

    /// Runs new tokens of several sequences over their caches; returns the residual stream,
    /// `[tokens, width]`, sequences one after the other.
    pub(crate) fn forward_cached(&self, threads: &Threads, pieces: &mut [Piece]) -> Buffer {
        self.forward_pieces(threads, pieces, false)
    }

    /// The same for pieces of prompts: how many of a prompt's tokens come at once changes no bit.
    pub(crate) fn forward_prompts(&self, threads: &Threads, pieces: &mut [Piece]) -> Buffer {
        self.forward_pieces(threads, pieces, true)
    }

    fn forward_pieces(&self, threads: &Threads, pieces: &mut [Piece], seamless: bool) -> Buffer {
        let c = self.config();
        let mut tokens = Vec::new();
        let mut positions = Vec::new();
        let mut rows = Vec::new();
        for piece in pieces.iter() {
            let past = piece.before.iter().map(|b| b.len).sum::<usize>() + piece.own.len;
            rows.push(tokens.len()..tokens.len() + piece.tokens.len());
            tokens.extend_from_slice(piece.tokens);
            positions.extend(past..past + piece.tokens.len());
        }
        let mut x = Buffer::default();
        self.embed(&tokens, &positions, &mut x);
        let mut trace = Trace::default();
        let (stride, width) = (c.qkv_width(), c.query_width());
        for (index, layer) in self.places.layers.iter().enumerate() {
            self.steer(index, &positions, &mut x);
            self.layer(threads, layer, &positions, &mut x, &mut trace, false, |trace| {
                for (piece, rows) in pieces.iter_mut().zip(&rows) {
                    for row in
                        trace.qkv[rows.start * stride..rows.end * stride].chunks_exact(stride)
                    {
                        piece.own.layers[index].extend_from_slice(&row[width..]);
                    }
                }
                let sequences: Vec<Sequence> = pieces
                    .iter()
                    .zip(&rows)
                    .map(|(piece, rows)| {
                        let before = piece.before.iter().map(|b| b.block(index, c));
                        let blocks = before.chain([piece.own.block(index, c)]).collect();
                        Sequence { rows: rows.clone(), blocks, seamless }
                    })
                    .collect();
                attention::forward(
                    threads,
                    self.heads(),
                    &trace.qkv,
                    stride,
                    &sequences,
                    &mut trace.mixed,
                    None,
                );
            });
        }
        self.steer(c.layers, &positions, &mut x);
        for piece in pieces.iter_mut() {
            piece.own.len += piece.tokens.len();
        }
        x
    }

    /// The final norm of chosen rows of the residual stream: what the output head reads.
    pub(crate) fn final_norm(
        &self,
        threads: &Threads,
        last: &[f32],
        rows: &[usize],
    ) -> (Buffer, Buffer, Vec<Moments>) {
        let width = self.config().width;
        let mut x = Buffer::default();
        for (to, &row) in x.reset(rows.len() * width).chunks_exact_mut(width).zip(rows) {
            to.copy_from_slice(&last[row * width..][..width]);
        }
        let mut normed = Buffer::zeros(x.len());
        let mut moments = vec![Moments::default(); rows.len()];
        self.norm(&self.places.norm).forward(threads, &x, &mut normed, &mut moments);
        (normed, x, moments)
    }

    /// The output head, `[vocabulary, width]`.
    pub(crate) fn head(&self) -> &[f32] {
        self.weight(&self.places.head)
    }

    /// Where the head's gradient goes.
    pub(crate) fn head_place(&self) -> Range<usize> {
        self.places.head.clone()
    }
}
