//! Ctrl-C: the first asks to stop and keep what is there, the second ends the program.

use owlet_lab::Interrupt;

use crate::terminal::Terminal;

/// Listens from now on. `how` says what happens to unfinished work and how to go on.
pub(crate) fn listen(terminal: &Terminal, how: &'static str) -> Interrupt {
    let terminal = terminal.clone();
    listen_and(move || terminal.warn(format_args!("stopping; {how} (again: stop at once)")))
}

/// Listens from now on; when somebody asks to stop, `tell` says what that means.
pub(crate) fn listen_and(tell: impl Fn() + Send + 'static) -> Interrupt {
    let interrupt = Interrupt::default();
    let flag = interrupt.clone();
    let asked = ctrlc::set_handler(move || {
        if flag.is_set() {
            #[expect(clippy::exit, reason = "the user asked twice")]
            std::process::exit(130);
        }
        flag.set();
        tell();
    });
    // Without a handler Ctrl-C ends the program, which loses little and damages nothing.
    drop(asked);
    interrupt
}
