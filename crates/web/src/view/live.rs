//! News about what is under way, as parts of pages, for whoever keeps looking.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use maud::{Markup, html};
use owlet_lab::report::block::{Line, Part, Series, Span};
use owlet_lab::report::html as report;
use owlet_lab::run::progress::StepState;
use owlet_lab::value::text;
use owlet_store::RunId;

use super::error::Result;
use super::index::RunState;
use super::parts::{cell, duration, link, loss_curve, name, table, way};
use super::plan::{plan_graph, step_url};
use super::run::RunView;
use super::runs;
use super::window::Window;

/// Most curves drawn at once.
const CURVES: usize = 60;

/// What is looked at.
#[derive(Clone, Debug)]
pub(super) enum Watched {
    /// The list of runs, by a page that knew of so many, of which it showed some as running.
    Runs { seen: usize, running: BTreeSet<String> },
    /// One run.
    Run(RunId),
}

/// Parts of a page as they are now: the id of an element and what stands in it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct News {
    pub(super) parts: Vec<(String, String)>,
    /// The page is to be loaded anew: there is more than parts can say.
    pub(super) over: bool,
}

impl Window {
    /// How things are. `known` holds what the watcher saw before, and is brought up to date.
    pub(super) fn news(&self, watched: &Watched, known: &mut BTreeSet<String>) -> Result<News> {
        match watched {
            Watched::Run(id) => {
                let view = self.view(id)?;
                let parts = vec![("live".to_owned(), self.live_panel(&view).into_string())];
                Ok(News { parts, over: view.line.state != RunState::Running })
            }
            Watched::Runs { seen, running } => {
                self.refresh()?;
                // One of them may have ended before anybody asked for news.
                known.extend(running.iter().cloned());
                let (lines, pending) = self.index.runs();
                let mut news = News::default();
                for line in lines.iter().rev() {
                    let id = line.id.to_string();
                    let running = line.state == RunState::Running;
                    if running || known.contains(&id) {
                        let parts = runs::parts(line)
                            .map(|(part, now)| (format!("{part}-{id}"), now.into_string()));
                        news.parts.extend(parts);
                    }
                    if running {
                        known.insert(id);
                    }
                }
                let new = (lines.len() + pending).saturating_sub(*seen);
                if new > 0 {
                    let words = html! { a href="/" { (text::counted(new, "new run")) ": show" } };
                    news.parts.push(("news".to_owned(), words.into_string()));
                }
                Ok(news)
            }
        }
    }

    /// How far a run is: what is under way, curves as they come, what was read so far.
    pub(super) fn live_panel(&self, view: &RunView) -> Markup {
        let progress = &view.progress;
        let running = view.line.state == RunState::Running;
        let (done, planned) = (progress.done(), progress.planned);
        let under_way: Vec<Vec<Line>> = progress
            .steps
            .iter()
            .filter(|(_, step)| step.state == StepState::Running && running)
            .map(|(step, state)| {
                vec![
                    link(&step_url(&view.line.id, step), step),
                    if state.total > 0 {
                        let (done, total, unit) = (state.done, state.total, state.unit.clone());
                        Span::Progress { done, total, unit }.into()
                    } else {
                        cell("begun")
                    },
                    cell(
                        state
                            .losses
                            .last()
                            .map_or_else(|| "–".to_owned(), |(_, loss)| text::plain(*loss)),
                    ),
                    cell(if state.rate > 0.0 {
                        format!("{:.1} / s", state.rate)
                    } else {
                        "–".to_owned()
                    }),
                ]
            })
            .collect();
        let mut series: Vec<Series> = Vec::new();
        for step in view.plan.steps.iter().filter(|step| step.kind == "train").take(CURVES) {
            let Some(state) = progress.steps.get(&step.name) else { continue };
            let points = match view.artifact(&step.name) {
                Some(artifact) if state.state.is_done() => self.losses(&artifact),
                _ => Vec::new(),
            };
            // Under way, or trained elsewhere: as it was heard.
            let points = if points.is_empty() { state.losses.clone() } else { points };
            if points.len() > 1 {
                let under_way = state.state == StepState::Running && running;
                let part = if under_way { Part::Treatment } else { Part::Control };
                series.push(Series { label: step.name.clone(), part, points: way(&points) });
            }
        }
        // Those under way are drawn over the others.
        series.sort_by_key(|one| Reverse(one.part));
        let trained = series.iter().filter(|one| one.part == Part::Control).count();
        let training = series.len() - trained;
        html! {
            @if planned > 0 {
                p class="bar-line" {
                    progress max=(planned) value=(done) aria-label="Steps done" {}
                    strong { (text::count(done)) " of " (text::counted(planned, "step")) }
                    @if running {
                        @if let Some(remaining) = progress.remaining { span { "about " (duration(remaining)) " left" } }
                    }
                }
            }
            @if let Some((step, message)) = progress.failure() {
                p class="bad" { "Failed: " a href=(step_url(&view.line.id, step)) { (name(step)) } ": " (name(message)) }
            }
            @if !under_way.is_empty() {
                (table("Under way", &["step", "so far", "#loss", "#rate"], under_way))
            }
            @if !series.is_empty() {
                h2 { "Students' loss" }
                (report::block(&loss_curve("Loss of every student so far", series)))
                p class="note" {
                    "A line per student: " (text::counted(trained, "student")) " trained; "
                    (text::count(training)) " under way, in the other colour."
                }
            }
            (self.read_so_far(view))
            @if !view.plan.steps.is_empty() {
                h2 { "Plan" }
                (plan_graph(view))
            }
        }
    }
}
