//! `--profile`: where the engine's time went, as a trace for Perfetto and a small table.

use std::path::Path;
use std::sync::OnceLock;

use fs_err as fs;
use owlet_engine::profile::Work;
use owlet_engine::{Peaks, Profile, Threads};

use crate::error::Result;
use crate::terminal::{FAINT, Terminal};

static PROFILE: OnceLock<Profile> = OnceLock::new();

/// From here on the engine is listened to.
pub(crate) fn begin() {
    PROFILE.get_or_init(Profile::new);
}

/// What listens, if anything does.
pub(crate) fn listener() -> Option<&'static Profile> {
    PROFILE.get()
}

/// `count` threads, listened to if asked for.
pub(crate) fn threads(count: usize) -> Threads {
    let threads = Threads::new(count);
    listener().map_or_else(|| threads.clone(), |profile| threads.profiled(profile))
}

/// Writes the trace and shows the table.
pub(crate) fn finish(path: &Path, terminal: &Terminal) -> Result<()> {
    let Some(profile) = listener() else { return Ok(()) };
    fs::write(path, profile.trace())?;
    let totals = profile.totals();
    let Some(whole) = totals.iter().find(|total| total.work == Work::Whole) else {
        terminal.say(format_args!("the engine did nothing to profile"));
        return Ok(());
    };
    let peaks = Peaks::measure();
    terminal.say(format_args!(
        "{FAINT}{:12} {:>9} {:>7} {:>9} {:>8} {:>8}{FAINT:#}",
        "where", "seconds", "share", "calls", "GF/s", "GB/s"
    ));
    let row = |name: &str, seconds: f64, calls: usize, operations: f64, bytes: f64| {
        let rate = |amount: f64| {
            let rate = amount / seconds.max(1e-9) / 1e9;
            if rate > 0.0 { format!("{rate:.1}") } else { String::new() }
        };
        terminal.say(format_args!(
            "{name:12} {seconds:9.2} {:5.1} % {calls:9} {:>8} {:>8}",
            100.0 * seconds / whole.seconds,
            rate(operations),
            rate(bytes),
        ));
    };
    let mut parts = 0.0;
    for total in totals.iter().filter(|total| total.work != Work::Whole) {
        parts += total.seconds;
        row(total.work.name(), total.seconds, total.calls, total.operations, total.bytes);
    }
    row("other", (whole.seconds - parts).max(0.0), 0, 0.0, 0.0);
    row("whole", whole.seconds, whole.calls, 0.0, 0.0);
    terminal.say(format_args!(
        "one core of this machine: {:.0} GF/s, {:.1} GB/s; trace for Perfetto: `{}`",
        peaks.operations / 1e9,
        peaks.bytes / 1e9,
        path.display()
    ));
    Ok(())
}
