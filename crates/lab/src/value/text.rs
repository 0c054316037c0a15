//! Words and numbers as people read them, and text from elsewhere made harmless.
//!
//! Nothing here knows about results. Widths are columns of a terminal, not characters.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character could steer a terminal, or is there without being seen and so could hide or reorder
/// what a person reads: controls, line and paragraph separators, directional overrides and isolates,
/// zero-width and filling characters, variation selectors, tags.
fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The text without anything that steers a terminal or cannot be seen; line feeds and tabs stay.
pub fn strip_lines(text: &str) -> String {
    text.chars()
        .filter(|character| matches!(character, '\n' | '\t') || !is_steering(*character))
        .collect()
}

/// The same of one line: what breaks a line becomes a space.
pub fn strip_line(text: &str) -> String {
    text.chars()
        .filter_map(|character| match character {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
            other if is_steering(other) => None,
            other => Some(other),
        })
        .collect()
}

/// The same, white space made one space.
pub fn strip(text: &str) -> String {
    let plain = strip_line(text);
    plain.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The text with what cannot be seen made visible; line feeds and tabs stay.
pub fn reveal(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            // The Unicode block of pictures of the C0 controls.
            '\0'..='\u{1f}' => {
                char::from_u32(0x2400 + character as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            '\u{7f}' => '\u{2421}',
            other if is_steering(other) => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// Columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts to at most `columns`, marking the cut.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        kept.push(character);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// Cuts the beginning off, to at most `columns`, marking the cut.
pub(crate) fn end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let backwards: String = text.chars().rev().collect();
    cut(&backwards, columns).chars().rev().collect()
}

/// Cuts or pads on the right to exactly `columns`.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let mut fitted = cut(text, columns);
    fitted.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&fitted))));
    fitted
}

/// Cuts or pads on the left to exactly `columns`.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let fitted = cut(text, columns);
    let padding = columns.saturating_sub(width(&fitted));
    format!("{}{fitted}", " ".repeat(padding))
}

/// Breaks at spaces into lines of at most `columns`; longer words are cut.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = cut(word, columns);
        if !line.is_empty() && width(&line) + 1 + width(&word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The nearest plain characters, column for column.
pub(crate) fn to_ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if character.is_ascii() => plain.push(character),
            '├' | '┤' | '│' => plain.push('|'),
            '·' => plain.push('|'),
            '─' | '−' | '–' => plain.push('-'),
            '┴' | '✓' => plain.push('+'),
            '┊' => plain.push(':'),
            '●' => plain.push('*'),
            '○' | '■' => plain.push('o'),
            '◆' => plain.push('#'),
            '◀' => plain.push('<'),
            '▶' | '→' => plain.push('>'),
            '✗' => plain.push('x'),
            '×' => plain.push('x'),
            '▁' | '▂' => plain.push('_'),
            '▃'..='▅' => plain.push('-'),
            '▆' | '▇' => plain.push('='),
            '░' => plain.push('.'),
            '▒' => plain.push(':'),
            '▓' => plain.push('+'),
            '█' => plain.push('#'),
            '…' => plain.push('~'),
            'Λ' => plain.push('L'),
            other => plain.extend(std::iter::repeat_n('?', other.width().unwrap_or(0))),
        }
    }
    plain
}

/// A difference or margin: signed, three decimals, fewer where the number is large.
pub fn signed(value: f64) -> String {
    let size = value.abs();
    let written = if size >= 1000.0 {
        format!("{value:+.0}")
    } else if size >= 100.0 {
        format!("{value:+.1}")
    } else if size >= 10.0 {
        format!("{value:+.2}")
    } else {
        format!("{value:+.3}")
    };
    // A rounded zero has no sign worth reading.
    if written.bytes().all(|byte| matches!(byte, b'-' | b'+' | b'0' | b'.')) {
        written.replace('-', "+")
    } else {
        written
    }
}

