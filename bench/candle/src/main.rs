//! candle's side of the speed ratios: a training step of the 2.9 M model from scratch, written as its
//! own examples are. It does the work once, says `ready`, then does it again for each line on
//! standard input and answers with the seconds; at the end it prints one JSON line.
//!
//! The `slow` forms of norm and rotation are the ones that have a gradient.

use std::io::BufRead;
use std::time::Instant;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm_slow, silu, softmax};
use candle_nn::rotary_emb::rope_slow;
use candle_nn::{
    AdamW, Embedding, Init, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, embedding,
    linear_no_bias, loss::cross_entropy,
};

const VOCABULARY: usize = 1024;
const WIDTH: usize = 192;
const LAYERS: usize = 6;
const HEADS: usize = 3;
const HEAD_WIDTH: usize = 64;
const HIDDEN: usize = 512;
const BATCH: usize = 32;
const LENGTH: usize = 128;

struct Layer {
    norms: [Tensor; 2],
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

struct Llama {
    embed: Embedding,
    layers: Vec<Layer>,
    norm: Tensor,
    cosine: Tensor,
    sine: Tensor,
    mask: Tensor,
}

impl Llama {
    fn new(weights: VarBuilder, device: &Device) -> Result<Self> {
        let norm = |at: VarBuilder| at.get_with_hints(WIDTH, "weight", Init::Const(1.0));
        let layers = (0..LAYERS)
            .map(|i| {
                let at = weights.pp(format!("layers.{i}"));
                Ok(Layer {
                    norms: [norm(at.pp("norm1"))?, norm(at.pp("norm2"))?],
                    query: linear_no_bias(WIDTH, HEADS * HEAD_WIDTH, at.pp("q"))?,
                    key: linear_no_bias(WIDTH, HEAD_WIDTH, at.pp("k"))?,
                    value: linear_no_bias(WIDTH, HEAD_WIDTH, at.pp("v"))?,
                    output: linear_no_bias(HEADS * HEAD_WIDTH, WIDTH, at.pp("o"))?,
                    gate: linear_no_bias(WIDTH, HIDDEN, at.pp("gate"))?,
                    up: linear_no_bias(WIDTH, HIDDEN, at.pp("up"))?,
                    down: linear_no_bias(HIDDEN, WIDTH, at.pp("down"))?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let half = HEAD_WIDTH / 2;
        let angles: Vec<f32> = (0..LENGTH * half)
            .map(|i| (i / half) as f32 / 10_000f32.powf((i % half) as f32 / half as f32))
            .collect();
        let angles = Tensor::from_vec(angles, (LENGTH, half), device)?;
        let mask: Vec<f32> = (0..LENGTH * LENGTH)
            .map(|i| if i % LENGTH > i / LENGTH { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        Ok(Self {
            embed: embedding(VOCABULARY, WIDTH, weights.pp("embed"))?,
            layers,
            norm: norm(weights.pp("norm"))?,
            cosine: angles.cos()?,
            sine: angles.sin()?,
            mask: Tensor::from_vec(mask, (LENGTH, LENGTH), device)?,
        })
    }

    fn loss(&self, tokens: &Tensor) -> Result<Tensor> {
        let mut x = self.embed.forward(tokens)?;
        for layer in &self.layers {
            let normed = rms_norm_slow(&x, &layer.norms[0], 1e-5)?;
            let heads = |linear: &Linear, count: usize| {
                linear
                    .forward(&normed)?
                    .reshape((BATCH, LENGTH, count, HEAD_WIDTH))?
                    .transpose(1, 2)?
                    .contiguous()
            };
            let query = rope_slow(&heads(&layer.query, HEADS)?, &self.cosine, &self.sine)?;
            let key = rope_slow(&heads(&layer.key, 1)?, &self.cosine, &self.sine)?;
            let value = heads(&layer.value, 1)?;
            let shape = (BATCH, HEADS, LENGTH, HEAD_WIDTH);
            let (key, value) =
                (key.broadcast_as(shape)?.contiguous()?, value.broadcast_as(shape)?.contiguous()?);
            let scores = (query.matmul(&key.t()?)? / (HEAD_WIDTH as f64).sqrt())?;
            let weights = softmax(&scores.broadcast_add(&self.mask)?, D::Minus1)?;
            let mixed = weights.matmul(&value)?.transpose(1, 2)?.reshape((
                BATCH,
                LENGTH,
                HEADS * HEAD_WIDTH,
            ))?;
            x = (x + layer.output.forward(&mixed)?)?;
            let normed = rms_norm_slow(&x, &layer.norms[1], 1e-5)?;
            let active = (silu(&layer.gate.forward(&normed)?)? * layer.up.forward(&normed)?)?;
            x = (x + layer.down.forward(&active)?)?;
        }
        let x = rms_norm_slow(&x, &self.norm, 1e-5)?;
        let x = x.narrow(1, 0, LENGTH - 1)?.reshape((BATCH * (LENGTH - 1), WIDTH))?;
        let logits = x.matmul(&self.embed.embeddings().t()?)?;
        let targets = tokens.narrow(1, 1, LENGTH - 1)?.flatten_all()?;
        cross_entropy(&logits, &targets)
    }
}

fn main() -> Result<()> {
    let device = Device::Cpu;
    let variables = VarMap::new();
    let model = Llama::new(VarBuilder::from_varmap(&variables, DType::F32, &device), &device)?;
    let mut optimizer =
        AdamW::new(variables.all_vars(), ParamsAdamW { lr: 1e-4, ..Default::default() })?;
    let tokens =
        Tensor::rand(0f32, VOCABULARY as f32, (BATCH, LENGTH), &device)?.to_dtype(DType::U32)?;
    let mut step = || -> Result<f32> {
        let loss = model.loss(&tokens)?;
        optimizer.backward_step(&loss)?;
        loss.to_scalar::<f32>()
    };
    let first = step()?;
    println!("ready");
    let mut last = first;
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        last = step()?;
        println!("{}", start.elapsed().as_secs_f64());
    }
    // The same rows again and again: a step that does not learn them is no training step.
    assert!(last < first, "loss {first} did not fall: {last}");
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: usize =
        peak.and_then(|text| text.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
    println!(
        "{}",
        serde_json::json!({ "tokens": BATCH * LENGTH, "peak_mib": peak / 1024, "version": "candle 0.10" })
    );
    Ok(())
}
