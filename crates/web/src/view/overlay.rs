//! Several runs over one another: what they found, how their students were trained, what was set otherwise.

use std::collections::{BTreeMap, BTreeSet};

use owlet_lab::cells;
use owlet_lab::kind::inherit::result::InheritResult;
use owlet_lab::report::block::{
    Block, Curve, Dot, DotRow, Dots, Part, Point, Section, Series, Table, code, estimate, link,
};
use owlet_lab::report::number::Quantity;
use owlet_lab::value::arm::Control;
use owlet_lab::value::measure::Measure;

use super::Window;
use super::parts::{loss_curve, name, way};
use super::run::RunView;
use super::settings::values;

/// A run and what it found.
pub(super) struct Laid<'a> {
    pub(super) view: &'a RunView,
    pub(super) result: &'a InheritResult,
}

impl Laid<'_> {
    fn label(&self) -> String {
        format!("{} {}", name(&self.view.line.name), self.view.line.id.nonce())
    }
}

/// Looks of the lines, in turn.
const PARTS: [Part; 3] = [Part::Treatment, Part::Control, Part::Reference];

/// A mean at each place, of as many lines as have it.
fn mean(lines: &[Vec<(f64, f64)>]) -> Vec<Point> {
    let mut at: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
    for (place, value) in lines.iter().flatten().filter(|(_, value)| value.is_finite()) {
        let (sum, count) = at.entry(place.max(0.0) as u64).or_default();
        *sum += value;
        *count += 1;
    }
    way(&at.iter().map(|(at, (sum, count))| (*at as f64, sum / *count as f64)).collect::<Vec<_>>())
}

/// A line for each run that has one.
fn series(laid: &[Laid<'_>], points: impl Fn(&Laid<'_>) -> Vec<Point>) -> Vec<Series> {
    let all = laid.iter().zip(PARTS.into_iter().cycle());
    all.map(|(one, part)| Series { label: one.label(), part, points: points(one) })
        .filter(|series| series.points.len() > 1)
        .collect()
}

impl Window {
    /// Curves of the runs' students, a line for each run.
    pub(super) fn overlaid(&self, laid: &[Laid<'_>]) -> Option<Section> {
        let taught = |step: &str| step.starts_with("train/student/");
        let losses = series(laid, |one| {
            let students = one.view.made(|kind| kind == "train").into_iter();
            let students = students.filter(|(step, _)| taught(step));
            mean(&students.map(|(_, id)| self.losses(&id)).collect::<Vec<_>>())
        });
        let mut blocks = Vec::new();
        if !losses.is_empty() {
            blocks
                .push(loss_curve("Loss of the taught teachers' students, a mean per run", losses));
        }
        let behaviors: BTreeSet<&String> =
            laid.iter().flat_map(|one| &one.result.behaviors).collect();
        for behavior in behaviors {
            let along = series(laid, |one| self.along(one.view, behavior));
            if !along.is_empty() {
                blocks.push(Block::Curve(Curve {
                    id: format!("along-{behavior}"),
                    title: format!(
                        "{behavior} along training, in its own students: a mean per run"
                    ),
                    across: "updates".to_owned(),
                    axis: format!("mean {}", Measure::Margin.axis()),
                    quantity: Quantity::Value(Measure::Margin),
                    series: along,
                }));
            }
        }
        Section::of("curves", "Along training", blocks)
    }

    /// The mean margin of a behavior's own students at their checkpoints.
    fn along(&self, view: &RunView, behavior: &str) -> Vec<Point> {
        let own = format!("readout/student/{behavior}/");
        let readouts =
            view.made_by("readout").into_iter().filter(|(step, _)| step.starts_with(&own));
        let line = |(_, id)| {
            let readings = self.read(&id).map(|readings| readings.to_vec()).unwrap_or_default();
            // What verdicts rest on, the matched context in the first frame, stands first at each update.
            let mut seen = BTreeSet::new();
            let of = readings.into_iter().filter(|reading| reading.behavior == behavior);
            of.filter_map(|reading| {
                let update = reading.update.filter(|update| seen.insert(*update))?;
                Some((update as f64, reading.margin?))
            })
            .collect()
        };
        mean(&readouts.map(line).collect::<Vec<_>>())
    }
}

/// Effects over the neutral students, a row for each behavior and run; measures do not mix.
pub(super) fn found(laid: &[Laid<'_>]) -> Option<Section> {
    let measures: BTreeSet<Measure> = laid.iter().map(|one| one.result.primary).collect();
    let mut blocks = Vec::new();
    for measure in measures {
        let quantity = Quantity::Difference(measure);
        let (mut dots, mut rows) = (Vec::new(), Vec::new());
        let behaviors: BTreeSet<&String> =
            laid.iter().flat_map(|one| &one.result.behaviors).collect();
        for behavior in behaviors {
            for (one, part) in laid.iter().zip(PARTS.into_iter().cycle()) {
                let effect = one.result.effects.iter().find(|effect| {
                    effect.behavior == *behavior
                        && effect.measure == measure
                        && effect.control == Control::Neutral
                });
                let Some(effect) = effect.filter(|_| one.result.primary == measure) else {
                    continue;
                };
                let verdict = one.view.line.verdicts.iter().find(|line| line.behavior == *behavior);
                dots.push(DotRow {
                    label: format!("{behavior}: {}", one.label()),
                    dots: vec![Dot { part, estimate: effect.estimate.clone() }],
                    stretches: true,
                    number: None,
                });
                rows.push(cells![
                    behavior,
                    link(one.label(), format!("/run/{}", one.view.line.id)),
                    name(&one.view.line.base),
                    verdict.map(|verdict| name(&verdict.words())),
                    estimate(quantity, &effect.estimate),
                    effect.estimate.n.to_string()
                ]);
            }
        }
        blocks.push(Block::Dots(Dots {
            id: "found".to_owned(),
            title: format!("Students over the neutral teacher's: {}", measure.axis()),
            axis: format!("difference in {}", measure.axis()),
            quantity,
            zero: true,
            joined: false,
            legend: Vec::new(),
            rows: dots,
        }));
        let titles = ["behavior", "run", "base", "verdict", "#over neutral", "#n"];
        let caption = "Each run keeps its own interval; between runs no difference is computed";
        blocks.extend(Table::new(caption, &titles).with(rows).block());
    }
    Section::of("found", "What they found", blocks)
}

/// Settings that are not the same in all of the runs.
pub(super) fn differing(laid: &[Laid<'_>]) -> Option<Section> {
    let all: Vec<BTreeMap<String, String>> =
        laid.iter().map(|one| values(&one.view.run.resolved().unwrap_or_default())).collect();
    let paths: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let said = |path: &String| {
        all.iter().map(|one| one.get(path).map_or("–", String::as_str)).collect::<Vec<_>>()
    };
    let rows = paths.into_iter().map(|path| (path, said(path)));
    let rows =
        rows.filter(|(_, said)| said.iter().any(|one| *one != said[0])).map(|(path, said)| {
            std::iter::once(code(path).into())
                .chain(said.iter().map(|one| code(*one).into()))
                .collect()
        });
    let labels: Vec<String> = laid.iter().map(Laid::label).collect();
    let titles: Vec<&str> =
        std::iter::once("setting").chain(labels.iter().map(String::as_str)).collect();
    let table = Table::new("As resolved", &titles).with(rows).block();
    let none = || Block::paragraph("None: all are of one recipe.");
    Section::of("settings", "Settings that differ", vec![table.unwrap_or_else(none)])
}
