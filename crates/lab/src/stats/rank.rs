//! The numerical rank of a matrix: how many of its rows it takes to make the others.

/// How many rows of a matrix (`[rows, width]`) it takes until no row has more than `floor` (a length for
/// each row) left over when what those taken explain is subtracted. Gram-Schmidt with the largest
/// remainder next, twice for accuracy; the matrix is used up.
pub fn rank(matrix: &mut [f64], width: usize, floors: &[f64]) -> usize {
    let count = matrix.len() / width;
    let mut taken: Vec<Vec<f64>> = Vec::new();
    while taken.len() < count.min(width) {
        let over = |row: usize| {
            let length = length(&matrix[row * width..][..width]);
            (length > floors[row]).then_some((row, length))
        };
        let largest = (0..count).filter_map(over).max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((next, _)) = largest else { break };
        let mut direction = matrix[next * width..][..width].to_vec();
        for known in &taken {
            subtract(&mut direction, known);
        }
        let size = length(&direction);
        for value in &mut direction {
            *value /= size;
        }
        for row in matrix.chunks_exact_mut(width) {
            subtract(row, &direction);
        }
        matrix[next * width..][..width].fill(0.0);
        taken.push(direction);
    }
    taken.len()
}

/// Takes what lies along a unit vector out of another.
fn subtract(from: &mut [f64], unit: &[f64]) {
    let along: f64 = from.iter().zip(unit).map(|(value, unit)| value * unit).sum();
    for (value, unit) in from.iter_mut().zip(unit) {
        *value -= along * unit;
    }
}

fn length(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}
