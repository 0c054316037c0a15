//! The backward pass: gradients of weights or adapter, layer by layer from the last.

use super::places::{Group, Layer, NormPlace};
use super::{Activations, Given, Gradients, HEAD_NORM_ROWS, Network, Packing, Trace};
use crate::kernel::matrix::{View, ViewMut, product};
use crate::kernel::norm::{Moments, add_rows};
use crate::kernel::{Buffer, Rows, activation, attention, vector};

/// What the backward pass of one layer after the other works in; each is the gradient of what its
/// name says.
#[derive(Default)]
#[expect(clippy::struct_field_names, reason = "`d_` marks a gradient, as it does in the pass")]
pub(super) struct Memory {
    /// The residual stream, `[rows, width]`.
    d_x: Buffer,
    /// The rows of it that the loss reads.
    d_picked: Buffer,
    /// What the two norms of a layer give, `[rows, width]`.
    d_normed1: Buffer,
    d_normed2: Buffer,
    /// What a block gave before the norm after it, `[rows, width]`.
    d_given: Buffer,
    /// `[rows, hidden]`.
    d_active: Buffer,
    /// `[rows, query width]`.
    d_mixed: Buffer,
    /// `[rows, qkv width]`.
    d_qkv: Buffer,
    /// `[rows, adapted projections · rank]`.
    d_low: Buffer,
}

/// A backward pass under way.
struct Backward<'a, 'g> {
    network: &'a Network,
    gradients: &'a mut Gradients<'g>,
}

impl Network {
    /// Adds to `gradients` those of a loss that reads rows `rows` of the residual stream.
    ///
    /// `picked` are these rows and `moments` their moments in the final norm, as [`Network::pick`]
    /// and [`Network::final_norm`] gave them; `d_normed`, `[rows, width]`, is the loss's gradient
    /// with respect to what the final norm gave.
    pub(crate) fn backward(
        &self,
        activations: &mut Activations,
        rows: &[usize],
        picked: &[f32],
        moments: &[Moments],
        d_normed: &[f32],
        gradients: &mut Gradients,
    ) {
        let (c, threads) = (self.config(), &self.threads);
        let Activations { packing, traces, last, back } = activations;
        let Memory { d_x, d_picked, d_normed1, d_normed2, d_given, .. } = back;
        let Memory { d_active, d_mixed, d_qkv, d_low, .. } = back;
        let count = packing.positions.len();
        d_x.reset(last.len()).fill(0.0);
        d_picked.reset(picked.len()).fill(0.0);
        d_normed1.reset(count * c.width);
        d_normed2.reset(count * c.width);
        d_active.reset(count * c.hidden);
        d_mixed.reset(count * c.query_width());
        d_qkv.reset(count * c.qkv_width());
        let mut pass = Backward { network: self, gradients };
        pass.norm(&self.places.norm, picked, moments, d_normed, d_picked);
        for (&row, d) in rows.iter().zip(d_picked.chunks_exact(c.width)) {
            vector::add(&mut d_x[row * c.width..][..c.width], d);
        }
        for (layer, trace) in self.places.layers.iter().zip(traces).rev() {
            let d_out = pass.given(layer.post_norm2.as_ref(), &trace.given2, d_x, d_given);
            pass.project(&layer.down, &trace.active, &trace.low_down, d_out, d_active, d_low);
            let inner = &mut trace.inner;
            activation::backward(threads, c.activation, c.gated, c.hidden, inner, d_active);
            pass.project(&layer.up, &trace.normed2, &trace.low_up, inner, d_normed2, d_low);
            if !c.parallel {
                pass.norm(&layer.norm2, &trace.middle, &trace.moments2, d_normed2, d_x);
            }
            let d_out = pass.given(layer.post_norm1.as_ref(), &trace.given1, d_x, d_given);
            pass.project(&layer.output, &trace.mixed, &trace.low_output, d_out, d_mixed, d_low);
            if c.parallel {
                pass.norm(&layer.norm2, &trace.input, &trace.moments2, d_normed2, d_x);
            }
            attention::backward(
                threads,
                self.heads(layer),
                &trace.qkv,
                packing.shared,
                &packing.own,
                &trace.mixed,
                &trace.log_sums,
                d_mixed,
                d_qkv,
            );
            pass.place_heads(layer, &packing.positions, trace, d_qkv);
            pass.project(&layer.qkv, &trace.normed1, &trace.low_qkv, d_qkv, d_normed1, d_low);
            pass.norm(&layer.norm1, &trace.input, &trace.moments1, d_normed1, d_x);
        }
        pass.embed(packing, d_x);
    }
}

