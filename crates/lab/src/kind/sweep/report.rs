//! The report of a sweep: the curve and its verdicts, what differs between points, what would mislead.

use super::result::{Axis, Contrast, Over, POINT, Published, SweepPoint, SweepResult};
use crate::cells;
use crate::kind::inherit::report::toy;
use crate::kind::inherit::result::{Arm, Control, Effect, Measure, Verdict};
use crate::kind::together;
use crate::report::block::{
    Answer, Block, Curve, DotRow, Dots, Line, Mark, Over as Difference, Part, Point, Report,
    Section, Series, Table, count, estimate, estimate_cells, number,
};
use crate::report::number::Quantity;
use crate::report::origin::Origin;
use crate::value::registration::Registration;
use crate::value::text;

/// The report.
pub fn report(result: &SweepResult, origin: &Origin<'_>) -> Report {
    let own = [
        answer(result, origin),
        read(result),
        beside(result),
        together::cautions(&result.warnings, &result.left_out),
        contrasts(result),
        points(result),
        run(result, origin),
    ];
    let keys: Vec<&str> = result.axes.iter().map(|axis| axis.key.as_str()).collect();
    Report {
        kind: "sweep of an inheritance experiment",
        title: result.name.clone(),
        lead: result.description.clone(),
        what: format!(
            "base {} · carrier {} · {}{} · {}",
            result.base,
            result.carrier,
            text::counted(result.points.len(), "point"),
            if keys == [POINT] { String::new() } else { format!(" of {}", text::listed(&keys)) },
            text::counted(result.seeds.len(), "seed"),
        ),
        version: origin.version.to_owned(),
        sections: own.into_iter().flatten().chain(origin.sections()).collect(),
    }
}

fn answer(result: &SweepResult, origin: &Origin<'_>) -> Option<Section> {
    let mut answers = Vec::new();
    for behavior in &result.behaviors {
        for point in &result.points {
            let own = point.verdicts.iter().find(|verdict| verdict.behavior == *behavior);
            answers.extend(own.map(|verdict| one_answer(result, point, verdict, origin)));
        }
    }
    let verdicts = result.rule.map_or(0, |rule| rule.behaviors);
    let mut blocks = vec![
        Block::Answers(answers),
        Block::note(format!(
            "Students minus the neutral teacher's students at the same point: {}. The rule is that of a run of its \
             own; p is corrected over all {} of the sweep (Holm), so that the chance of any false \"inherited\" \
             among them is at most what the level leaves.",
            result.primary.sentence(),
            text::counted(verdicts, "verdict"),
        )),
    ];
    blocks.extend(curves(result));
    blocks.extend(toy(&result.base));
    Some(Section::of("answer", "The answer", blocks)?.brief())
}

fn one_answer(
    result: &SweepResult,
    point: &SweepPoint,
    verdict: &Verdict,
    origin: &Origin<'_>,
) -> Answer {
    let seen = |one: &Registration| one.words(&verdict.behavior, verdict.outcome.id());
    let seen = origin.registration.map(seen).unwrap_or_default();
    // Points are not tries after each other; what other results said is.
    let doubts = |one: &Registration| one.doubts(&verdict.behavior, verdict.outcome.id());
    let mark = if origin.registration.is_some_and(doubts) {
        Mark::Unclear
    } else {
        result.scope.mark(verdict.outcome, &point.caveats)
    };
    let over = point.effect(&verdict.behavior, Control::Neutral).map(|effect| Difference {
        estimate: effect.estimate.clone(),
        quantity: Quantity::Difference(effect.measure),
        reference: "neutral".to_owned(),
    });
    Answer {
        mark,
        name: name(result, point, &verdict.behavior),
        word: result.scope.word(verdict.outcome)
            + &seen
            + &result.scope.beside(verdict.outcome, &point.caveats),
        over: over.into_iter().collect(),
        why: match mark {
            Mark::Yes => String::new(),
            _ => format!("at {}: {}{seen}", point.at, verdict.sentence),
        },
    }
}

/// A behavior at a point, by the point's values alone, or where that is long by its number: names stand in a narrow
/// column.
fn name(result: &SweepResult, point: &SweepPoint, behavior: &str) -> String {
    const LONGEST: usize = 18;
    let values = result.axes.iter().zip(&point.places).map(|(axis, &at)| axis.values[at].as_str());
    let name = format!("{behavior} {}", values.collect::<Vec<_>>().join(" × "));
    if text::width(&name) <= LONGEST {
        return name;
    }
    let number = result.points.iter().position(|one| one.at == point.at).unwrap_or(0) + 1;
    format!("{behavior} at {number}")
}

