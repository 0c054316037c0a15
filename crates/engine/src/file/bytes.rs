//! Little-endian numbers of three widths to `f32` and back.

/// Reads half-precision numbers (IEEE 754 binary16), two bytes each.
pub(super) fn from_f16(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&pair| f16_to_f32(u16::from_le_bytes(pair))).collect()
}

/// Reads brain floating point: the upper half of an `f32`.
pub(super) fn from_bf16(bytes: &[u8]) -> Vec<f32> {
    let widened = |&pair: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(pair)) << 16);
    bytes.as_chunks().0.iter().map(widened).collect()
}

/// Reads single precision, four bytes each.
pub(super) fn from_f32(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

/// Writes single precision.
pub(super) fn to_f32(values: &[f32]) -> Vec<u8> {
    // Made in one piece: collecting bytes one by one moves a growing vector again and again.
    let mut bytes = vec![0; 4 * values.len()];
    for (four, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *four = value.to_le_bytes();
    }
    bytes
}

/// Widens a binary16 number exactly.
pub(super) fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1F;
    let fraction = u32::from(half & 0x3FF);
    let magnitude = match exponent {
        0 => return f32::from_bits(sign | (fraction as f32 * f32::exp2(-24.0)).to_bits()),
        0x1F => 0x7F80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The nearest binary16 number, ties to even; too large becomes infinite.
pub(super) fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7FFF_FFFF;
    if magnitude > 0x7F80_0000 {
        return sign | 0x7E00;
    }
    // 65520 is half way between the largest binary16 number and the next power of two.
    if magnitude >= 65_520.0_f32.to_bits() {
        return sign | 0x7C00;
    }
    // Below the smallest normal number, steps are 2^-24: adding 0.5 makes f32's own rounding do it.
    if magnitude < f32::exp2(-14.0).to_bits() {
        let steps = f32::from_bits(magnitude) + 0.5;
        return sign | (steps.to_bits() - 0.5_f32.to_bits()) as u16;
    }
    let rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
    sign | ((rounded >> 13) - (112 << 10)) as u16
}

/// The nearest brain floating point number, ties to even.
pub(super) fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_round_trip() {
        for half in 0..=u16::MAX {
            let wide = f16_to_f32(half);
            if wide.is_nan() {
                assert!(f16_to_f32(f32_to_f16(wide)).is_nan());
            } else {
                assert_eq!(f32_to_f16(wide), half, "{wide}");
            }
            let brain = f32::from_bits(u32::from(half) << 16);
            if !brain.is_nan() {
                assert_eq!(f32_to_bf16(brain), half);
            }
        }
    }

    #[test]
    fn known_halves_are_what_ieee_says() {
        for (half, value) in [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03FF, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x7C00, f32::INFINITY),
        ] {
            assert_eq!(f16_to_f32(half), value);
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        for half in 0..0x7BFFu16 {
            let (low, high) = (f16_to_f32(half), f16_to_f32(half + 1));
            let middle = low / 2.0 + high / 2.0;
            assert_eq!(f32_to_f16(middle), half + (half & 1), "{middle}");
            assert_eq!(f32_to_f16(middle.next_down()), half);
            assert_eq!(f32_to_f16(middle.next_up()), half + 1);
        }
        assert_eq!(f32_to_f16(65_519.99), 0x7BFF);
        assert_eq!(f32_to_f16(65_520.0), 0x7C00);
        assert_eq!(f32_to_bf16(1.0 + f32::exp2(-8.0)), 0x3F80);
        assert_eq!(f32_to_bf16((1.0 + f32::exp2(-8.0)).next_up()), 0x3F81);
    }
}