impl Backward<'_, '_> {
    /// Through the norm of [`Network::give`], if there is one: the gradient of what the projection
    /// gave, `[rows, width]`, in `d_given` or `d_x` itself.
    fn given<'d>(
        &mut self,
        post: Option<&NormPlace>,
        given: &Given,
        d_x: &'d [f32],
        d_given: &'d mut Buffer,
    ) -> &'d [f32] {
        let Some(post) = post else { return d_x };
        d_given.reset(d_x.len()).fill(0.0);
        self.norm(post, &given.raw, &given.moments, d_x, d_given);
        d_given
    }

    /// Through [`Network::project`]: adds the group's gradients and writes that of its input. `x`
    /// and `d_x` are `[rows, inputs]`, `d_out` is `[rows, outputs]`, `low` what the forward pass
    /// kept.
    fn project(
        &mut self,
        group: &Group,
        x: &[f32],
        low: &[f32],
        d_out: &[f32],
        d_x: &mut [f32],
        d_low: &mut Buffer,
    ) {
        let (network, threads) = (self.network, &self.network.threads);
        let rows = x.len() / group.inputs;
        let d = View::dense(d_out, rows, group.outputs);
        let input = View::dense(x, rows, group.inputs);
        let weight = View::dense(network.weight(&group.weight), group.outputs, group.inputs);
        product(threads, d, weight, false, ViewMut::new(d_x, group.inputs));
        if let Some(weights) = &mut self.gradients.weights {
            let d_weight = ViewMut::new(&mut weights[group.weight.clone()], group.inputs);
            product(threads, d.t(), input, true, d_weight);
            if let Some(bias) = &group.bias {
                add_rows(d_out, &mut weights[bias.clone()]);
            }
        }
        let rank = network.places.rank;
        let slots = group.b.len() * rank;
        if slots == 0 {
            return;
        }
        d_low.reset(rows * slots);
        for (slot, (columns, b)) in group.b.iter().enumerate() {
            let d = View::new(&d_out[columns.start..], rows, columns.len(), group.outputs);
            let up = View::dense(network.low(b), columns.len(), rank);
            product(threads, d, up, false, ViewMut::new(&mut d_low[slot * rank..], slots));
            if let Some(adapter) = &mut self.gradients.adapter {
                let u = View::new(&low[slot * rank..], rows, rank, slots);
                product(threads, d.t(), u, true, ViewMut::new(&mut adapter[b.clone()], rank));
            }
        }
        for x in d_low.iter_mut() {
            *x *= network.places.scale;
        }
        let d_low = View::dense(d_low, rows, slots);
        let a = View::dense(network.low(&group.a), slots, group.inputs);
        product(threads, d_low, a, true, ViewMut::new(d_x, group.inputs));
        if let Some(adapter) = &mut self.gradients.adapter {
            let d_a = ViewMut::new(&mut adapter[group.a.clone()], group.inputs);
            product(threads, d_low.t(), input, true, d_a);
        }
    }

    /// Through a norm: adds its gradients, and to `d_x` that of its input; `x`, `d_y` and `d_x` are
    /// `[rows, width]`.
    fn norm(
        &mut self,
        place: &NormPlace,
        x: &[f32],
        moments: &[Moments],
        d_y: &[f32],
        d_x: &mut [f32],
    ) {
        let norm = self.network.norm(place);
        norm.backward(&self.network.threads, x, moments, d_y, d_x);
        if let Some(weights) = &mut self.gradients.weights {
            // Summed apart and then added, so that the order of sums does not depend on earlier
            // passes.
            let mut d_weight = vec![0.0; place.weight.len()];
            let mut d_bias = place.bias.as_ref().map(|b| vec![0.0; b.len()]);
            norm.backward_parameters(x, moments, d_y, &mut d_weight, d_bias.as_deref_mut());
            vector::add(&mut weights[place.weight.clone()], &d_weight);
            if let (Some(range), Some(d_bias)) = (&place.bias, d_bias) {
                vector::add(&mut weights[range.clone()], &d_bias);
            }
        }
    }

    /// Through [`Network::place_heads`], in place in `d_qkv` `[rows, qkv width]`.
    fn place_heads(
        &mut self,
        layer: &Layer,
        positions: &[usize],
        trace: &Trace,
        d_qkv: &mut [f32],
    ) {
        let network = self.network;
        let (c, threads) = (network.config(), &network.threads);
        let (stride, heads, width) = (c.qkv_width(), c.heads + c.kv_heads, c.head_width);
        if let Some(rotary) = network.rotary(layer) {
            rotary.apply(threads, d_qkv, stride, width, heads, positions, true);
        }
        let Some(place) = &layer.qk_norm else { return };
        let (raw, moments) = (&trace.qkv_raw, &trace.qk_moments);
        if let Some(weights) = &mut self.gradients.weights {
            for (index, moments) in moments.iter().enumerate() {
                let (row, head) = (index / heads, index % heads);
                let at = row * stride + head * width..row * stride + (head + 1) * width;
                let range = place[usize::from(head >= c.heads)].clone();
                let (moments, d) = (std::slice::from_ref(moments), &d_qkv[at.clone()]);
                let norm = network.head_norm(place, head);
                norm.backward_parameters(&raw[at], moments, d, &mut weights[range], None);
            }
        }
        threads.blocks(
            HEAD_NORM_ROWS,
            Rows::new(d_qkv, stride),
            #[inline(always)]
            |rows, d_qkv| {
                let mut d = vec![0.0; width];
                for (row, d_qkv) in rows.zip(d_qkv.chunks_exact_mut(stride)) {
                    let raw = raw[row * stride..][..stride].chunks_exact(width);
                    let each = raw.zip(d_qkv.chunks_exact_mut(width));
                    for (head, (x, dy)) in each.take(heads).enumerate() {
                        d.fill(0.0);
                        let norm = network.head_norm(place, head);
                        norm.row_backward(x, moments[row * heads + head], dy, &mut d);
                        dy.copy_from_slice(&d);
                    }
                }
            },
        );
    }

    /// Through [`Network::embed`]; `d_x` is `[rows, width]`.
    fn embed(&mut self, packing: &Packing, d_x: &[f32]) {
        let Some(weights) = &mut self.gradients.weights else { return };
        let Network { places, decoder, .. } = self.network;
        let (width, scale) = (decoder.config.width, decoder.config.embedding_scale);
        let tokens = packing.tokens.iter().zip(&packing.positions);
        for ((&token, &position), d) in tokens.zip(d_x.chunks_exact(width)) {
            if self.gradients.embeddings {
                let start = places.embed.start + token as usize * width;
                vector::add_scaled(&mut weights[start..start + width], scale, d);
            }
            if let Some(place) = &places.position {
                let start = place.start + position * width;
                vector::add(&mut weights[start..start + width], d);
            }
        }
    }
}
