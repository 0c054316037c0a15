//! Where the program speaks: data on stdout, talk on stderr.
//!
//! Colour is added here alone and never carries meaning by itself. What a model wrote passes
//! through [`plain`] before a terminal sees it.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

/// Settings of everything that is said.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    /// Data as JSON.
    pub(crate) json: bool,
    /// Errors only.
    pub(crate) quiet: bool,
    /// Every step.
    pub(crate) verbose: bool,
    /// A moving line on stderr.
    pub(crate) progress: bool,
}

/// Bold.
pub(crate) const STRONG: Style = Style::new().bold();
/// Of little weight.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Good.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Look here.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Bad.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

impl Terminal {
    /// Writes data. Styles are stripped where they would not be seen.
    #[expect(clippy::unused_self, reason = "whoever writes has a terminal")]
    pub(crate) fn data(&self) -> anstream::AutoStream<io::StdoutLock<'static>> {
        anstream::stdout().lock()
    }

    /// Writes one JSON value, indented.
    pub(crate) fn json<T: serde::Serialize>(&self, value: &T) -> crate::error::Result<()> {
        let mut out = self.data();
        serde_json::to_writer_pretty(&mut out, value)?;
        writeln!(out)?;
        Ok(())
    }

    /// Says something unless asked to be quiet.
    pub(crate) fn say(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            self.talk(format_args!("{text}"));
        }
    }

    /// Says something that must be heard.
    pub(crate) fn warn(&self, text: impl std::fmt::Display) {
        self.talk(format_args!("{WARN}warning:{WARN:#} {text}"));
    }

    /// Says what to do next.
    pub(crate) fn hint(&self, text: impl std::fmt::Display) {
        self.talk(format_args!("{STRONG}hint:{STRONG:#} {text}"));
    }

    /// Says what went wrong.
    pub(crate) fn error(&self, text: impl std::fmt::Display) {
        self.talk(format_args!("{BAD}error:{BAD:#} {text}"));
    }

    /// Nobody can be told that stderr is gone.
    #[expect(clippy::unused_self, reason = "whoever talks has a terminal")]
    fn talk(&self, text: std::fmt::Arguments<'_>) {
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// Whether somebody watches stderr.
    pub(crate) fn is_watched(&self) -> bool {
        self.progress && !self.quiet && io::stderr().is_terminal()
    }
}

/// Columns of the terminal that reads the data, where one does.
pub(crate) fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Text without what a terminal would obey: control characters (but for line feed and tab) and
/// marks that turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .filter(|&c| matches!(c, '\n' | '\t') || !(c.is_control() || turns_direction(c)))
        .collect()
}

/// The same on one line of at most `most` characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let text: String =
        plain(text).chars().map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c }).collect();
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A duration as a person says it.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".to_owned();
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
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `1 row`, `2 rows`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\r\u{9b}c\u{202e}d\n\te"), "a[31mbcd\n\te");
        assert_eq!(one_line("one\ntwo three", 8), "one two…");
    }

    #[test]
    fn durations_and_sizes_read_well() {
        assert_eq!(duration(0.44), "0.4 s");
        assert_eq!(duration(125.0), "2 min 05 s");
        assert_eq!(duration(7260.0), "2 h 01 min");
        assert_eq!(duration(f64::NAN), "?");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500_000), "1.5 MB");
        assert_eq!(bytes(135_000_000_000), "135 GB");
    }
}
