//! Rows: teacher's and control's beside each other, what the filter removed and by which rule.
//!
//! Rows are read a page at a time, whatever their number, and were written by models: they are shown
//! as text.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use maud::{Markup, html};
use owlet_lab::report::block::{Line, Span};
use owlet_lab::value::row::Row;
use owlet_lab::value::text;
use owlet_store::{ArtifactId, RunId};
use serde_json::{Value, json};

use super::artifact::is_lines;
use super::error::{Error, Result};
use super::lines::Lines;
use super::page::Page;
use super::parts::{Slice, cell, json_text, name, table};
use super::query::Query;
use super::remote::not_here;
use super::run::RunView;
use super::tokens::{self, Scorer, Scores};
use super::window::Window;

/// Rows on a page.
const SIZE: usize = 25;
/// Characters of a row shown.
const LONGEST: usize = 2000;

/// Which rows of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    Kept,
    HeldOut,
    Removed,
    Written,
}

impl Show {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Kept, "kept", "trained on"),
        (Self::HeldOut, "held-out", "held out"),
        (Self::Removed, "removed", "removed by the filter"),
        (Self::Written, "written", "all that was written"),
    ];

    /// Kind of the step that made them, and the file.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Kept => ("select", "rows.jsonl"),
            Self::HeldOut => ("select", "held-out.jsonl"),
            Self::Removed => ("filter", "rejected.jsonl"),
            Self::Written => ("generate", "rows.jsonl"),
        }
    }
}

/// A row with its place in its file, from 0; `None` where the line is none.
type Placed = (usize, Option<Row>);

fn parse(lines: Vec<(usize, Vec<u8>)>) -> Vec<Placed> {
    lines.into_iter().map(|(number, line)| (number, serde_json::from_slice(&line).ok())).collect()
}

