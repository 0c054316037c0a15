//! The report of a matrix: whether sharing a base matters, the matrix of every behavior, what would mislead.

use super::result::{Finding, MatrixResult, word};
use crate::cells;
use crate::kind::together;
use crate::report::block::{
    Answer, Block, Depth, DotRow, Dots, Line, Mark, Matrix, Over, Part, Report, Section, Table,
    estimate, estimate_cells, words,
};
use crate::report::number::Quantity;
use crate::report::origin::Origin;
use crate::value::registration::Registration;
use crate::value::text;

/// The report.
pub fn report(result: &MatrixResult, origin: &Origin<'_>) -> Report {
    let own = [
        answer(result, origin),
        matrices(result),
        together::cautions(&result.warnings, &result.left_out),
        numbers(result),
        run(result, origin),
    ];
    Report {
        kind: "matrix of bases",
        title: result.name.clone(),
        lead: result.description.clone(),
        what: format!(
            "bases {} · carrier {} · {} · {} · {}",
            text::listed(&result.bases),
            result.carrier,
            text::counted(result.seeds.len(), "seed"),
            text::counted(result.unique_rows, "unique row"),
            text::counted(result.updates, "update"),
        ),
        version: origin.version.to_owned(),
        sections: own.into_iter().flatten().chain(origin.sections()).collect(),
    }
}

fn answer(result: &MatrixResult, origin: &Origin<'_>) -> Option<Section> {
    let answers = result.findings.iter().map(|finding| one_answer(result, finding, origin));
    let note = format!(
        "Students minus the neutral teacher's students of the same base: {}. Inherited within bases means: students \
         that share their teacher's base lie higher than those that do not, by a t test over repetitions and by \
         relabelling the teachers' bases within them, and lie above the neutral students, other behaviors' students \
         and the untouched base, on average over bases; by the largest of these p, corrected over behaviors (Holm). \
         And nothing contradicts it: no base alone, not the word's own probability, nor sampled answers, nor students \
         that are broken.",
        result.primary.sentence()
    );
    let blocks = vec![Block::Answers(answers.collect()), Block::note(note), drawn(result)];
    Some(Section::of("answer", "The answer", blocks)?.brief())
}

fn one_answer(result: &MatrixResult, finding: &Finding, origin: &Origin<'_>) -> Answer {
    let (verdict, outcome) = (&finding.verdict, finding.verdict.outcome);
    let seen = |one: &Registration| one.words(&finding.behavior, outcome.id());
    let seen = origin.registration.map(seen).unwrap_or_default();
    let doubts = |one: &Registration| one.doubts(&finding.behavior, outcome.id());
    let mark = if origin.registration.is_some_and(doubts) {
        Mark::Unclear
    } else {
        result.scope.mark(outcome, &result.caveats)
    };
    let over = [(&finding.lambda, "other bases"), (&finding.within, "neutral")];
    Answer {
        mark,
        name: finding.behavior.clone(),
        word: word(result.scope, outcome) + &seen + &result.scope.beside(outcome, &result.caveats),
        over: over
            .map(|(estimate, reference)| Over {
                estimate: estimate.clone(),
                quantity: Quantity::Difference(result.primary),
                reference: reference.to_owned(),
            })
            .to_vec(),
        why: match mark {
            Mark::Yes => String::new(),
            _ => format!("{}{seen}", verdict.sentence),
        },
    }
}

/// Students that share their teacher's base, and those that do not.
fn drawn(result: &MatrixResult) -> Block {
    let rows = result.findings.iter().flat_map(|finding| {
        let row = |what: &str, part, estimate| {
            DotRow::one(format!("{}, {what}", finding.behavior), part, estimate)
        };
        [
            row("within bases", Part::Treatment, &finding.within),
            row("across bases", Part::Control, &finding.across),
        ]
    });
    Block::Dots(Dots {
        id: "bases".to_owned(),
        title: "Students over neutral students of the same base".to_owned(),
        axis: format!("difference in {}", result.primary.axis()),
        quantity: Quantity::Difference(result.primary),
        zero: true,
        joined: false,
        legend: vec![
            (Part::Treatment, "students of their teacher's base".to_owned()),
            (Part::Control, "students of another base".to_owned()),
        ],
        rows: rows.collect(),
    })
}

