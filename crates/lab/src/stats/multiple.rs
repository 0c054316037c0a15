//! Several comparisons at once: Holm's step-down correction.
//!
//! Adjusted p-values bound the chance of even one false claim among all comparisons, whatever
//! their dependence (Holm 1979). The raw values stay beside them in reports.

use super::StatisticsError;

/// Holm-adjusted p-values, in the order given.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, StatisticsError> {
    let outside = |p: f64| !(0.0..=1.0).contains(&p);
    if let Some((index, value)) = p_values.iter().enumerate().find(|(_, p)| outside(**p)) {
        return Err(StatisticsError::Probability { index, value: *value });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        let factor = (p_values.len() - rank) as f64;
        largest = largest.max((factor * p_values[index]).min(1.0));
        adjusted[index] = largest;
    }
    Ok(adjusted)
}
