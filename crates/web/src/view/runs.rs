//! The list of runs: a line each with the numbers that matter.

use std::sync::Arc;

use maud::{Markup, html};
use owlet_lab::kind::VerdictLine;
use owlet_lab::value::text;

use super::Window;
use super::error::{Error, Result};
use super::index::{RunLine, RunState};
use super::page::Page;
use super::parts::{Slice, choice, duration, form, moment, name, narrow, scrolling, search};
use super::query::{Query, url};

/// What an address calls runs that are compared, with commas between them.
pub(super) const RUNS: &str = "runs";
/// Runs on a page.
const SIZE: usize = 50;
/// Ways to sort: value in the address, words.
const SORTS: [(&str, &str); 4] = [
    ("newest", "newest first"),
    ("oldest", "oldest first"),
    ("effect", "largest effect first"),
    ("name", "by name"),
];

impl Window {
    pub(super) fn runs_page(&self, query: &Query) -> Result<Page> {
        self.refresh()?;
        let (mut lines, pending) = self.index.runs();
        let all = lines.len() + pending;
        let words = query.get("q").unwrap_or_default().to_lowercase();
        let state = query
            .get("state")
            .map(|given| {
                let known = RunState::ALL.into_iter().find(|state| state.name() == given);
                known.ok_or_else(|| {
                    Error::query("state", given, "running, finished, failed or stopped")
                })
            })
            .transpose()?;
        lines.retain(|line| state.is_none_or(|state| line.state == state) && matches(line, &words));
        let sort = query.get("sort").unwrap_or("newest");
        match sort {
            "oldest" => {}
            "newest" => lines.reverse(),
            "name" => lines.sort_by(|one, other| one.name.cmp(&other.name)),
            "effect" => lines.sort_by(|one, other| {
                let ((group, one), (other_group, other)) = (largest(one), largest(other));
                group.cmp(&other_group).then(other.total_cmp(&one))
            }),
            other => return Err(Error::query("sort", other, "newest, oldest, effect or name")),
        }
        let slice = Slice::new(lines.len(), SIZE, query.page()?);
        let shown = &lines[slice.range()];
        let mut data = slice.data("runs", shown.iter().map(|line| &**line));
        data["pending"] = pending.into();
        let body = html! {
            (form("/", "Show", &[
                search("Search", query, "name, base, behavior, id"),
                narrow("State", "state", query, RunState::ALL.map(RunState::name)),
                choice("Order", "sort", sort, SORTS),
            ]))
            p id="news" class="note" role="status" {}
            @if pending > 0 {
                p class="note" role="status" {
                    "Reading " (text::counted(pending, "more run")) "; filters and orders do not see them yet. "
                    a href=(query.at("/")) { "Look again" }
                }
            }
            @if all == 0 {
                p { "No runs yet. This makes one, offline, in a minute or two:" }
                pre class="command" { code { "owlet demo" } }
            } @else if shown.is_empty() {
                p { "No run is like that. " a href="/" { "All runs" } }
            } @else {
                form method="get" action="/compare" { (list(shown, sort, query)) }
            }
            (slice.pager("/", query, "run"))
        };
        let mut page = Page::new("workspace", "Runs", body, data);
        let running: Vec<&str> = shown
            .iter()
            .filter(|line| line.state == RunState::Running)
            .map(|line| line.id.as_str())
            .collect();
        page.live = Some(url(&format!("/live/{all}"), &[("running", &running.join(","))]));
        Ok(page)
    }
}

fn matches(line: &RunLine, words: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(words);
    words.is_empty()
        || has(&line.name)
        || has(&line.base)
        || line.id.as_str().contains(words)
        || line.verdicts.iter().any(|verdict| has(&verdict.behavior))
}

/// The largest effect of a run within its group. Nats and rates do not compare: effects on margins come
/// first, then those on rates, then runs without one.
fn largest(line: &RunLine) -> (u8, f64) {
    let effects = line.verdicts.iter().filter_map(|verdict| verdict.over_neutral);
    let largest = effects.filter(|effect| effect.is_finite()).max_by(f64::total_cmp);
    let is_rate = line.verdicts.iter().any(|verdict| !verdict.measure.needs_log_probabilities());
    match largest {
        Some(largest) => (u8::from(is_rate), largest),
        None => (2, 0.0),
    }
}

