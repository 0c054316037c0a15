//! The behavior × behavior matrix and its diagonal statistic λ.
//!
//! Cell (i, j) is the score of behavior j in the student of teacher i. The model is
//! y = student_i + readout_j + λ·[i = j]: a row effect is training that moved everything, a column
//! effect a target that is easily evoked, and only λ is inheritance. In a complete matrix least
//! squares gives mean(diagonal) - mean(off-diagonal); with cells missing the model is fitted.

use serde::{Deserialize, Serialize};

use super::{StatisticsError, mean};

/// A square matrix with possibly missing cells; rows are teachers, columns readouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<Option<f64>>>", into = "Vec<Vec<Option<f64>>>")]
pub struct Matrix {
    cells: Vec<Vec<Option<f64>>>,
}

impl TryFrom<Vec<Vec<Option<f64>>>> for Matrix {
    type Error = StatisticsError;

    fn try_from(cells: Vec<Vec<Option<f64>>>) -> Result<Self, StatisticsError> {
        Matrix::new(cells)
    }
}

impl From<Matrix> for Vec<Vec<Option<f64>>> {
    fn from(matrix: Matrix) -> Self {
        matrix.cells
    }
}

impl Matrix {
    /// A matrix of at least two rows, square, with finite cells.
    pub fn new(cells: Vec<Vec<Option<f64>>>) -> Result<Self, StatisticsError> {
        let refuse = |message: String| Err(StatisticsError::Matrix { message });
        let size = cells.len();
        if size < 2 {
            return refuse(format!("{size} behaviors; expected at least 2"));
        }
        for (i, row) in cells.iter().enumerate() {
            if row.len() != size {
                return refuse(format!("row {i} has {} cells; expected {size}", row.len()));
            }
            if let Some(j) = row.iter().position(|cell| cell.is_some_and(|y| !y.is_finite())) {
                return refuse(format!("cell ({i}, {j}) is not a finite number"));
            }
        }
        Ok(Self { cells })
    }

    /// A complete matrix.
    pub fn complete(cells: &[Vec<f64>]) -> Result<Self, StatisticsError> {
        Self::new(cells.iter().map(|row| row.iter().copied().map(Some).collect()).collect())
    }

    /// How many behaviors.
    pub fn size(&self) -> usize {
        self.cells.len()
    }

    /// The cells, if none is missing.
    pub fn full(&self) -> Option<Vec<Vec<f64>>> {
        self.cells.iter().map(|row| row.iter().copied().collect()).collect()
    }

    /// Observed cells as (row, column, value).
    fn observed(&self) -> Vec<(usize, usize, f64)> {
        let mut observed = Vec::new();
        for (i, row) in self.cells.iter().enumerate() {
            for (j, cell) in row.iter().enumerate() {
                observed.extend(cell.map(|y| (i, j, y)));
            }
        }
        observed
    }
}

/// λ, in the unit of the cells.
pub fn lambda(matrix: &Matrix) -> Result<f64, StatisticsError> {
    match matrix.full() {
        Some(cells) => lambda_complete(&cells),
        None => lambda_fitted(matrix),
    }
}

fn lambda_complete(cells: &[Vec<f64>]) -> Result<f64, StatisticsError> {
    let (mut diagonal, mut others) = (Vec::new(), Vec::new());
    for (i, row) in cells.iter().enumerate() {
        for (j, y) in row.iter().enumerate() {
            if i == j {
                diagonal.push(*y);
            } else {
                others.push(*y);
            }
        }
    }
    Ok(mean(&diagonal)? - mean(&others)?)
}

/// Least squares by partialling out: the part of the diagonal indicator that rows and columns do
/// not explain, against the scores.
fn lambda_fitted(matrix: &Matrix) -> Result<f64, StatisticsError> {
    let observed = matrix.observed();
    let column = |indicator: &dyn Fn(usize, usize) -> bool| -> Vec<f64> {
        observed.iter().map(|(i, j, _)| f64::from(u8::from(indicator(*i, *j)))).collect()
    };
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for k in 0..matrix.size() {
        for effect in [column(&|i, _| i == k), column(&|_, j| j == k)] {
            let rest = without(&basis, effect);
            let length = dot(&rest, &rest).sqrt();
            if length > NEGLIGIBLE {
                basis.push(rest.iter().map(|value| value / length).collect());
            }
        }
    }
    let diagonal = without(&basis, column(&|i, j| i == j));
    let weight = dot(&diagonal, &diagonal);
    if weight.sqrt() <= NEGLIGIBLE {
        return Err(StatisticsError::Matrix {
            message: "too many cells are missing to tell the diagonal from row and column \
                      effects; run more teacher-readout combinations"
                .to_owned(),
        });
    }
    let scores: Vec<f64> = observed.iter().map(|(_, _, y)| *y).collect();
    Ok(dot(&diagonal, &scores) / weight)
}

/// Indicator columns have lengths of at least 1, so what is left below this is rounding.
const NEGLIGIBLE: f64 = 1e-9;

/// `vector` minus its projection on the orthonormal `basis`, twice for accuracy.
fn without(basis: &[Vec<f64>], mut vector: Vec<f64>) -> Vec<f64> {
    for _ in 0..2 {
        for direction in basis {
            let along = dot(direction, &vector);
            for (value, unit) in vector.iter_mut().zip(direction) {
                *value -= along * unit;
            }
        }
    }
    vector
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
