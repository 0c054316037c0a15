//! The one matrix product, over `matrixmultiply`: strided views, split over threads by blocks of
//! the output. An output element is one chain of fused additions along the shared dimension, so
//! neither its place nor the number of threads changes it.

use super::parallel::{Parts, Threads};

/// A strided, read-only matrix.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix whose rows begin `stride` elements apart.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(columns <= stride || rows <= 1, "rows do not overlap");
        assert!(data.len() >= needed, "matrix of {rows}x{columns} within its slice");
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// A row-major matrix without gaps.
    pub(crate) fn dense(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::new(data, rows, columns, columns)
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A strided matrix to write.
pub(crate) struct ViewMut<'a> {
    data: &'a mut [f32],
    stride: usize,
}

impl<'a> ViewMut<'a> {
    /// A row-major matrix whose rows begin `stride` elements apart; its shape is the product's.
    pub(crate) fn new(data: &'a mut [f32], stride: usize) -> Self {
        Self { data, stride }
    }
}

/// Multiplications below which splitting costs more than it saves.
const WORTH_SPLITTING: usize = 1 << 20;

/// `out = a · b`, or `out += a · b` when `accumulate`.
pub(crate) fn product(threads: &Threads, a: View, b: View, accumulate: bool, out: ViewMut) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows, "inner dimensions of a product agree");
    if m == 0 || n == 0 {
        return;
    }
    assert!(out.stride >= n, "output rows do not overlap");
    assert!(out.data.len() >= (m - 1) * out.stride + n, "output {m}x{n} within its slice");
    let stride = out.stride;
    let parts = Parts::new(out.data);
    let block = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        // SAFETY: the views were checked against their slices on creation, the output above;
        // blocks are within both and disjoint in the output.
        unsafe {
            matrixmultiply::sgemm(
                rows.len(),
                k,
                columns.len(),
                1.0,
                a.data.as_ptr().add(rows.start * a.row_stride),
                a.row_stride as isize,
                a.column_stride as isize,
                b.data.as_ptr().add(columns.start * b.column_stride),
                b.row_stride as isize,
                b.column_stride as isize,
                if accumulate { 1.0 } else { 0.0 },
                parts.pointer(rows.start * stride + columns.start),
                stride as isize,
                1,
            );
        }
    };
    let count = threads.count();
    if count == 1 || m * n * k < WORTH_SPLITTING {
        block(0..m, 0..n);
        return;
    }
    // Two pieces per thread along the longer side, whole kernel tiles each.
    let pieces = 2 * count;
    if m >= n {
        threads.blocks(m, m.div_ceil(pieces).next_multiple_of(32), |rows| block(rows, 0..n));
    } else {
        threads.blocks(n, n.div_ceil(pieces).next_multiple_of(32), |columns| block(0..m, columns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(len: usize, seed: u32) -> Vec<f32> {
        let mut state = seed | 1;
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn product_agrees_with_loops_and_ignores_threads(
            m in 1usize..70, k in 1usize..300, n in 1usize..150, seed: u32,
            transpose_a: bool, transpose_b: bool, accumulate: bool,
        ) {
            let (a, b) = (numbers(m * k, seed), numbers(k * n, seed ^ 0x77));
            let start = numbers(m * n, seed ^ 0x99);
            let a_view = if transpose_a { View::dense(&a, k, m).t() } else { View::dense(&a, m, k) };
            let b_view = if transpose_b { View::dense(&b, n, k).t() } else { View::dense(&b, k, n) };
            let mut one = start.clone();
            product(&Threads::new(1), a_view, b_view, accumulate, ViewMut::new(&mut one, n));
            for i in 0..m {
                for j in 0..n {
                    let mut sum = if accumulate { f64::from(start[i * n + j]) } else { 0.0 };
                    for x in 0..k {
                        let left = if transpose_a { a[x * m + i] } else { a[i * k + x] };
                        let right = if transpose_b { b[j * k + x] } else { b[x * n + j] };
                        sum += f64::from(left) * f64::from(right);
                    }
                    prop_assert!((f64::from(one[i * n + j]) - sum).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn an_element_does_not_depend_on_threads_or_on_its_neighbours() {
        for (m, k, n) in [(1, 576, 700), (64, 576, 1536), (130, 301, 515), (1000, 96, 33)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let view = |a| View::dense(a, m, k);
            let mut one = vec![0.0; m * n];
            product(
                &Threads::new(1),
                view(&a),
                View::dense(&b, n, k).t(),
                false,
                ViewMut::new(&mut one, n),
            );
            for count in [2, 3, 5] {
                let mut many = vec![0.0; m * n];
                product(
                    &Threads::new(count),
                    view(&a),
                    View::dense(&b, n, k).t(),
                    false,
                    ViewMut::new(&mut many, n),
                );
                assert!(one == many, "{m}x{k}x{n} on {count} threads");
            }
            let mut alone = vec![0.0; n];
            let last = View::dense(&a[(m - 1) * k..], 1, k);
            product(
                &Threads::new(1),
                last,
                View::dense(&b, n, k).t(),
                false,
                ViewMut::new(&mut alone, n),
            );
            assert!(one[(m - 1) * n..] == alone[..], "row alone, {m}x{k}x{n}");
        }
    }
}