fn matrices(result: &MatrixResult) -> Option<Section> {
    let quantity = Quantity::Difference(result.primary);
    let blocks = result.findings.iter().map(|finding| {
        let matrix = Matrix {
            id: format!("matrix-{}", finding.behavior),
            title: format!(
                "{}: {}, over neutral students",
                finding.behavior,
                result.primary.axis()
            ),
            sides: ("base of the teacher".to_owned(), "base of the students".to_owned()),
            quantity,
            rows: result.bases.clone(),
            columns: result.bases.clone(),
            cells: finding.cells.clone(),
        };
        let lambda = Line::from([
            words("Λ, diagonal minus the rest: "),
            estimate(quantity, &finding.lambda),
            words(format!(", {}", text::counted(finding.lambda.n, &finding.lambda.unit))),
            match finding.lambda_p {
                Some(p) => words(format!(", p {} by relabelling bases", text::p_value(Some(p)))),
                None => words(", no p: relabelling does not undo the luck of rows that all share"),
            },
        ]);
        let blocks = vec![Block::Matrix(matrix), Block::Paragraph(lambda)];
        Block::under(finding.behavior.clone(), Depth::Brief, blocks)
    });
    let section = Section::of("matrix", "Matrix", blocks.collect())?;
    let note = format!(
        "{}, over the students of the neutral teacher of the same base; intervals hold together over all cells",
        result.primary.axis()
    );
    Some(section.noted(note).brief())
}

/// Every cell with its interval, and Λ in every measure.
fn numbers(result: &MatrixResult) -> Option<Section> {
    let quantity = Quantity::Difference(result.primary);
    let cells = result.findings.iter().flat_map(|finding| {
        let rows = result.bases.iter().zip(&finding.cells);
        rows.flat_map(move |(teacher, cells)| {
            result.bases.iter().zip(cells).map(move |(student, cell)| {
                let mut row = cells![&finding.behavior, teacher, student];
                row.extend(estimate_cells(quantity, cell));
                row
            })
        })
    });
    let titles = ["behavior", "teacher", "students", "#mean", "#interval", "#n", "unit"];
    let caption =
        format!("Students over neutral students of the same base, {}", result.primary.axis());
    let cells = Table::new(caption, &titles).with(cells).block();
    let lambdas = result.findings.iter().flat_map(|finding| {
        let own = std::iter::once((result.primary, &finding.lambda));
        let others = finding.others.iter().map(|other| (other.measure, &other.lambda));
        own.chain(others).map(|(measure, lambda)| {
            let mut row = cells![&finding.behavior, measure.axis()];
            row.extend(estimate_cells(Quantity::Difference(measure), lambda));
            row
        })
    });
    let titles = ["behavior", "measure", "#Λ", "#interval", "#n", "unit"];
    let lambdas = Table::new("Λ in every measure", &titles).with(lambdas).block();
    Section::of("cells", "Every cell", cells.into_iter().chain(lambdas).collect())
}

fn run(result: &MatrixResult, origin: &Origin<'_>) -> Option<Section> {
    let facts = [
        ("bases", result.bases.join(", ")),
        ("taught behaviors", result.behaviors.join(", ")),
        ("carrier", result.carrier.clone()),
        ("unit of replication", result.unit.clone()),
        ("seeds", together::seeds(&result.seeds)),
    ];
    let facts = facts.map(|(term, fact)| (term.to_owned(), fact));
    together::run(origin, (Some(result.rule), result.primary), facts.to_vec())
}