/// The effect over the neutral students along an axis: lines where its values are numbers, else rows of dots.
fn curves(result: &SweepResult) -> Vec<Block> {
    let numbered = result.axes.iter().position(|axis| axis.numbers().is_some());
    let (across, other) = match numbered {
        Some(across) => (across, 1 - across.min(1)),
        None => (0, 1),
    };
    let other = result.axes.get(other).filter(|_| result.axes.len() > 1).map(|axis| (other, axis));
    let title = |what: &str| format!("Effect over the neutral students, {what}");
    let drawn = |id: String, title: String, rows: Vec<(String, Vec<(usize, &Effect)>)>| {
        drawing(result, &result.axes[across], id, title, rows)
    };
    let at = |behavior: &str, place: Option<(usize, usize)>| -> Vec<(usize, &Effect)> {
        let held = |point: &&SweepPoint| place.is_none_or(|(axis, at)| point.places[axis] == at);
        let points = result.points.iter().filter(held);
        points
            .filter_map(|point| {
                Some((point.places[across], point.effect(behavior, Control::Neutral)?))
            })
            .collect()
    };
    match other {
        None => {
            let rows =
                result.behaviors.iter().map(|behavior| (behavior.clone(), at(behavior, None)));
            vec![drawn("sweep".to_owned(), title("at each value"), rows.collect())]
        }
        Some((other, axis)) => result
            .behaviors
            .iter()
            .map(|behavior| {
                let rows = axis.values.iter().enumerate().map(|(place, value)| {
                    (format!("{} {value}", last(&axis.key)), at(behavior, Some((other, place))))
                });
                drawn(format!("sweep-{behavior}"), title(behavior), rows.collect())
            })
            .collect(),
    }
}

/// The last part of a key, which names it where the whole is said beside it.
fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn drawing(
    result: &SweepResult,
    axis: &Axis,
    id: String,
    title: String,
    rows: Vec<(String, Vec<(usize, &Effect)>)>,
) -> Block {
    let quantity = Quantity::Difference(result.primary);
    let vertical = format!("difference in {}", result.primary.axis());
    let Some(numbers) = axis.numbers() else {
        let dot = |name: &str, (place, effect): (usize, &Effect)| {
            let label = format!("{name}, {}", axis.values[place]);
            DotRow::one(label, Part::Treatment, &effect.estimate)
        };
        let rows = rows.iter().flat_map(|(name, own)| own.iter().map(|one| dot(name, *one)));
        return Block::Dots(Dots {
            id,
            title: format!("{title} of {}", axis.key),
            axis: vertical,
            quantity,
            zero: true,
            joined: false,
            legend: Vec::new(),
            rows: rows.collect(),
        });
    };
    let series = rows.into_iter().map(|(label, own)| {
        let mut points: Vec<Point> = own
            .into_iter()
            .map(|(place, effect)| Point {
                at: numbers[place],
                value: effect.estimate.value,
                interval: effect.estimate.interval,
            })
            .collect();
        points.sort_by(|one, other| one.at.total_cmp(&other.at));
        Series { label, part: Part::Treatment, points }
    });
    Block::Curve(Curve {
        id,
        title: format!("{title} of {}", axis.key),
        across: axis.key.clone(),
        axis: vertical,
        quantity,
        series: series.collect(),
    })
}

/// Every arm at every point, a table per behavior; where points are many, the curve says it.
fn read(result: &SweepResult) -> Option<Section> {
    const MOST: usize = 6;
    let points = &result.points;
    if points.len() > MOST {
        return None;
    }
    let table = |behavior: &String| {
        let mut arms: Vec<&Arm> = Vec::new();
        for one in points.iter().flat_map(|point| &point.arms) {
            if one.behavior == *behavior && !arms.contains(&&one.arm) {
                arms.push(&one.arm);
            }
        }
        let value = Quantity::Value(result.primary);
        let row = |arm: &&Arm| {
            let own = points.iter().map(|point| {
                point.reading(behavior, arm).map(|found| estimate(value, found)).into()
            });
            [arm.label().into()].into_iter().chain(own).collect::<Vec<Line>>()
        };
        let over = points.iter().map(|point| {
            let effect = point.effect(behavior, Control::Neutral);
            effect.map(|one| estimate(Quantity::Difference(one.measure), &one.estimate)).into()
        });
        let over = [Line::from("its students over the neutral ones")].into_iter().chain(over);
        let titles: Vec<String> = points.iter().map(|point| format!("#{}", point.at)).collect();
        let titles: Vec<&str> =
            ["arm"].into_iter().chain(titles.iter().map(String::as_str)).collect();
        let rows: Vec<Vec<Line>> = arms.iter().map(row).collect();
        if rows.is_empty() {
            return None;
        }
        let caption =
            format!("{behavior}, {}, with intervals over repetitions", result.primary.axis());
        Table::new(caption, &titles).with(rows).with([over.collect()]).block()
    };
    let blocks = result.behaviors.iter().filter_map(table).collect();
    let section = Section::of("read", "What was read", blocks)?;
    Some(if result.published.is_empty() { section } else { section.brief() })
}

