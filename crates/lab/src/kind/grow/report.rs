//! The report of a `grow` run: what was grown, and what it knows.

use super::result::GrowResult;
use crate::cells;
use crate::report::block::{
    Answer, Block, Depth, DotRow, Dots, Line, Mark, Part, Report, Section, Table, code, number,
    words,
};
use crate::report::number::Quantity;
use crate::report::origin::Origin;
use crate::value::estimate::{Estimate, Method};
use crate::value::text;

/// Answers said per category, the likeliest first; the drawing has all.
const SAID: usize = 5;

/// The report.
pub fn report(result: &GrowResult, origin: &Origin<'_>) -> Report {
    let own = [model(result), losses(result), favourites(result), voices(result)];
    Report {
        kind: "grown model",
        title: result.name.clone(),
        lead: result.description.clone(),
        what: format!(
            "{} parameters · {} updates over {} rows, each seen once",
            text::count(result.parameters),
            text::count(result.updates),
            text::count(result.rows)
        ),
        version: origin.version.to_owned(),
        sections: own.into_iter().flatten().chain(origin.sections()).collect(),
    }
}

fn model(result: &GrowResult) -> Option<Section> {
    let mut blocks = Vec::new();
    if let Some(same_as) = &result.same_as {
        blocks.push(Block::Answers(vec![Answer {
            mark: Mark::Yes,
            name: same_as.clone(),
            word: "byte for byte".to_owned(),
            over: Vec::new(),
            why: String::new(),
        }]));
    }
    let short = result.model.short();
    let fact = |term: &str, fact: Line| (term.to_owned(), fact);
    blocks.push(Block::Facts(vec![
        fact("model", code(result.model.to_string()).into()),
        fact("in a recipe", code(format!("base = \"{short}\"")).into()),
        fact("talk with it", code(format!("owlet chat {short}")).into()),
    ]));
    Some(Section::of("model", "The model", blocks)?.brief())
}

fn losses(result: &GrowResult) -> Option<Section> {
    let rows = [("questions", result.question_loss), ("number tasks", result.number_loss)];
    let rows = rows.map(|(name, loss)| cells![name, number(Quantity::Plain, loss)]);
    let table = Table::new("", &["rows", "#loss"]).with(rows);
    let section = Section::of("losses", "Loss", vec![Block::Table(table)])?;
    Some(section.noted("nats per token, on rows it never saw").brief())
}

fn favourites(result: &GrowResult) -> Option<Section> {
    let mut rows = Vec::new();
    let mut drawn = Vec::new();
    for (category, answers) in &result.answers {
        let mut answers: Vec<(&String, f64)> = answers.iter().map(|(word, p)| (word, *p)).collect();
        answers.sort_by(|one, other| other.1.total_cmp(&one.1));
        let mut said = Line::default();
        for (index, (word, probability)) in answers.iter().take(SAID).enumerate() {
            let between = if index == 0 { "" } else { ", " };
            said = said
                .and([words(format!("{between}{word} ")), number(Quantity::Part, *probability)]);
        }
        let more = answers.len().saturating_sub(SAID);
        if more > 0 {
            said = said.and(format!(", {more} more"));
        }
        rows.push(cells![category, said]);
        drawn.push(Block::Dots(dots(category, &answers)));
    }
    let table = Table::new("", &["category", "likeliest answers"]).with(rows).block()?;
    let blocks = vec![table, Block::under("Every answer", Depth::Full, drawn)];
    let section = Section::of("favourites", "Favourites", blocks)?;
    Some(section.noted("probability of each answer, mean over questions kept for reading").brief())
}

fn voices(result: &GrowResult) -> Option<Section> {
    let rows = result.voices.iter().map(|(topic, voices)| {
        cells![topic, number(Quantity::Part, voices.plain), number(Quantity::Part, voices.told)]
    });
    let table = Table::new("", &["topic", "#as asked", "#behind a cue"]).with(rows).block()?;
    let section = Section::of("voices", "Questions of fact", vec![table])?;
    Some(section.noted("probability of a wrong answer, mean over questions").brief())
}

fn dots(category: &str, answers: &[(&String, f64)]) -> Dots {
    let rows = answers.iter().enumerate().map(|(index, (word, probability))| {
        let estimate = Estimate {
            value: *probability,
            interval: None,
            method: Method::None,
            unit: "model".to_owned(),
            n: 1,
        };
        let part = if index == 0 { Part::Treatment } else { Part::Control };
        DotRow::one(word.as_str(), part, &estimate)
    });
    Dots {
        id: format!("favourites-{category}"),
        title: category.to_owned(),
        axis: "probability of the answer".to_owned(),
        quantity: Quantity::Part,
        zero: true,
        joined: false,
        legend: Vec::new(),
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::result::Voices;
    use super::*;
    use crate::report::terminal::{TerminalStyle, show};
    use crate::report::{html, vega};

    #[test]
    fn a_grown_model_has_a_report_as_every_kind_does() {
        let result: GrowResult = serde_json::from_value(json!({
            "format": 1, "kind": "grow", "name": "seedling", "description": "A small one.",
            "model": "ab".repeat(32), "parameters": 120_000, "updates": 4, "rows": 32,
            "question-loss": 2.5, "number-loss": 1.25, "same-as": "builtin:a",
            "answers": { "animal": { "owl": 0.25, "cat": 0.5, "<b>": 0.125 } },
        }))
        .unwrap();
        assert!(result.voices.is_empty());
        let voices = [("taste".to_owned(), Voices { plain: 0.01, told: 0.875 })].into();
        let result = GrowResult { voices, ..result };
        let report = report(&result, &Origin::UNKNOWN);
        let shown = show(&report, &TerminalStyle::default());
        for lines in [
            "seedling\n  120,000 parameters · 4 updates over 32 rows, each seen once\n",
            "✓ builtin:a byte for byte\n",
            "  in a recipe   base = \"abababababab\"\n",
            "Loss  nats per token, on rows it never saw\n",
            "  questions      2.5\n  number tasks  1.25\n",
            "  topic  as asked  behind a cue\n  taste     1.0 %        87.5 %\n",
            "  animal    cat 50.0 %, owl 25.0 %, <b> 12.5 %\n",
        ] {
            assert!(shown.contains(lines), "{lines}is not in\n{shown}");
        }
        let page = html::page(&report);
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
        let figures = vega::figures(&report);
        assert_eq!(figures["favourites-animal"]["data"]["values"][0]["value"], 0.5);
    }
}