/// A heading that leads to an order of the list; of several in turn.
fn heading(title: &str, orders: &[&str], sort: &str, query: &Query) -> Markup {
    let next = orders.iter().position(|order| *order == sort).map_or(0, |at| at + 1);
    let next = orders[next % orders.len()];
    html! { a href=(query.with(&[("sort", next), ("page", "")]).at("/")) { (title) } }
}

fn list(lines: &[Arc<RunLine>], sort: &str, query: &Query) -> Markup {
    let caption = "Runs, with each behavior's margin, or rate of answers, over the neutral teacher's students";
    let table = html! {
        table class="runs" {
            caption class="skip" { (caption) }
            thead {
                tr {
                    th scope="col" { (heading("run", &["name"], sort, query)) }
                    th scope="col" { "state" }
                    th scope="col" { (heading("found: over neutral", &["effect"], sort, query)) }
                    th scope="col" { "base" }
                    th scope="col" class="number" { "seeds" }
                    th scope="col" { (heading("started, UTC", &["newest", "oldest"], sort, query)) }
                    th scope="col" { button type="submit" class="small" { "Compare" } }
                }
            }
            tbody { @for line in lines { (row(line)) } }
        }
    };
    scrolling("Runs", &table)
}

fn row(line: &RunLine) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href={ "/run/" (line.id) } {
                    @if line.name.is_empty() { "(no name)" } @else { (name(&line.name)) }
                }
                small { (line.id.as_str()) }
            }
            @for (part, now) in parts(line) {
                td id={ (part) "-" (line.id) } class=[(part == "seeds").then_some("number")] { (now) }
            }
            td class="moment" {
                (moment(&line.started))
                @if let Some(seconds) = line.seconds { small { "took " (duration(seconds)) } }
            }
            td class="choice" {
                input type="checkbox" name=(RUNS) value=(line.id)
                    aria-label={ "Compare " (name(&line.name)) " " (line.id.nonce()) };
            }
        }
    }
}

/// The cells of a line that change while its run goes, and when it ends.
pub(super) fn parts(line: &RunLine) -> [(&'static str, Markup); 4] {
    let seeds = if line.seeds > 0 { line.seeds.to_string() } else { "–".to_owned() };
    [
        ("state", state(line)),
        ("found", verdicts(&line.verdicts)),
        ("base", html! { (name(&line.base)) }),
        ("seeds", html! { (seeds) }),
    ]
}

/// Where a run stands, with how far it is.
fn state(line: &RunLine) -> Markup {
    html! {
        span class={ "state " (line.state.name()) } { (line.state.name()) }
        @if let Some((done, planned)) = line.steps {
            @if planned > 0 {
                @if line.state == RunState::Running {
                    progress max=(planned) value=(done) aria-label="Steps done" {}
                }
                small {
                    (text::count(done)) " of " (text::counted(planned, "step"))
                    @if line.state == RunState::Running {
                        @if let Some(remaining) = line.remaining { ", " (duration(remaining)) " left" }
                    }
                }
            }
        }
        @if let Some(failure) = &line.failure {
            small class="bad" { (text::cut(&name(&format!("{}: {}", failure.step, failure.message)), 160)) }
        }
        // Verdicts say it themselves.
        @if let (Some(look), true) = (line.look, line.verdicts.is_empty()) { small { "look " (look) } }
        @if line.warnings > 0 { small { (text::counted(line.warnings, "warning")) } }
        @if let Some(damage) = &line.damage { small class="bad" { "damaged: " (text::cut(&name(damage), 80)) } }
    }
}

/// What was found, behavior by behavior; a long list is cut.
pub(super) fn verdicts(verdicts: &[VerdictLine]) -> Markup {
    const MOST: usize = 4;
    html! {
        ul class="found" {
            @for verdict in verdicts.iter().take(MOST) {
                li class=(verdict.mark.class()) {
                    span class="mark" aria-hidden="true" { (verdict.mark.sign()) } " "
                    span class="behavior" { (name(&verdict.behavior)) } " "
                    span class="skip" { (verdict.words()) }
                    @if let Some(value) = verdict.over_neutral {
                        span class="value" {
                            (verdict.measure.scale().difference(value))
                            @if let Some(interval) = verdict.interval {
                                small { " [" (verdict.measure.scale().difference(interval.low)) ", " (verdict.measure.scale().difference(interval.high)) "]" }
                            } @else { small { " no interval" } }
                            small { " " (verdict.measure.difference_unit()) }
                        }
                    }
                }
            }
            @if verdicts.len() > MOST {
                li { small { (verdicts.len() - MOST) " more" } }
            }
        }
    }
}