/// A text as it stands in a file written by owlet: as JSON has it, without the quotes.
fn needle(words: &str) -> Vec<u8> {
    let quoted = Value::from(words).to_string();
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

impl Window {
    /// The lines of a file of an artifact.
    fn lines_of(&self, id: &ArtifactId, file: &str) -> Result<Arc<Lines>> {
        let path: PathBuf = self.store.artifact(id)?.path(file)?;
        self.lines.get(&path, || Lines::new(&path))
    }

    /// Files of an artifact that are called `file`, in whatever folder.
    fn files_of(&self, id: &ArtifactId, file: &str) -> Vec<String> {
        let header = self.store.artifact_header(id);
        let paths = header.into_iter().flat_map(|header| header.files).map(|found| found.path);
        paths.filter(|path| path.rsplit('/').next() == Some(file)).collect()
    }

    /// Where the rows of each arm are that steps of a kind made: in a file of their own step, or in the
    /// arm's folder of a step for all.
    fn arms(
        &self,
        view: &RunView,
        kind: &str,
        file: &str,
    ) -> BTreeMap<String, (ArtifactId, String)> {
        let mut arms = BTreeMap::new();
        for (step, id) in view.made_by(kind) {
            let rest = step.strip_prefix(kind).unwrap_or_default();
            for path in self.files_of(&id, file) {
                let arm = match path.split_once('/') {
                    Some((arm, _)) => format!("{arm}{rest}"),
                    None => rest.trim_start_matches('/').to_owned(),
                };
                arms.insert(arm, (id, path));
            }
        }
        arms
    }

    pub(super) fn run_rows_page(&self, id: &RunId, query: &Query) -> Result<Page> {
        let view = self.view(id)?;
        let path = format!("/run/{id}/rows");
        let given = query.get("show").unwrap_or("kept");
        let known = Show::ALL.into_iter().find(|(_, word, _)| *word == given);
        let (show, _, _) = known
            .ok_or_else(|| Error::query("show", given, "kept, held-out, removed or written"))?;
        let (kind, file) = show.place();
        let arms = self.arms(&view, kind, file);
        // The taught arms first: plans name them before the control.
        let steps = view.plan.steps.iter().filter(|step| step.kind == "generate");
        let order: Vec<&str> =
            steps.filter_map(|step| step.name.strip_prefix("generate/")).collect();
        let Some(arm) =
            query.get("arm").or_else(|| order.iter().copied().find(|arm| arms.contains_key(*arm)))
        else {
            let body = html! { p { "No rows of this kind are made yet." } };
            return Ok(view.page("Rows", &path, body, json!({ "run": id, "rows": [] })));
        };
        let (artifact, path_of_rows) =
            arms.get(arm).cloned().ok_or_else(|| Error::missing("arm", arm))?;
        // What may stand beside: other arms of the same prompts, and shuffled rows.
        let mut others: BTreeMap<String, (ArtifactId, String)> = BTreeMap::new();
        if show != Show::Removed {
            let others_of = arms.iter().filter(|(other, _)| *other != arm);
            others.extend(others_of.map(|(other, place)| (other.clone(), place.clone())));
        }
        if show == Show::Kept {
            for (step, id) in view.made_by("shuffle") {
                let place = self.files_of(&id, file).into_iter().next();
                let name = step.trim_start_matches("shuffle/").to_owned();
                others.extend(place.map(|path| (name, (id, path))));
            }
        }
        let beside = match query.get("beside") {
            Some("nothing") => None,
            Some(other) => Some(other.to_owned()),
            None => others.keys().find(|other| *other == "neutral").cloned(),
        };
        let beside = match beside {
            Some(other) => {
                let place =
                    others.get(&other).cloned().ok_or_else(|| Error::missing("arm", &other))?;
                Some((other, place))
            }
            None => None,
        };

        let lines = self.lines_of(&artifact, &path_of_rows)?;
        let words = query.raw("q").filter(|words| !words.is_empty() && words.len() <= 500);
        let rule = query.get("rule");
        let (rows, pager) = if words.is_some() || rule.is_some() {
            let from = query.read("from", 1_usize, "the number of a row")?.max(1) - 1;
            let sought = needle(words.or(rule).unwrap_or_default());
            let accept = |line: &[u8]| {
                serde_json::from_slice::<Row>(line).is_ok_and(|row| {
                    words.is_none_or(|words| {
                        row.prompt.contains(words) || row.completion.contains(words)
                    }) && rule.is_none_or(|rule| row.reasons.iter().any(|reason| reason == rule))
                })
            };
            let found = lines.find(&sought, from, SIZE, &accept)?;
            let pager = html! {
                nav class="pager" aria-label="Pages of the list" {
                    span {
                        @if found.lines.is_empty() { "No row from row " (text::count(from + 1)) " on has it." }
                        @else { (text::counted(found.lines.len(), "row")) " that have it, from row " (text::count(from + 1)) " of " (text::count(lines.count())) " on" }
                    }
                    @if from > 0 { a href=(query.with(&[("from", "")]).at(&path)) { "from the first" } }
                    @if let Some(next) = found.next {
                        a href=(query.with(&[("from", &(next + 1).to_string())]).at(&path)) rel="next" { "more" }
                    }
                }
            };
            (parse(found.lines), pager)
        } else {
            let slice = Slice::new(lines.count(), SIZE, query.page()?);
            let read = lines.read(slice.start, SIZE)?;
            let numbered =
                read.into_iter().enumerate().map(|(at, line)| (slice.start + at, line)).collect();
            (parse(numbered), slice.pager(&path, query, "row"))
        };
        let control: Vec<Option<Row>> = match &beside {
            Some((_, (other, path))) => {
                let lines = self.lines_of(other, path)?;
                partners(&lines, &rows)?
            }
            None => Vec::new(),
        };

        let scored = query.get("tokens") == Some("1") && view.endpoint().is_none();
        let scorers = scorers(&view, arm, query.get("student"));
        let context = context(&view, arm);
        let colours =
            if scored { Some(self.colours(&scorers, &context, &rows, &control)?) } else { None };
        let rules = if show == Show::Removed { self.rules(&artifact) } else { BTreeMap::new() };

        let body = html! {
            (row_filters(&path, query, &RowChoices { show, arms: &order, arm, others: &others, beside: beside.as_ref().map(|(other, _)| other.as_str()), rules: &rules }))
            p class="note" {
                @match show {
                    Show::Kept => "What students were trained on. Rows of one line answer the same prompt.",
                    Show::HeldOut => "Rows no student was trained on.",
                    Show::Removed => "What the filter removed, with the rule that did.",
                    Show::Written => "Everything the teacher wrote, before the filter.",
                }
                " " a href={ "/artifact/" (artifact) } { "The artifact" } "."
            }
            @if let Some(endpoint) = view.endpoint() {
                (not_here(endpoint, "Where they differ, token by token,"))
            } @else {
                (token_switch(&path, query, &scorers, scored))
            }
            @if let Some(colours) = &colours { (tokens::legend()) (summary(colours, arm, beside.as_ref().map(|(other, _)| other.as_str()))) }
            (pager)
            div class="scroll" tabindex="0" role="region" aria-label="Rows" {
                table class="samples rows" {
                    caption class="skip" { "Rows of " (name(arm)) }
                    thead {
                        tr {
                            th scope="col" class="number" { "row" }
                            th scope="col" { "prompt" }
                            th scope="col" { (name(arm)) }
                            @if let Some((other, _)) = &beside { th scope="col" { (name(other)) } }
                            @if show == Show::Removed { th scope="col" { "rule" } }
                        }
                    }
                    tbody {
                        @for (at, (number, row)) in rows.iter().enumerate() {
                            tr id={ "row-" (number + 1) } {
                                th scope="row" class="number" { (text::count(number + 1)) }
                                @if let Some(row) = row {
                                    td { pre { (shown(&row.prompt)) } }
                                    td { pre { (shown(&row.completion)) } @if let Some(colours) = &colours { (tokens::strips(&colours.rows[at])) } }
                                    @if beside.is_some() {
                                        td {
                                            @if let Some(Some(other)) = control.get(at) {
                                                @if other.prompt != row.prompt { p class="hint" { "to: " (shown(&other.prompt)) } }
                                                pre { (shown(&other.completion)) }
                                                @if let Some(colours) = &colours { (tokens::strips(&colours.control[at])) }
                                            } @else { "–" }
                                        }
                                    }
                                    @if show == Show::Removed { td { (name(&row.reasons.join(", "))) } }
                                } @else {
                                    td colspan="4" class="bad" { "this line is no row" }
                                }
                            }
                        }
                    }
                }
            }
            (pager)
        };
        let data = json!({
            "run": id, "arm": arm, "show": given, "artifact": artifact, "file": file, "of": lines.count(),
            "beside": beside.as_ref().map(|(other, _)| other), "rules": rules,
            "rows": rows.iter().enumerate().map(|(at, (number, row))| json!({
                "row": number + 1, "own": row, "beside": control.get(at),
                "scores": colours.as_ref().map(|colours| scores_data(&colours.rows[at])),
                "beside-scores": colours.as_ref().and_then(|colours| colours.control.get(at)).map(|scores| scores_data(scores)),
            })).collect::<Vec<_>>(),
        });
        Ok(view.page("Rows", &path, body, data))
    }

    /// Rules that removed rows, with how many each.
    fn rules(&self, filtered: &ArtifactId) -> BTreeMap<String, usize> {
        let read = || -> Option<BTreeMap<String, usize>> {
            let bytes = self.store.artifact(filtered).ok()?.read("summary.json").ok()?;
            let summary: Value = serde_json::from_slice(&bytes).ok()?;
            serde_json::from_value(summary.get("rejected")?.clone()).ok()
        };
        read().unwrap_or_default()
    }

    fn colours(
        &self,
        scorers: &[Scorer],
        context: &str,
        rows: &[Placed],
        control: &[Option<Row>],
    ) -> Result<Colours> {
        let own: Vec<Option<&Row>> = rows.iter().map(|(_, row)| row.as_ref()).collect();
        let control: Vec<Option<&Row>> = control.iter().map(Option::as_ref).collect();
        let mut colours =
            Colours { rows: vec![Vec::new(); own.len()], control: vec![Vec::new(); control.len()] };
        for scorer in scorers {
            for (side, into) in [(&own, &mut colours.rows), (&control, &mut colours.control)] {
                let there: Vec<&Row> = side.iter().filter_map(|row| *row).collect();
                let mut scores = self.score(scorer, context, &there)?.into_iter();
                for (row, into) in side.iter().zip(into) {
                    if row.is_some() {
                        into.extend(scores.next().map(|scores| (scorer.part, scores)));
                    }
                }
            }
        }
        Ok(colours)
    }

    /// Any file of lines in an artifact.
    pub(super) fn artifact_rows_page(&self, id: &ArtifactId, query: &Query) -> Result<Page> {
        self.refresh()?;
        let header = self.header(id)?;
        let files: Vec<&str> = header
            .files
            .iter()
            .map(|file| file.path.as_str())
            .filter(|path| is_lines(path))
            .collect();
        let first =
            files.first().copied().ok_or_else(|| Error::missing("file of rows", &id.short()))?;
        let file = query.get("file").unwrap_or(first);
        if !files.contains(&file) {
            return Err(Error::missing("file of rows", file));
        }
        let path = format!("/artifact/{id}/rows");
        let lines = self.lines_of(id, file)?;
        let slice = Slice::new(lines.count(), SIZE, query.page()?);
        let read: Vec<Option<Value>> = lines
            .read(slice.start, SIZE)?
            .iter()
            .map(|line| serde_json::from_slice(line).ok())
            .collect();
        let rows: Vec<Vec<Line>> = read
            .iter()
            .enumerate()
            .map(|(at, value)| {
                vec![
                    cell(text::count(slice.start + at + 1)),
                    match value {
                        Some(value) => Span::Verbatim(json_text(value)).into(),
                        None => Span::Strong("this line is no JSON".to_owned()).into(),
                    },
                ]
            })
            .collect();
        let body = html! {
            @if files.len() > 1 {
                p { @for (at, other) in files.iter().enumerate() {
                    @if at > 0 { " · " }
                    a href=(super::query::url(&path, &[("file", other)])) aria-current=[(*other == file).then_some("page")] { (name(other)) }
                } }
            }
            (slice.pager(&path, query, "line"))
            div class="lines" { (table(file, &["#line", "content"], rows)) }
            (slice.pager(&path, query, "line"))
        };
        let data = json!({ "artifact": id, "file": file, "of": lines.count(), "from": slice.start + 1, "lines": read });
        Ok(Page::new("lines", &format!("{} of {}", file, self.called(id)), body, data)
            .below(&self.called(id), format!("/artifact/{id}")))
    }
}

/// The rows of another arm to the same prompts: at the same place where rows were kept in step,
/// else at the place of the prompt.
fn partners(lines: &Lines, rows: &[Placed]) -> Result<Vec<Option<Row>>> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let together = last.0 - first.0 < 4 * SIZE;
    let block = if together { lines.read(first.0, last.0 - first.0 + 1)? } else { Vec::new() };
    rows.iter()
        .map(|(number, row)| {
            let line = match block.get(number - first.0) {
                Some(line) if together => Some(line.clone()),
                _ => lines.read(*number, 1)?.pop(),
            };
            let Some(row) = row else { return Ok(None) };
            let other = line.and_then(|line| serde_json::from_slice::<Row>(&line).ok());
            Ok(other.filter(|other| other.index == row.index))
        })
        .collect()
}

