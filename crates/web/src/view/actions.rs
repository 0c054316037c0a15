//! What can be done from the window, beside looking: stop a run, go on with one, ask models.
//!
//! Actions change nothing but by these three ways, need the window's own token, and never take a
//! command from an address or a file.

use maud::{Markup, html};
use owlet_store::RunId;

use super::error::{Error, Result};
use super::index::RunState;
use super::run::RunView;
use super::window::Window;

impl Window {
    /// Asks a run to stop; what is finished is kept.
    pub(super) fn stop(&self, id: &RunId) -> Result<()> {
        let line = self.index.run(id)?;
        if line.state != RunState::Running {
            return Err(Error::Conflict { reason: format!("run {id} is not running") });
        }
        Ok(self.open(id)?.ask_to_stop()?)
    }

    /// Goes on with a run in a process of its own.
    pub(super) fn resume(&self, id: &RunId) -> Result<()> {
        let line = self.index.run(id)?;
        match line.state {
            RunState::Running => {
                return Err(Error::Conflict { reason: format!("run {id} is running already") });
            }
            RunState::Finished => {
                return Err(Error::Conflict { reason: format!("run {id} is finished") });
            }
            RunState::Failed | RunState::Stopped => {}
        }
        let resume = self.settings.resume.as_ref().ok_or_else(|| Error::Conflict {
            reason: "runs cannot be started from here; use the command".to_owned(),
        })?;
        resume(id).map_err(|reason| Error::Conflict { reason })
    }

    /// Buttons for what can be done with a run now.
    pub(super) fn actions(&self, view: &RunView) -> Markup {
        let id = &view.line.id;
        let asked = view.run.is_asked_to_stop();
        html! {
            @match view.line.state {
                RunState::Running if asked => p class="note" role="status" { "Asked to stop; it ends as soon as the work under way can be left." },
                RunState::Running => form class="actions" method="post" action={ "/run/" (id) "/stop" } {
                    input type="hidden" name="token" value=(self.token());
                    button type="submit" { "Stop" }
                    span class="hint" { "What is finished is kept." }
                },
                RunState::Failed | RunState::Stopped if self.settings.resume.is_some() => form class="actions" method="post" action={ "/run/" (id) "/resume" } {
                    input type="hidden" name="token" value=(self.token());
                    button type="submit" { "Resume" }
                    span class="hint" { "Goes on in the background, as a new run that reuses all that is finished." }
                },
                _ => {}
            }
        }
    }
}
