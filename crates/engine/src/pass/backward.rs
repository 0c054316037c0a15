//! The backward pass: gradients of weights or adapter, layer by layer from the last.

use super::{Activations, Back, Gradients, Group, Layer, Network, NormPlace, Packing, Trace};
use crate::kernel::matrix::{View, ViewMut, product};
use crate::kernel::norm::{Moments, add_rows};
use crate::kernel::{Buffer, Threads, activation, attention};

impl Activations {
    /// The residual stream after `layer` layers, `[tokens, width]`.
    pub(crate) fn stream(&self, layer: usize) -> &[f32] {
        self.traces.get(layer).map_or(&self.last, |trace| &trace.input)
    }
}

impl Network {
    /// Adds the group's gradients and writes (or adds) the gradient of its input.
    fn project_backward(
        &self,
        threads: &Threads,
        group: &Group,
        x: &[f32],
        low: &[f32],
        d_out: &[f32],
        d_x: &mut [f32],
        d_low: &mut Buffer,
        gradients: &mut Gradients,
    ) {
        let rows = x.len() / group.inputs;
        let d = View::dense(d_out, rows, group.outputs);
        let input = View::dense(x, rows, group.inputs);
        let weight = View::dense(self.weight(&group.weight), group.outputs, group.inputs);
        product(threads, d, weight, false, ViewMut::new(d_x, group.inputs));
        if let Some(weights) = &mut gradients.weights {
            let d_weight = &mut weights[group.weight.clone()];
            product(threads, d.t(), input, true, ViewMut::new(d_weight, group.inputs));
            if let Some(bias) = &group.bias {
                add_rows(d_out, &mut weights[bias.clone()]);
            }
        }
        let rank = self.places.rank;
        let slots = group.b.len() * rank;
        if slots == 0 {
            return;
        }
        d_low.reset(rows * slots);
        for (slot, (columns, b)) in group.b.iter().enumerate() {
            let d = View::new(&d_out[columns.start..], rows, columns.len(), group.outputs);
            let up = View::dense(self.low(b), columns.len(), rank);
            product(threads, d, up, false, ViewMut::new(&mut d_low[slot * rank..], slots));
            if let Some(adapter) = &mut gradients.adapter {
                let u = View::new(&low[slot * rank..], rows, rank, slots);
                product(threads, d.t(), u, true, ViewMut::new(&mut adapter[b.clone()], rank));
            }
        }
        for x in d_low.iter_mut() {
            *x *= self.places.scale;
        }
        let d_low = View::dense(d_low, rows, slots);
        let a = View::dense(self.low(&group.a), slots, group.inputs);
        product(threads, d_low, a, true, ViewMut::new(d_x, group.inputs));
        if let Some(adapter) = &mut gradients.adapter {
            let d_a = &mut adapter[group.a.clone()];
            product(threads, d_low.t(), input, true, ViewMut::new(d_a, group.inputs));
        }
    }

    /// Gradient of the loss with respect to chosen rows of the normed stream (`d_normed`), carried
    /// back through every layer.
    pub(crate) fn backward(
        &self,
        threads: &Threads,
        activations: &mut Activations,
        rows: &[usize],
        x: &[f32],
        moments: &[Moments],
        d_normed: &[f32],
        gradients: &mut Gradients,
    ) {
        let c = self.config();
        let width = c.width;
        let count = activations.packing.positions.len();
        let mut back = std::mem::take(&mut activations.back);
        let Back { d_x, d_rows, d_normed: d_normed1, d_normed2, d_active, d_mixed, d_qkv, d_low } =
            &mut back;
        d_x.reset(activations.last.len()).fill(0.0);
        d_rows.reset(x.len()).fill(0.0);
        d_normed1.reset(count * width);
        d_normed2.reset(count * width);
        d_active.reset(count * c.hidden);
        d_mixed.reset(count * c.query_width());
        d_qkv.reset(count * c.qkv_width());
        self.norm_backward(threads, &self.places.norm, x, moments, d_normed, d_rows, gradients);
        for (&row, d) in rows.iter().zip(d_rows.chunks_exact(width)) {
            crate::kernel::vector::add(&mut d_x[row * width..][..width], d);
        }
        for (layer, trace) in self.places.layers.iter().zip(&mut activations.traces).rev() {
            self.project_backward(
                threads,
                &layer.down,
                &trace.active,
                &trace.low_down,
                d_x,
                d_active,
                d_low,
                gradients,
            );
            activation::backward(
                threads,
                c.activation,
                c.gated,
                c.hidden,
                &mut trace.inner,
                d_active,
            );
            self.project_backward(
                threads,
                &layer.up,
                &trace.normed2,
                &trace.low_up,
                &trace.inner,
                d_normed2,
                d_low,
                gradients,
            );
            if !c.parallel {
                self.norm_backward(
                    threads,
                    &layer.norm2,
                    &trace.middle,
                    &trace.moments2,
                    d_normed2,
                    d_x,
                    gradients,
                );
            }
            self.project_backward(
                threads,
                &layer.output,
                &trace.mixed,
                &trace.low_output,
                d_x,
                d_mixed,
                d_low,
                gradients,
            );
            if c.parallel {
                self.norm_backward(
                    threads,
                    &layer.norm2,
                    &trace.input,
                    &trace.moments2,
                    d_normed2,
                    d_x,
                    gradients,
                );
            }
            attention::backward(
                threads,
                self.heads(),
                &trace.qkv,
                activations.packing.shared,
                &activations.packing.own,
                &trace.mixed,
                &trace.log_sums,
                d_mixed,
                d_qkv,
            );
            self.place_heads_backward(
                threads,
                layer,
                &activations.packing.positions,
                trace,
                d_qkv,
                gradients,
            );
            self.project_backward(
                threads,
                &layer.qkv,
                &trace.normed1,
                &trace.low_qkv,
                d_qkv,
                d_normed1,
                d_low,
                gradients,
            );
            self.norm_backward(
                threads,
                &layer.norm1,
                &trace.input,
                &trace.moments1,
                d_normed1,
                d_x,
                gradients,
            );
        }
        if let Some(weights) = &mut gradients.weights {
            self.embed_backward(&activations.packing, d_x, weights, gradients.embeddings);
        }
        activations.back = back;
    }

