//! Where the program speaks: data on stdout, talk on stderr.
//!
//! Colour is added here alone and never carries meaning by itself. What a model wrote passes
//! through [`plain`] before a terminal sees it.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use owlet_lab::value::text::{self, reveal};
pub(crate) use owlet_lab::value::text::{bytes, duration, strip_lines as plain};

use crate::error::{CliError, Result};

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
    /// The workspace as it was typed, where commands that are shown must name it to work here.
    pub(crate) workspace: Option<String>,
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
    pub(crate) fn json<T: serde::Serialize>(&self, value: &T) -> Result<()> {
        let mut out = self.data();
        serde_json::to_writer_pretty(&mut out, value)?;
        writeln!(out)?;
        Ok(())
    }

    /// A command of this program as it works where it is pasted.
    pub(crate) fn command(&self, rest: &str) -> String {
        match &self.workspace {
            Some(workspace) => format!("owlet --workspace {workspace} {rest}"),
            None => format!("owlet {rest}"),
        }
    }

    /// The same for every command in a text.
    fn pasted(&self, text: &str) -> String {
        text.replace("`owlet ", &format!("`{}", self.command("")))
    }

    /// Says something unless asked to be quiet.
    pub(crate) fn say(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            self.talk(format_args!("{}", self.pasted(&text.to_string())));
        }
    }

    /// Says something that must be heard. Here and below what others wrote may stand in the text, so it
    /// cannot steer the terminal.
    pub(crate) fn warn(&self, text: impl std::fmt::Display) {
        self.talk(format_args!(
            "{WARN}warning:{WARN:#} {}",
            reveal(&self.pasted(&text.to_string()))
        ));
    }

    /// Says what to do next.
    pub(crate) fn hint(&self, text: impl std::fmt::Display) {
        self.talk(format_args!(
            "{STRONG}hint:{STRONG:#} {}",
            reveal(&self.pasted(&text.to_string()))
        ));
    }

    /// Says what went wrong.
    pub(crate) fn error(&self, text: impl std::fmt::Display) {
        self.talk(format_args!("{BAD}error:{BAD:#} {}", reveal(&self.pasted(&text.to_string()))));
    }

    /// Says what went wrong and what to do next.
    pub(crate) fn failure(&self, failure: &CliError) {
        if let Some((error, hints)) = failure.told() {
            self.error(error);
            for hint in hints {
                self.hint(hint);
            }
        }
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

/// Writes a value as one line of JSON.
pub(crate) fn json_line<T: serde::Serialize>(out: &mut impl Write, value: &T) -> Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    Ok(writeln!(out)?)
}

/// Columns of the terminal that reads the data, where one does.
pub(crate) fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// One line of at most `most` columns, without what a terminal would obey.
pub(crate) fn one_line(words: &str, most: usize) -> String {
    text::cut(text::strip_line(words).trim(), most)
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// `1 row`, `2 rows`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Whether someone types on stdin.
pub(crate) fn stdin_is_typed() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\r\u{9b}c\u{202e}d\n\te"), "a[31mbcd\n\te");
        assert_eq!(plain("\u{feff}o\u{200b}w\u{2028}l\u{e0041}\u{fe0f}"), "owl");
        assert_eq!(one_line("one\ntwo three", 8), "one two…");
    }
}
