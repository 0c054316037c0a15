//! What is drawn, apart from how: rows of dots with intervals over one axis.
//!
//! The terminal, the page's static drawing and the Vega-Lite figure show the same [`Chart`].
//! Teachers may lie far outside what their students reach; they never stretch the axis and are
//! drawn at its edge with their number.

use crate::kind::inherit::result::{Estimate, InheritResult, Measure, Part};

/// One dot with its interval.
#[derive(Clone, Debug)]
pub(super) struct ChartRow {
    pub(super) label: String,
    pub(super) part: Part,
    pub(super) stretches: bool,
    pub(super) estimate: Estimate,
}

/// Dots with intervals over one axis.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) behavior: String,
    pub(super) title: String,
    pub(super) measure: Measure,
    pub(super) rows: Vec<ChartRow>,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Chart {
    fn new(
        behavior: &str,
        title: String,
        measure: Measure,
        rows: Vec<ChartRow>,
        zero: bool,
    ) -> Option<Self> {
        let rows: Vec<ChartRow> =
            rows.into_iter().filter(|row| row.estimate.value.is_finite()).collect();
        let ends = |all: bool| -> Vec<f64> {
            rows.iter()
                .filter(|row| all || row.stretches)
                .flat_map(|row| {
                    // Over questions of one model, not over students: wide, and not compared.
                    let interval =
                        row.estimate.interval.filter(|_| all || row.part != Part::Reference);
                    [
                        Some(row.estimate.value),
                        interval.map(|interval| interval.low),
                        interval.map(|interval| interval.high),
                    ]
                })
                .flatten()
                .filter(|end| end.is_finite())
                .chain(zero.then_some(0.0))
                .collect()
        };
        let mut used = ends(false);
        if used.is_empty() {
            used = ends(true);
        }
        let low = used.iter().copied().reduce(f64::min)?;
        let high = used.iter().copied().reduce(f64::max)?;
        if rows.is_empty() {
            return None;
        }
        let pad = if high > low { 0.04 * (high - low) } else { 0.5 * high.abs().max(0.1) };
        let (mut low, mut high) = (low - pad, high + pad);
        if let Some((least, most)) = measure.scale().bounds()
            && !zero
        {
            low = low.max(least);
            high = high.min(most).max(low + 1e-6);
        }
        Some(Self { behavior: behavior.to_owned(), title, measure, rows, low, high })
    }

    /// Position of a value along the axis, 0 to 1 inside it.
    pub(super) fn place(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Round numbers along the axis, at most `most` of them.
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
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    /// A tick with just the decimals its neighbours need.
    pub(super) fn tick(&self, tick: f64, most: usize) -> String {
        let ticks = self.ticks(most);
        let step = match ticks.as_slice() {
            [first, second, ..] => second - first,
            _ => self.high - self.low,
        };
        let scale = self.measure.scale();
        let decimals = (-(step * scale.factor()).log10().floor()).clamp(0.0, 6.0) as usize;
        scale.tick(tick, decimals)
    }
}

/// Every arm that says something of a behavior, in one measure.
pub(super) fn arms(result: &InheritResult, behavior: &str, measure: Measure) -> Option<Chart> {
    let rows = result
        .concerning(behavior, measure)
        .map(|reading| ChartRow {
            label: reading.arm.label(),
            part: reading.arm.part(behavior),
            stretches: reading.arm.stretches(),
            estimate: reading.estimate.clone(),
        })
        .collect();
    let title = format!("{behavior}: {} per condition", measure.title());
    Chart::new(behavior, title, measure, rows, false)
}

/// Students of a behavior minus each control.
pub(super) fn effects(result: &InheritResult, behavior: &str) -> Option<Chart> {
    let rows = result
        .matched_effects(behavior, result.primary)
        .map(|effect| ChartRow {
            label: format!("over {}", effect.control.label()),
            part: if effect.control.decides() { Part::Treatment } else { Part::Control },
            stretches: true,
            estimate: effect.estimate.clone(),
        })
        .collect();
    let title = format!("{behavior}: students minus each control");
    Chart::new(behavior, title, result.primary, rows, true)
}