/// What others found, beside the points that stand for it.
fn beside(result: &SweepResult) -> Option<Section> {
    let row = |published: &Published| {
        let point = result.points.iter().find(|point| point.at == published.at);
        let effect = point.and_then(|point| point.effect(&published.behavior, Control::Neutral));
        cells![
            &published.at,
            &published.behavior,
            format!("{} ({})", published.figure, published.source),
            effect.map(|one| estimate(Quantity::Difference(one.measure), &one.estimate))
        ]
    };
    let titles = ["at", "behavior", "published", "#here, over neutral"];
    let caption = "Figures that others published, and the points that stand for them";
    let table = Table::new(caption, &titles).with(result.published.iter().map(row)).block()?;
    let differs = result.published.iter().filter(|one| !one.differs.is_empty());
    let differs =
        differs.map(|one| Line::from(format!("{}, {}: {}", one.at, one.behavior, one.differs)));
    let note = "Other models, other training, other readouts: the direction may be compared, and what controls show; sizes may not. What differs:";
    let blocks = vec![table, Block::note(note), Block::List(differs.collect())];
    Some(Section::of("published", "Beside what was published", blocks)?.brief())
}

/// Differences between points.
fn contrasts(result: &SweepResult) -> Option<Section> {
    let quantity = Quantity::Difference(result.primary);
    let row = |contrast: &Contrast| {
        let over = match contrast.over {
            Over::First => "the first",
            Over::Before => "the one before",
        };
        let mut row = cells![
            &contrast.behavior,
            &result.points[contrast.point].at,
            format!("{over}, {}", result.points[contrast.reference].at)
        ];
        row.extend(estimate_cells(quantity, &contrast.estimate));
        row.push(contrast.p.map(|p| number(Quantity::P, p)).into());
        row
    };
    let titles = ["behavior", "at", "over", "#mean", "#interval~", "#n~", "unit~", "#p"];
    let caption = format!(
        "Effect over the neutral students less that at another point, {}, paired by seed",
        result.primary.axis()
    );
    let table = Table::new(caption, &titles).with(result.contrasts.iter().map(row)).block()?;
    let note = Block::note(format!(
        "p is two-sided, corrected over {} (Holm); intervals are not corrected.",
        text::counted(result.contrasts.len(), "difference")
    ));
    Some(Section::of("contrasts", "What differs between points", vec![table, note])?.brief())
}

/// Everything that was read at each point.
fn points(result: &SweepResult) -> Option<Section> {
    let size = |point: &SweepPoint| {
        let lambda = point
            .lambda
            .as_ref()
            .map(|lambda| estimate(Quantity::Difference(result.primary), lambda));
        cells![
            &point.at,
            count(point.unique_rows),
            count(point.updates),
            text::plain(point.epochs),
            point.held_out_fall.map(text::plain),
            lambda,
            point.lambda_p.map(|p| number(Quantity::P, p))
        ]
    };
    let titles = [
        "at",
        "#unique rows",
        "#updates",
        "#epochs",
        "#loss fell by",
        "#Λ (own above other)",
        "#its p",
    ];
    let caption = "Rows, updates and epochs of each student, and by how many nats per token its loss on held-out rows fell: where they move together, none of them alone is the cause";
    let sizes = Table::new(caption, &titles).with(result.points.iter().map(size)).block();
    let titles = ["behavior", "at", "over", "#mean", "#interval", "#n", "unit~", "#p of itself"];
    let effects = |rates: bool| {
        let row = |point: &SweepPoint, effect: &Effect| {
            let mut row = cells![&effect.behavior, &point.at, effect.control.label()];
            row.extend(estimate_cells(Quantity::Difference(effect.measure), &effect.estimate));
            row.push(effect.p.map(|p| number(Quantity::P, p)).into());
            row
        };
        let of = |point: &'_ SweepPoint| {
            let effects = if rates { &point.rates } else { &point.effects };
            effects.iter().map(|effect| row(point, effect)).collect::<Vec<_>>()
        };
        result.points.iter().flat_map(of).collect::<Vec<_>>()
    };
    let caption = format!("Students minus each control, {}", result.primary.axis());
    let own = Table::new(caption, &titles).with(effects(false)).block();
    let rates = (result.primary != Measure::Rate).then(|| effects(true));
    let rates = Table::new("The same of sampled answers", &titles).with(rates.unwrap_or_default());
    let blocks = [sizes, own, rates.block()].into_iter().flatten().collect();
    Section::of("points", "Every point", blocks)
}

fn run(result: &SweepResult, origin: &Origin<'_>) -> Option<Section> {
    let axes = result.axes.iter().map(|axis| (axis.key.clone(), axis.values.join("; ")));
    let rest = [
        ("taught behaviors", result.behaviors.join(", ")),
        ("carrier", result.carrier.clone()),
        ("unit of replication", result.unit.clone()),
        ("seeds", together::seeds(&result.seeds)),
    ];
    let rest = rest.map(|(term, fact)| (term.to_owned(), fact));
    together::run(origin, (result.rule, result.primary), axes.chain(rest).collect())
}