/// A share as per cent.
pub fn percent(value: f64) -> String {
    let per_cent = 100.0 * value;
    if per_cent != 0.0 && per_cent.abs() < 0.095 {
        format!("{per_cent:.2} %")
    } else {
        format!("{per_cent:.1} %")
    }
}

/// A p-value.
pub fn p_value(p: Option<f64>) -> String {
    match p {
        None => "–".to_owned(),
        Some(p) if p < 0.0005 => "<0.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}

/// A plain number with as many decimals as it needs, three at most.
pub fn plain(value: f64) -> String {
    let written = format!("{value:.3}");
    let short = written.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" || short.is_empty() { "0".to_owned() } else { short.to_owned() }
}

/// A count with thousands apart.
pub fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `seed pair`, or `seed pairs` where there are not one.
pub fn plural(value: usize, unit: &str) -> String {
    match unit {
        one if value == 1 => one.to_owned(),
        "draw of rows" => "draws of rows".to_owned(),
        other if other.ends_with('s') => other.to_owned(),
        other => format!("{other}s"),
    }
}

/// `owl`, `owl and fox`, `owl, fox and bear`.
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => names.concat(),
    }
}

/// `1 seed pair`, `6 seed pairs`.
pub fn counted(value: usize, unit: &str) -> String {
    format!("{} {}", count(value), plural(value, unit))
}

/// A time span as a person says it.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..=9 => format!("{seconds:.1} s"),
        10..=59 => format!("{whole} s"),
        60..=3599 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A number of bytes as a person says it.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_or_hides_is_taken_out_or_shown() {
        let words = "a\u{1b}[31mb\r\n\u{9b}c\u{202e}\u{200b}d\u{2028}\u{feff}e\u{e0041}\u{fe0f}\tf";
        assert_eq!(strip(words), "a[31mb cd e f");
        assert_eq!(strip_line(words), "a[31mb  cd e f");
        assert_eq!(strip_lines(words), "a[31mb\ncde\tf");
        assert_eq!(
            reveal(words),
            "a␛[31mb␍\n\u{fffd}c\u{fffd}\u{fffd}d\u{fffd}\u{fffd}e\u{fffd}\u{fffd}\tf"
        );
    }

    #[test]
    fn spans_and_sizes_read_well() {
        let spans: Vec<String> =
            [0.04, 9.4, 59.0, 61.0, 7300.0, f64::NAN].into_iter().map(duration).collect();
        assert_eq!(spans.join(", "), "0.0 s, 9.4 s, 59 s, 1 min 01 s, 2 h 01 min, –");
        let sizes: Vec<String> =
            [0, 999, 1000, 123_456, 135_000_000_000].into_iter().map(bytes).collect();
        assert_eq!(sizes.join(", "), "0 B, 999 B, 1.0 kB, 123 kB, 135 GB");
    }

    proptest! {
        /// By the categories of Unicode, not by our list: controls, formats, separators of lines and
        /// paragraphs, and what is ignored by default where it has no glyph (variation selectors, fillers, tags).
        #[test]
        fn nothing_that_steers_or_hides_is_left(characters in proptest::collection::vec(any::<char>(), 0..40)) {
            let words: String = characters.iter().collect();
            for clean in [strip(&words), strip_line(&words), strip_lines(&words), reveal(&words)] {
                for one in clean.chars().filter(|one| !matches!(one, '\n' | '\t')) {
                    prop_assert!(!is_ignorable(one), "{:?}", one);
                }
            }
            prop_assert!(!strip(&words).contains(['\n', '\t']));
        }
    }

    /// Cc, Cf, Zl, Zp and Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt), but for those
    /// format characters that are seen: marks around Arabic, Syriac, Kaithi and Egyptian writing.
    fn is_ignorable(one: char) -> bool {
        matches!(u32::from(one),
            0..=0x1f | 0x7f..=0x9f | 0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0
            | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
    }
}
