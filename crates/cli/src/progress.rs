//! One line that moves on a terminal, or a plain line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal::{Terminal, duration, one_line};

/// What is done sooner needs no line.
const DELAY: Duration = Duration::from_millis(250);
/// Time between plain lines.
const PLAIN_PAUSE: Duration = Duration::from_secs(15);
/// Time between drawings.
const PAUSE: Duration = Duration::from_millis(80);
/// Longest line.
const LONGEST: usize = 300;

/// The line.
pub(crate) struct Progress<'a> {
    terminal: &'a Terminal,
    bar: Option<ProgressBar>,
    last: Instant,
    shown: bool,
    pace: Pace,
}

impl<'a> Progress<'a> {
    /// A line that appears once it is worth it.
    pub(crate) fn new(terminal: &'a Terminal) -> Self {
        let pace = Pace { start: Instant::now(), first: 0 };
        Self { terminal, bar: None, last: Instant::now(), shown: false, pace }
    }

    /// Starts the clock at `done` units.
    pub(crate) fn start_at(&mut self, done: usize) {
        self.pace = Pace { start: Instant::now(), first: done };
    }

    /// Shows how far a count of `units` is.
    pub(crate) fn count(&mut self, units: &str, done: usize, total: usize) {
        self.show(|pace| {
            format!("{units} {done}/{total} · eta {}", duration(pace.left(done, total)))
        });
    }

    /// Shows a new state. The text is only made if somebody will see it.
    pub(crate) fn show(&mut self, text: impl FnOnce(&Pace) -> String) {
        if !self.terminal.progress || self.terminal.quiet {
            return;
        }
        if !self.terminal.is_watched() {
            if self.last.elapsed() >= PLAIN_PAUSE {
                self.last = Instant::now();
                self.terminal.say(one_line(&text(&self.pace), LONGEST));
            }
            return;
        }
        if self.last.elapsed() < if self.shown { PAUSE } else { DELAY } {
            return;
        }
        self.last = Instant::now();
        self.shown = true;
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_message(one_line(&text(&self.pace), LONGEST));
    }

    /// Takes the line away until something is shown again.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Says something above the line.
    pub(crate) fn say(&mut self, text: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.terminal.say(text)),
            None => self.terminal.say(text),
        }
    }
}

impl Progress<'_> {
    /// Takes the line away and returns how long it took, in seconds.
    pub(crate) fn finish(self) -> f64 {
        self.pace.elapsed()
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Rate and time left of a count.
pub(crate) struct Pace {
    start: Instant,
    first: usize,
}

impl Pace {
    /// Seconds left, from the mean pace so far.
    pub(crate) fn left(&self, done: usize, total: usize) -> f64 {
        let gone = done.saturating_sub(self.first);
        if gone == 0 {
            return f64::NAN;
        }
        self.start.elapsed().as_secs_f64() / gone as f64 * total.saturating_sub(done) as f64
    }

    /// Seconds so far.
    pub(crate) fn elapsed(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Units per second so far.
    pub(crate) fn rate(&self, units: usize) -> f64 {
        units as f64 / self.start.elapsed().as_secs_f64().max(1e-9)
    }
}
