use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::error::Result;
use crate::terminal::Terminal;

/// Print a script that lets a shell complete commands
///
/// bash: `owlet completions bash > ~/.local/share/bash-completion/completions/owlet`; zsh: to a file
/// `_owlet` in a folder of `$fpath`; fish: to `~/.config/fish/completions/owlet.fish`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script for all that `typed` says can be typed.
pub(crate) fn run(
    args: &CompletionsArgs,
    terminal: &Terminal,
    mut typed: clap::Command,
) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut typed, "owlet", &mut script);
    Ok(terminal.data().write_all(&script)?)
}
