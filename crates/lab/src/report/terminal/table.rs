//! Tables in columns that fit the width.

use super::super::block::{Column, Line, Table};
use super::{Paint, Screen, plain};
use crate::value::text;

/// Narrowest a column of words is cut to.
const NARROW: usize = 8;
/// Spaces between columns.
const GAP: usize = 2;

impl Screen {
    /// A table: names said once, the widest words cut where all do not fit, whole columns left out where
    /// that is not enough.
    pub(super) fn table(&mut self, table: &Table) {
        if !table.caption.is_empty() {
            self.dim(&text::strip(&table.caption));
        }
        let wanted = |(_, column): &(usize, &Column)| column.depth <= self.style.depth;
        let mut shown: Vec<usize> =
            table.columns.iter().enumerate().filter(wanted).map(|(index, _)| index).collect();
        let mut rows: Vec<Vec<String>> =
            vec![table.columns.iter().map(|one| text::strip(&one.title)).collect()];
        let mut last = String::new();
        for row in &table.rows {
            let mut cells: Vec<String> = row.iter().map(plain).collect();
            cells.resize(table.columns.len(), String::new());
            let name = cells.first().cloned().unwrap_or_default();
            if name == last && table.columns.len() > 1 && !table.columns[0].number {
                cells[0].clear();
            }
            last = name;
            rows.push(cells);
        }
        let mut widths: Vec<usize> = (0..table.columns.len())
            .map(|column| rows.iter().map(|row| text::width(&row[column])).max().unwrap_or(0))
            .collect();
        while self.excess(&shown, &widths) > 0 {
            let widest = shown
                .iter()
                .copied()
                .filter(|column| !table.columns[*column].number && widths[*column] > NARROW)
                .max_by_key(|column| widths[*column]);
            match widest {
                Some(column) => {
                    let most = widths[column].saturating_sub(self.excess(&shown, &widths));
                    // No further than to the next widest: words share what there is.
                    let next = shown
                        .iter()
                        .filter(|other| **other != column && !table.columns[**other].number)
                        .map(|other| widths[*other])
                        .filter(|width| *width < widths[column])
                        .max()
                        .unwrap_or(0);
                    widths[column] = most.max(next).max(NARROW).min(widths[column] - 1);
                }
                None if shown.len() > 1 => drop(shown.pop()),
                None => break,
            }
        }
        let verbatim = |row: usize, column: usize| {
            let cell = row.checked_sub(1).and_then(|row| table.rows[row].get(column));
            cell.is_some_and(Line::is_verbatim)
        };
        for (index, row) in rows.iter().enumerate() {
            // Words go on below; what is shown for its looks is cut.
            let cells: Vec<Vec<String>> = shown
                .iter()
                .map(|column| match &row[*column] {
                    cell if table.columns[*column].number || verbatim(index, *column) => {
                        vec![cell.clone()]
                    }
                    cell => text::wrap(cell, widths[*column]),
                })
                .collect();
            for height in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
                let mut line = String::new();
                for (column, cell) in shown.iter().zip(&cells) {
                    let side = if table.columns[*column].number { text::right } else { text::left };
                    let words = cell.get(height).map_or("", String::as_str);
                    line += &" ".repeat(GAP);
                    line += &side(words, widths[*column]);
                }
                let line = if index == 0 { self.paint(Paint::Dim, line.trim_end()) } else { line };
                self.line(&line);
            }
        }
    }

    /// Columns of the terminal that a table has too many.
    fn excess(&self, shown: &[usize], widths: &[usize]) -> usize {
        let used = shown.iter().map(|column| widths[*column] + GAP).sum::<usize>();
        used.saturating_sub(self.width)
    }
}