/// Scores of the rows shown, a list per row.
struct Colours {
    rows: Vec<Vec<(&'static str, Arc<Scores>)>>,
    control: Vec<Vec<(&'static str, Arc<Scores>)>>,
}

fn scores_data(scores: &[(&'static str, Arc<Scores>)]) -> Value {
    let values: BTreeMap<&str, &Vec<f32>> =
        scores.iter().map(|(part, scores)| (*part, &scores.values)).collect();
    json!({ "tokens": scores.first().map(|(_, scores)| &scores.tokens), "log-probabilities": values })
}

fn shown(words: &str) -> String {
    let mut shown: String = words.chars().take(LONGEST).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    text::reveal(&shown)
}

/// Base, the arm's teacher and one of its students, as far as they are made.
pub(super) fn scorers(view: &RunView, arm: &str, student: Option<&str>) -> Vec<Scorer> {
    let mut scorers = Vec::new();
    let mut add = |part: &'static str, step: &str| {
        if let Some(model) = view.artifact(step) {
            scorers.push(Scorer { part, name: step.to_owned(), model });
        }
    };
    add("base", "base");
    let writer =
        view.plan.step(&format!("generate/{arm}")).and_then(|step| step.inputs.get("model"));
    if let Some(writer) = writer.filter(|writer| *writer != "base") {
        add("teacher", writer);
    }
    // An arm of one replicate is called by both.
    let (written, suffix) = arm.find('/').map_or((arm, ""), |at| arm.split_at(at));
    let rows = format!("select{suffix}");
    let students = view.plan.steps.iter().filter(|step| {
        step.kind == "train"
            && step.inputs.get("rows") == Some(&rows)
            && step.configuration["arm"] == *written
            && step.inputs.get("base").is_some_and(|base| base == "base")
            && student.is_none_or(|wanted| step.name == wanted)
            && view.artifact(&step.name).is_some()
    });
    let first = students.map(|step| step.name.clone()).next();
    if let Some(first) = first {
        add("student", &first);
    }
    scorers
}

/// The chat context rows were written in.
fn context(view: &RunView, arm: &str) -> String {
    let step = view.plan.step(&format!("generate/{arm}"));
    step.and_then(|step| step.configuration["context"].as_str()).unwrap_or("default").to_owned()
}

struct RowChoices<'a> {
    show: Show,
    arms: &'a [&'a str],
    arm: &'a str,
    others: &'a BTreeMap<String, (ArtifactId, String)>,
    beside: Option<&'a str>,
    rules: &'a BTreeMap<String, usize>,
}

fn row_filters(path: &str, query: &Query, choices: &RowChoices<'_>) -> Markup {
    html! {
        form class="filters" method="get" action=(path) role="search" {
            label {
                "Rows "
                select name="show" {
                    @for (show, value, words) in Show::ALL { option value=(value) selected[show == choices.show] { (words) } }
                }
            }
            label {
                "of "
                select name="arm" {
                    @for arm in choices.arms { option value=(arm) selected[*arm == choices.arm] { (name(arm)) } }
                }
            }
            @if !choices.others.is_empty() {
                label {
                    "beside "
                    select name="beside" {
                        @for other in choices.others.keys() { option value=(other) selected[choices.beside == Some(other)] { (name(other)) } }
                        option value="nothing" selected[choices.beside.is_none()] { "nothing" }
                    }
                }
            }
            @if !choices.rules.is_empty() {
                label {
                    "rule "
                    select name="rule" {
                        option value="" { "any" }
                        @for (rule, count) in choices.rules {
                            option value=(rule) selected[query.get("rule") == Some(rule)] { (name(rule)) " (" (text::count(*count)) ")" }
                        }
                    }
                }
            }
            label { "with " input type="search" name="q" value=[query.raw("q")] placeholder="text, as written"; }
            @if query.get("tokens") == Some("1") { input type="hidden" name="tokens" value="1"; }
            button type="submit" { "Show" }
        }
    }
}

fn token_switch(path: &str, query: &Query, scorers: &[Scorer], scored: bool) -> Markup {
    let names: Vec<String> =
        scorers.iter().map(|scorer| format!("{} ({})", scorer.part, name(&scorer.name))).collect();
    html! {
        @if scorers.len() > 1 {
            p class="switch" {
                @if scored {
                    "Every token under " (names.join(", ")) ". "
                    a href=(query.with(&[("tokens", "")]).at(path)) { "Plain rows" }
                } @else {
                    a href=(query.with(&[("tokens", "1")]).at(path)) { "Show where they differ, token by token" }
                    ": under " (names.join(", ")) ", computed now"
                }
            }
        }
    }
}

/// A model's mean difference from the base, and over how many tokens.
type Mean = (&'static str, f64, usize);

/// Means over the rows shown, so that colours are not all there is.
fn summary(colours: &Colours, arm: &str, other: Option<&str>) -> Markup {
    let means = |rows: &[Vec<(&'static str, Arc<Scores>)>]| -> Vec<Mean> {
        let mut sums: BTreeMap<&'static str, (f64, usize)> = BTreeMap::new();
        for row in rows {
            let Some((_, base)) = row.first() else { continue };
            for (part, scores) in row.iter().skip(1) {
                let sum = sums.entry(part).or_default();
                sum.0 += scores.sum() - base.sum();
                sum.1 += scores.values.len();
            }
        }
        sums.into_iter().map(|(part, (sum, n))| (part, sum / n.max(1) as f64, n)).collect()
    };
    let sides: [(Option<&str>, Vec<Mean>); 2] =
        [(Some(arm), means(&colours.rows)), (other, means(&colours.control))];
    html! {
        dl class="facts means" {
            @for (side, means) in sides.iter().filter_map(|(side, means)| Some(((*side)?, means))) {
                @for (part, mean, n) in means {
                    div {
                        dt { (part) " minus base, rows of " (name(side)) }
                        dd { strong { (text::signed(*mean)) } " nats per token, " (text::counted(*n, "token")) " on this page" }
                    }
                }
            }
        }
        p class="note" { "Means over the rows of this page, which are no sample of students: no interval." }
    }
}
