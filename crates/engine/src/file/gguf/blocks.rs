//! Weights in blocks of few bits, as llama.cpp lays them out (`ggml-common.h` and `ggml-quants.c`):
//! 32 numbers that share a scale, or 256 ("K") whose sixteenths or eighths have small scales of
//! their own.

use crate::file::bytes::{f16_to_f32, from_bf16, from_f16, from_f32};

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// Numbers in a block, and in one of the K kinds.
const BLOCK: usize = 32;
const LARGE: usize = 256;

impl Kind {
    /// The kind with this number in a file.
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// What llama.cpp calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Numbers in a block.
    pub(super) fn block(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => BLOCK,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => LARGE,
        }
    }

    /// Bytes in a block.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q2K => 16 + 64 + 4,
            Self::Q3K => 32 + 64 + 12 + 2,
            Self::Q4K => 4 + 12 + 128,
            Self::Q5K => 4 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// The numbers in `bytes`, which are whole blocks.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let unpack: fn(&[u8], &mut [f32]) = match self {
            Self::F32 => return from_f32(bytes),
            Self::F16 => return from_f16(bytes),
            Self::Bf16 => return from_bf16(bytes),
            Self::Q4_0 => {
                |block, out| nibbles(half(block), half(block) * -8.0, &[], &block[2..], out)
            }
            Self::Q4_1 => {
                |block, out| nibbles(half(block), half(&block[2..]), &[], &block[4..], out)
            }
            Self::Q5_0 => |block, out| {
                nibbles(half(block), half(block) * -16.0, &block[2..6], &block[6..], out);
            },
            Self::Q5_1 => {
                |block, out| nibbles(half(block), half(&block[2..]), &block[4..8], &block[8..], out)
            }
            Self::Q8_0 => q8_0,
            Self::Q2K => q2_k,
            Self::Q3K => q3_k,
            Self::Q4K => |block, out| q4_k(block, &[], &block[16..], out),
            Self::Q5K => |block, out| q4_k(block, &block[16..48], &block[48..], out),
            Self::Q6K => q6_k,
        };
        let (block, width) = (self.block(), self.bytes());
        let mut values = vec![0.0; bytes.len() / width * block];
        for (block, out) in bytes.chunks_exact(width).zip(values.chunks_exact_mut(block)) {
            unpack(block, out);
        }
        values
    }
}

fn half(bytes: &[u8]) -> f32 {
    f16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// `scale · q + least`, where `q` is four bits of `low` and, if there are any, a fifth of `high`:
/// first the low halves of all bytes, then the upper ones.
fn nibbles(scale: f32, least: f32, high: &[u8], low: &[u8], out: &mut [f32]) {
    let (first, second) = out.split_at_mut(BLOCK / 2);
    for (i, (byte, (first, second))) in low.iter().zip(first.iter_mut().zip(second)).enumerate() {
        let mut pair = [byte & 0xF, byte >> 4];
        if let [a, b, c, d] = *high {
            pair[0] |= ([a, b][i / 8] >> (i % 8) & 1) << 4;
            pair[1] |= ([c, d][i / 8] >> (i % 8) & 1) << 4;
        }
        *first = scale * f32::from(pair[0]) + least;
        *second = scale * f32::from(pair[1]) + least;
    }
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block);
    for (out, &byte) in out.iter_mut().zip(&block[2..]) {
        *out = scale * f32::from(byte.cast_signed());
    }
}

/// Two bits per number; each sixteenth has a scale and a least value of four bits.
fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, rest) = block.split_at(16);
    let (low, rest) = rest.split_at(64);
    let (scale, least) = (half(rest), half(&rest[2..]));
    for (i, out) in out.iter_mut().enumerate() {
        let packed = scales[i / 16];
        let bits = low[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        *out = scale * f32::from(packed & 0xF) * f32::from(bits) - least * f32::from(packed >> 4);
    }
}

/// Two bits per number and a mask of third bits, which count four downward where they are zero;
/// each sixteenth has a scale of six bits.
fn q3_k(block: &[u8], out: &mut [f32]) {
    let (mask, rest) = block.split_at(32);
    let (low, rest) = rest.split_at(64);
    let (packed, rest) = rest.split_at(12);
    let scale = half(rest);
    let scales: [f32; 16] = std::array::from_fn(|j| {
        let low = packed[j % 8] >> (j / 8 * 4) & 0xF;
        let high = packed[8 + j % 4] >> (j / 4 * 2) & 3;
        scale * (f32::from(low | high << 4) - 32.0)
    });
    for (i, out) in out.iter_mut().enumerate() {
        let bits = low[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        let below = if mask[i % 32] >> (i / 32) & 1 == 0 { 4.0 } else { 0.0 };
        *out = scales[i / 16] * (f32::from(bits) - below);
    }
}

/// Four bits per number, and a fifth where there are `high` ones; each eighth has a scale and a
/// least value of six bits.
fn q4_k(block: &[u8], high: &[u8], low: &[u8], out: &mut [f32]) {
    let (scale, least, packed) = (half(block), half(&block[2..]), &block[4..16]);
    for (part, out) in out.chunks_exact_mut(BLOCK).enumerate() {
        let (s, m) = if part < 4 {
            (packed[part] & 0x3F, packed[part + 4] & 0x3F)
        } else {
            let both = packed[part + 4];
            (both & 0xF | packed[part - 4] >> 2 & 0x30, both >> 4 | packed[part] >> 2 & 0x30)
        };
        let (scale, least) = (scale * f32::from(s), least * f32::from(m));
        for (i, out) in out.iter_mut().enumerate() {
            let mut bits = low[part / 2 * 32 + i] >> (part % 2 * 4) & 0xF;
            if let Some(high) = high.get(i) {
                bits |= (high >> part & 1) << 4;
            }
            *out = scale * f32::from(bits) - least;
        }
    }
}

/// Six bits per number, counted from -32; each sixteenth has a scale of eight bits.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, rest) = rest.split_at(16);
    let scale = half(rest);
    for (i, out) in out.iter_mut().enumerate() {
        let (part, place) = (i / 128, i % 128);
        let bits = low[part * 64 + place % 64] >> (place / 64 * 4) & 0xF
            | (high[part * 32 + place % 32] >> (place / 32 * 2) & 3) << 4;
        *out = scale * f32::from(scales[i / 16].cast_signed()) * (f32::from(bits) - 32.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that llama.cpp's Python package read from the same bytes; see the script beside it.
    #[test]
    fn blocks_decode_to_what_the_reference_reads() {
        let file = include_bytes!("../../../tests/golden/blocks.safetensors");
        let golden = safetensors::SafeTensors::deserialize(file).unwrap();
        for number in [2, 3, 6, 7, 8, 10, 11, 12, 13, 14] {
            let kind = Kind::of(number).unwrap();
            let stored = golden.tensor(&format!("{number}.stored")).unwrap();
            let values = golden.tensor(&format!("{number}.values")).unwrap();
            assert_eq!(kind.decode(stored.data()), from_f32(values.data()), "{kind:?}");
        }
    }
}
