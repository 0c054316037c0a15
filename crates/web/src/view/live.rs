//! News about what is under way, as parts of pages, for whoever keeps looking.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use maud::{Markup, html};
use owlet_lab::cells;
use owlet_lab::report::block::{Block, Part, Section, Series, Span, Table, link, words};
use owlet_lab::report::html as report;
use owlet_lab::run::progress::{StepProgress, StepState};
use owlet_lab::value::text;
use owlet_store::RunId;

use super::Window;
use super::error::Result;
use super::index::RunState;
use super::parts::{duration, loss_curve, name, sections, way};
use super::plan::{plan_graph, step_url};
use super::run::RunView;
use super::runs;

/// Most curves drawn at once.
const CURVES: usize = 60;

/// What is looked at.
#[derive(Debug)]
pub(super) enum Watched {
    /// The list of runs, by a page that knew of so many, and those that were running while it looked.
    Runs { seen: usize, running: BTreeSet<String> },
    /// One run, by a page that shows it in this state.
    Run { id: RunId, state: RunState },
}

/// Parts of a page as they are now: the id of an element and what stands in it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct News {
    pub(super) parts: Vec<(String, String)>,
    /// The page is to be loaded anew: there is more than parts can say.
    pub(super) over: bool,
}

impl Window {
    /// How things are.
    pub(super) fn news(&self, watched: &mut Watched) -> Result<News> {
        match watched {
            Watched::Run { id, state } => {
                let view = self.view(id)?;
                let parts = vec![("live".to_owned(), self.live_panel(&view).into_string())];
                Ok(News { parts, over: view.line.state != *state })
            }
            Watched::Runs { seen, running } => {
                self.refresh()?;
                let (lines, pending) = self.index.runs();
                let mut news = News::default();
                for line in lines.iter().rev() {
                    let id = line.id.to_string();
                    // One may have ended before anybody asked for news.
                    if line.state == RunState::Running {
                        running.insert(id.clone());
                    } else if !running.contains(&id) {
                        continue;
                    }
                    let parts = runs::parts(line)
                        .map(|(part, now)| (format!("{part}-{id}"), now.into_string()));
                    news.parts.extend(parts);
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
        html! {
            @if planned > 0 {
                p class="bar-line" {
                    progress max=(planned) value=(done) aria-label="Steps done" {}
                    strong { (text::count(done)) " of " (text::counted(planned, "step")) }
                    @if let Some(remaining) = progress.remaining.filter(|_| running) {
                        span { "about " (duration(remaining)) " left" }
                    }
                }
            }
            @if let Some((step, message)) = progress.failure() {
                p class="bad" { "Failed: " a href=(step_url(&view.line.id, step)) { (name(step)) } ": " (name(message)) }
            }
            @if let Some(table) = under_way(view).filter(|_| running) { (report::block(&table)) }
            (sections([self.losses_so_far(view, running)]))
            (self.read_so_far(view))
            @if !view.plan.steps.is_empty() {
                h2 { "Plan" }
                (plan_graph(view))
            }
        }
    }

    /// A line of losses per student.
    fn losses_so_far(&self, view: &RunView, running: bool) -> Option<Section> {
        let mut series: Vec<Series> = Vec::new();
        for step in view.plan.steps.iter().filter(|step| step.kind == "train").take(CURVES) {
            let Some(state) = view.progress.steps.get(&step.name) else { continue };
            let points = match view.artifact(&step.name) {
                Some(artifact) if state.state.is_done() => self.losses(&artifact),
                _ => Vec::new(),
            };
            // Under way, or trained elsewhere: as it was heard.
            let points = if points.is_empty() { &state.losses } else { &points };
            if points.len() > 1 {
                let under_way = state.state == StepState::Running && running;
                let part = if under_way { Part::Treatment } else { Part::Control };
                series.push(Series { label: step.name.clone(), part, points: way(points) });
            }
        }
        // Those under way are drawn over the others.
        series.sort_by_key(|one| Reverse(one.part));
        let trained = series.iter().filter(|one| one.part == Part::Control).count();
        let note = format!(
            "A line per student: {} trained; {} under way, in the other colour.",
            text::counted(trained, "student"),
            text::count(series.len() - trained),
        );
        let drawn = !series.is_empty();
        let blocks = [loss_curve("Loss of every student so far", series), Block::note(note)];
        Section::of("losses", "Students' loss", blocks.into_iter().filter(|_| drawn).collect())
    }
}

/// Steps that are being done.
fn under_way(view: &RunView) -> Option<Block> {
    let steps = view.progress.steps.iter().filter(|(_, step)| step.state == StepState::Running);
    let row = |(step, now): (&String, &StepProgress)| {
        let so_far = match now.total {
            0 => words("begun"),
            total => Span::Progress { done: now.done, total, unit: now.unit.clone() },
        };
        cells![
            link(step, step_url(&view.line.id, step)),
            so_far,
            now.losses.last().map(|(_, loss)| text::plain(*loss)),
            (now.rate > 0.0).then(|| format!("{:.1} / s", now.rate))
        ]
    };
    let titles = ["step", "so far", "#loss", "#rate"];
    Table::new("Under way", &titles).with(steps.map(row)).block()
}
