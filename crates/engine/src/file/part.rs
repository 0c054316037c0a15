//! How one canonical tensor lies inside a stored one: transposed, fused with others, or with its
//! rows in another order. Taking it out and putting it back use the same map, so they are inverse.

/// Where the rows of a tensor are among the rows of the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// In the same places.
    Same,
    /// One after another from `start` on, of `of` stored rows.
    From { start: usize, of: usize },
    /// Query, key and value rows alternate per head (GPT-NeoX): this is number `index` of three.
    PerHead { index: usize, head_width: usize },
    /// In each head, rows of the first and second half alternate (GGUF's Llama, which rotates
    /// neighbours where this engine rotates halves).
    Alternating { head_width: usize },
}

/// Where a canonical tensor (seen as a matrix; a vector has one column) lies in a stored one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// Where its rows are.
    pub(super) rows: Rows,
    /// The stored matrix is `[inputs, outputs]` (GPT-2).
    pub(super) transposed: bool,
    /// The stored numbers are larger by this.
    pub(super) offset: f32,
}

impl Part {
    /// The whole stored tensor as it is.
    pub(super) const WHOLE: Self = Self { rows: Rows::Same, transposed: false, offset: 0.0 };

    /// These rows of a stored tensor.
    pub(super) fn rows(rows: Rows) -> Self {
        Self { rows, ..Self::WHOLE }
    }

    /// The shape of the stored tensor, given that of the canonical one.
    pub(super) fn stored_shape(&self, shape: &[usize]) -> Vec<usize> {
        let mut stored = shape.to_vec();
        stored[0] = match self.rows {
            Rows::Same | Rows::Alternating { .. } => shape[0],
            Rows::From { of, .. } => of,
            Rows::PerHead { .. } => 3 * shape[0],
        };
        if self.transposed {
            stored.reverse();
        }
        stored
    }

    /// Which stored row (column, if transposed) holds a canonical one.
    pub(super) fn row(&self, row: usize) -> usize {
        match self.rows {
            Rows::Same => row,
            Rows::From { start, .. } => start + row,
            Rows::PerHead { index, head_width } => {
                (row / head_width * 3 + index) * head_width + row % head_width
            }
            Rows::Alternating { head_width } => {
                let (head, place, half) = (row / head_width, row % head_width, head_width / 2);
                head * head_width + place % half * 2 + place / half
            }
        }
    }

    /// The canonical numbers out of the stored ones.
    pub(super) fn take(&self, stored: &[f32], shape: &[usize]) -> Vec<f32> {
        if *self == Self::WHOLE {
            return stored.to_vec();
        }
        let columns = shape.get(1).copied().unwrap_or(1);
        let of = stored.len() / columns;
        let mut values = Vec::with_capacity(shape[0] * columns);
        for row in (0..shape[0]).map(|row| self.row(row)) {
            if self.transposed {
                values.extend((0..columns).map(|column| stored[column * of + row]));
            } else {
                values.extend_from_slice(&stored[row * columns..][..columns]);
            }
        }
        if self.offset != 0.0 {
            for value in &mut values {
                *value -= self.offset;
            }
        }
        values
    }

    /// Puts canonical numbers where they belong among the stored ones.
    pub(super) fn put(&self, values: &[f32], shape: &[usize], stored: &mut [f32]) {
        let columns = shape.get(1).copied().unwrap_or(1);
        let of = stored.len() / columns;
        for (row, values) in values.chunks(columns).enumerate() {
            let row = self.row(row);
            for (column, value) in values.iter().enumerate() {
                let place =
                    if self.transposed { column * of + row } else { row * columns + column };
                stored[place] = value + self.offset;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn putting_back_what_was_taken_changes_nothing() {
        let shape = [8, 3];
        let whole: Vec<f32> = (0..72u8).map(f32::from).collect();
        for transposed in [false, true] {
            let mut rebuilt = vec![-1.0; 72];
            for index in 0..3 {
                let rows = Rows::PerHead { index, head_width: 4 };
                let part = Part { rows, transposed, offset: 0.0 };
                assert_eq!(part.stored_shape(&shape).iter().product::<usize>(), 72);
                part.put(&part.take(&whole, &shape), &shape, &mut rebuilt);
            }
            assert_eq!(rebuilt, whole);
            let rows = Rows::Alternating { head_width: 4 };
            let part = Part { rows, transposed, offset: 1.0 };
            let mut rebuilt = vec![-1.0; 24];
            part.put(&part.take(&whole[..24], &shape), &shape, &mut rebuilt);
            assert_eq!(rebuilt, whole[..24]);
        }
    }

    #[test]
    fn parts_lie_where_their_formats_say() {
        let stored: Vec<f32> = (0..12u8).map(f32::from).collect();
        let take = |part: Part, shape: &[usize]| part.take(&stored, shape);
        // Two heads of width 2: q q k k v v per head.
        let keys = Part::rows(Rows::PerHead { index: 1, head_width: 2 });
        assert_eq!(take(keys, &[4]), [2.0, 3.0, 8.0, 9.0]);
        let halves = Part::rows(Rows::Alternating { head_width: 6 });
        let expected = [0.0, 2.0, 4.0, 1.0, 3.0, 5.0, 6.0, 8.0, 10.0, 7.0, 9.0, 11.0];
        assert_eq!(take(halves, &[12]), expected);
        // Columns 2 and 3 of a stored [2, 6].
        let rows = Rows::From { start: 2, of: 6 };
        let columns = Part { rows, transposed: true, offset: 0.0 };
        assert_eq!(take(columns, &[2, 2]), [2.0, 8.0, 3.0, 9.0]);
    }
}
