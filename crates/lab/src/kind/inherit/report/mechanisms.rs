//! Where hidden states moved, in words, as a map and as numbers.

use super::super::result::{Done, InheritResult, Measure, Mechanisms, Moved, MovedAt, Position};
use crate::cells;
use crate::report::block::{Block, Line, Matrix, Section, Table, count, estimate, number, words};
use crate::report::number::Quantity;
use crate::value::arm::Arm;
use crate::value::estimate::{Estimate, Method};
use crate::value::text;

const POSITIONS: [(Position, &str); 3] =
    [(Position::First, "first"), (Position::Middle, "middle"), (Position::Last, "last")];

impl Mechanisms {
    /// The deepest layer that anything moved after.
    fn layers(&self) -> usize {
        let cells = self.moved.iter().flat_map(|moved| &moved.cells);
        cells.map(|cell| cell.layer).max().unwrap_or(1)
    }

    /// The layer that words are about, chosen before anything was read: behind two thirds of them.
    fn told(&self) -> usize {
        (2 * self.layers() / 3).max(1)
    }
}

impl Moved {
    fn at(&self, layer: usize, position: Position) -> Option<&MovedAt> {
        self.cells.iter().find(|cell| cell.layer == layer && cell.position == position)
    }
}

pub(super) fn mechanisms(result: &InheritResult) -> Option<Section> {
    let found = result.mechanisms.as_ref()?;
    let own = |behavior: &String| {
        let arm = Arm::student(behavior);
        found.moved.iter().find(|moved| moved.teacher == *behavior && moved.arm == arm)
    };
    let mut blocks = Vec::new();
    for moved in result.behaviors.iter().filter_map(own) {
        blocks.extend(sentence(moved, found).map(Block::Paragraph));
        blocks.push(map(moved, found));
    }
    blocks.extend(table(found));
    blocks.extend(interventions(found));
    blocks.extend(every(found).map(|table| Block::folded("Every layer and token", vec![table])));
    let note = "A shift: the mean over the questions that a behavior is read by of a model's residual stream minus \
                its base's. Cosine: of the students' shift with the teacher's, at the first token, in the mean of \
                those between, and at the last one before the answer. All training moves students, so what counts \
                is how much more than neutral students they moved as the teacher did; the intervals of these \
                differences hold together over all places of a behavior.";
    Some(Section::of("mechanisms", "Where hidden states moved", blocks)?.noted(note))
}

/// What was found of a behavior's own students.
fn sentence(moved: &Moved, found: &Mechanisms) -> Option<Line> {
    let cell = moved.at(found.told(), Position::Last)?;
    let place = format!("after layer {} of {}, at the last token", cell.layer, found.layers());
    let all = moved.cells.iter().filter_map(|cell| cell.over_neutral.as_ref());
    let (more, less, n) = all.fold((0, 0, 0), |(more, less, n), over| {
        (more + usize::from(over.is_above_zero()), less + usize::from(over.is_below_zero()), n + 1)
    });
    let Some(over) = &cell.over_neutral else {
        return Some(Line::from([
            words(format!("{}: {place}, cosine with the teacher's shift ", moved.teacher)),
            estimate(Quantity::Cosine, &cell.cosine),
            words("; there are no neutral students to compare it with."),
        ]));
    };
    let than = match (more, less) {
        (0, 0) => "cannot be told from neutral students by where they moved".to_owned(),
        _ => format!(
            "moved their teacher's way more than neutral students did in {more} of {}, less in {less}",
            text::counted(n, "place")
        ),
    };
    Some(Line::from([
        words(format!(
            "{}: its students {than}. The place fixed beforehand, {place}: ",
            moved.teacher
        )),
        estimate(Quantity::Cosine, over),
        words(" over them, "),
        estimate(Quantity::Cosine, &cell.cosine),
        words(format!(" in all, {:.2} times as far as the teacher.", cell.length)),
    ]))
}

/// Layers by classes of tokens, of a behavior's own students: over the neutral ones where there are some.
fn map(moved: &Moved, found: &Mechanisms) -> Block {
    let none = Estimate {
        value: f64::NAN,
        interval: None,
        method: Method::None,
        unit: "student".to_owned(),
        n: 0,
    };
    let is_over = moved.cells.iter().any(|cell| cell.over_neutral.is_some());
    let shown = |cell: &MovedAt| {
        if is_over { cell.over_neutral.clone() } else { Some(cell.cosine.clone()) }
    };
    let cells = (1..=found.layers()).map(|layer| {
        let at = |(position, _): &(Position, _)| {
            moved.at(layer, *position).and_then(shown).unwrap_or_else(|| none.clone())
        };
        POSITIONS.iter().map(at).collect()
    });
    let over = if is_over { ", over neutral students" } else { "" };
    Block::Matrix(Matrix {
        id: format!("mechanisms-{}", moved.teacher),
        title: format!("{}: cosine of its students' shift with the teacher's{over}", moved.teacher),
        sides: ("after layer".to_owned(), "token".to_owned()),
        quantity: Quantity::Cosine,
        rows: (1..=found.layers()).map(|layer| layer.to_string()).collect(),
        columns: POSITIONS.iter().map(|(_, name)| (*name).to_owned()).collect(),
        cells: cells.collect(),
    })
}

/// All students at the place that words are about.
fn table(found: &Mechanisms) -> Option<Block> {
    let rows = found.moved.iter().filter_map(|moved| {
        let cell = moved.at(found.told(), Position::Last)?;
        let over = cell.over_neutral.as_ref();
        Some(cells![
            moved.arm.label(),
            &moved.teacher,
            estimate(Quantity::Cosine, &cell.cosine),
            over.map(|over| estimate(Quantity::Cosine, over)),
            number(Quantity::Plain, cell.length)
        ])
    });
    let caption = format!("After layer {}, at the last token", found.told());
    let titles = ["students", "teacher", "#cosine", "#over neutral", "#times as far"];
    Table::new(caption, &titles).with(rows).block()
}

/// What vectors in the stream did to answers.
fn interventions(found: &Mechanisms) -> Option<Block> {
    let nats = Quantity::Difference(Measure::Margin);
    let rows = found.interventions.iter().map(|one| {
        let done = match one.done {
            Done::Ablated => "taken from students",
            Done::Added => "added to the base",
        };
        cells![&one.behavior, done, estimate(nats, &one.change), estimate(nats, &one.over_random)]
    });
    let caption = format!(
        "Students' shift, of students its part along their teacher's, after layer {}: what that does to the margin, \
         nats",
        found.told()
    );
    let titles = ["behavior", "shift", "#change", "#over a random one"];
    Table::new(caption, &titles).with(rows).block()
}

fn every(found: &Mechanisms) -> Option<Block> {
    let all =
        found.moved.iter().flat_map(|moved| moved.cells.iter().map(move |cell| (moved, cell)));
    let rows = all.map(|(moved, cell)| {
        let position: &str = cell.position.into();
        let over = cell.over_neutral.as_ref();
        cells![
            moved.arm.label(),
            &moved.teacher,
            count(cell.layer),
            position,
            estimate(Quantity::Cosine, &cell.cosine),
            over.map(|over| estimate(Quantity::Cosine, over)),
            number(Quantity::Plain, cell.length)
        ]
    });
    let titles =
        ["students", "teacher", "#layer", "token", "#cosine", "#over neutral", "#times as far"];
    Table::new("Shifts beside the teachers'", &titles).with(rows).block()
}
