//! An axis: from where to where, and the round numbers along it.
//!
//! Page and terminal share it, so that both show the same. What may lie far outside never stretches it
//! and is drawn at its edge with its number.

use super::block::{Curve, Dots, Part};
use super::number::Quantity;

/// One axis of a drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    quantity: Quantity,
}

impl Axis {
    /// From the smallest to the largest of the finite ends, with a little room; none without ends.
    fn over(quantity: Quantity, ends: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = ends
            .filter(|end| end.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| {
                (low.min(end), high.max(end))
            });
        if low > high {
            return None;
        }
        let room = if high > low { 0.04 * (high - low) } else { 0.5 * high.abs().max(0.1) };
        let (mut low, mut high) = (low - room, high + room);
        if quantity.is_part() {
            low = low.max(0.0);
            high = high.min(1.0).max(low + 1e-6);
        }
        Some(Self { low, high, quantity })
    }

    /// The axis under rows of dots.
    pub(super) fn of_dots(dots: &Dots) -> Option<Self> {
        let ends = |all: bool| {
            let rows = dots.rows.iter().filter(move |row| all || row.stretches);
            rows.flat_map(|row| &row.dots).filter(|dot| dot.estimate.value.is_finite()).flat_map(
                move |dot| {
                    // A reference's is over questions of one model, not over students: wide, and not compared.
                    let compared = all || dot.part != Part::Reference;
                    let interval = dot.estimate.interval.filter(|_| compared);
                    let ends = interval.map(|interval| [interval.low, interval.high]);
                    ends.into_iter().flatten().chain([dot.estimate.value])
                },
            )
        };
        let zero = dots.zero.then_some(0.0);
        let all = ends(true).next().is_some();
        let some = ends(false).next().is_some();
        all.then(|| Self::over(dots.quantity, ends(!some).chain(zero)))?
    }

    /// The vertical axis beside lines.
    pub(super) fn beside(curve: &Curve) -> Option<Self> {
        let points = curve.series.iter().flat_map(|one| &one.points);
        let ends = points.flat_map(|point| {
            let interval = point.interval.map(|interval| [interval.low, interval.high]);
            interval.into_iter().flatten().chain([point.value])
        });
        Self::over(curve.quantity, ends)
    }

    /// The horizontal axis under lines, from 0.
    pub(super) fn below(curve: &Curve) -> Self {
        let points = curve.series.iter().flat_map(|one| &one.points);
        let high = points.map(|point| point.at).filter(|at| at.is_finite()).fold(1.0, f64::max);
        Self { low: 0.0, high, quantity: Quantity::Count }
    }

    /// Position of a value along the axis, 0 to 1 inside it.
    pub(super) fn place(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Round numbers along the axis, at most `most` of them: 1, 2 or 5 times a power of ten apart.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        let span = self.high - self.low;
        if !span.is_finite() || span <= 0.0 || most == 0 {
            return Vec::new();
        }
        let mut step = 10f64.powf((span / most as f64).log10().floor());
        for factor in [1.0, 2.0, 5.0, 10.0, 20.0] {
            if span / (step * factor) <= most as f64 {
                step *= factor;
                break;
            }
        }
        let first = (self.low / step).ceil();
        // Ends that floating point cannot tell apart have no round numbers between them.
        if step <= 0.0 || first.is_nan() || first.abs() > 1e15 {
            return Vec::new();
        }
        let ticks = (first as i64..).map(|index| index as f64 * step);
        let ticks = ticks.take_while(|tick| *tick <= self.high).take(most + 1);
        ticks.filter(|tick| self.quantity != Quantity::Count || tick.fract() == 0.0).collect()
    }

    /// A tick with just the decimals its neighbours need.
    pub(super) fn tick(&self, tick: f64, most: usize) -> String {
        if self.quantity == Quantity::Count {
            return self.quantity.words(tick);
        }
        let ticks = self.ticks(most);
        let step = match ticks.as_slice() {
            [first, second, ..] => second - first,
            _ => self.high - self.low,
        };
        let (factor, unit) = self.quantity.at_axis();
        let decimals = (-(step * factor).log10().floor()).clamp(0.0, 6.0) as usize;
        let number = tick * factor;
        let number = if number.abs() < 1e-12 { 0.0 } else { number };
        format!("{number:.decimals$}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_between_the_ends() {
        let written = |low: f64, high: f64, quantity| {
            let axis = Axis { low, high, quantity };
            let ticks = axis.ticks(5).into_iter().map(|tick| axis.tick(tick, 5));
            ticks.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(written(-0.13, 3.43, Quantity::Plain), "0 1 2 3");
        assert_eq!(written(4.9, 8.4, Quantity::Plain), "5 6 7 8");
        assert_eq!(written(-0.021, 0.019, Quantity::Plain), "-0.02 -0.01 0.00 0.01");
        assert_eq!(written(0.0, 0.2, Quantity::Part), "0% 5% 10% 15% 20%");
        assert_eq!(written(0.0, 2.0, Quantity::Count), "0 1 2");
        assert_eq!(written(1e18, 1e18 + 128.0, Quantity::Plain), "");
    }
}