    fn norm_backward(
        &self,
        threads: &Threads,
        place: &NormPlace,
        x: &[f32],
        moments: &[Moments],
        d_y: &[f32],
        d_x: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let norm = self.norm(place);
        norm.backward(threads, x, moments, d_y, d_x);
        if let Some(weights) = &mut gradients.weights {
            let mut d_weight = vec![0.0; place.weight.len()];
            let mut d_bias = place.bias.as_ref().map(|b| vec![0.0; b.len()]);
            norm.backward_parameters(x, moments, d_y, &mut d_weight, d_bias.as_deref_mut());
            crate::kernel::vector::add(&mut weights[place.weight.clone()], &d_weight);
            if let (Some(range), Some(d_bias)) = (&place.bias, d_bias) {
                crate::kernel::vector::add(&mut weights[range.clone()], &d_bias);
            }
        }
    }

    fn place_heads_backward(
        &self,
        threads: &Threads,
        layer: &Layer,
        positions: &[usize],
        trace: &Trace,
        d_qkv: &mut [f32],
        gradients: &mut Gradients,
    ) {
        let c = self.config();
        let (stride, heads) = (c.qkv_width(), c.heads + c.kv_heads);
        if let Some(rotary) = &self.rotary {
            rotary.apply(threads, d_qkv, stride, c.head_width, heads, positions, true);
        }
        let Some(place) = &layer.qk_norm else { return };
        let mut d = vec![0.0; c.head_width];
        for r in 0..positions.len() {
            for head in 0..heads {
                let at = r * stride + head * c.head_width..r * stride + (head + 1) * c.head_width;
                let norm = self.head_norm(place, head);
                let moments = &trace.qk_moments[r * heads + head..=r * heads + head];
                let raw = &trace.qkv_raw[at.clone()];
                d.fill(0.0);
                norm.backward(&Threads::new(1), raw, moments, &d_qkv[at.clone()], &mut d);
                if let Some(weights) = &mut gradients.weights {
                    let range = place[usize::from(head >= c.heads)].clone();
                    norm.backward_parameters(
                        raw,
                        moments,
                        &d_qkv[at.clone()],
                        &mut weights[range],
                        None,
                    );
                }
                d_qkv[at].copy_from_slice(&d);
            }
        }
    }

    fn embed_backward(
        &self,
        packing: &Packing,
        d_x: &[f32],
        weights: &mut [f32],
        embeddings: bool,
    ) {
        let (width, scale) = (self.config().width, self.config().embedding_scale);
        let tokens = packing.tokens.iter().zip(&packing.positions);
        for ((&token, &position), d) in tokens.zip(d_x.chunks_exact(width)) {
            if embeddings {
                let start = self.places.embed.start + token as usize * width;
                crate::kernel::vector::add_scaled(&mut weights[start..start + width], scale, d);
            }
            if let Some(place) = &self.places.position {
                let start = place.start + position * width;
                crate::kernel::vector::add(&mut weights[start..start + width], d);
            }
        }
    }
}
