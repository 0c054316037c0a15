//! The block at the end of a `grow` run.

use super::{Block, Paint, TerminalStyle};
use crate::kind::grow::result::GrowResult;
use crate::value::text;

/// Answers shown per category, the likeliest first.
const ANSWERS: usize = 5;

/// What was grown and what it knows.
pub fn grown_block(result: &GrowResult, style: &TerminalStyle) -> String {
    let mut block = Block::new(style);
    block.paragraph("", Paint::Plain, &text::strip(&result.name));
    let what = format!(
        "{} parameters · {} updates over {} rows, each seen once",
        text::count(result.parameters),
        text::count(result.updates),
        text::count(result.rows)
    );
    block.paragraph("  ", Paint::Plain, &what);
    block.line("");
    if let Some(same_as) = &result.same_as {
        let words = format!("✓ byte for byte {}", text::strip(same_as));
        let words = block.paint(Paint::Good, &words);
        block.line(&words);
    }
    block.line(&format!("model  {}", result.model));
    block.paragraph(
        "base   ",
        Paint::Plain,
        &format!("base = \"{}\" in a recipe, or `owlet chat {0}`", result.model.short()),
    );
    block.heading("Loss", "nats per token, on rows it never saw");
    block.line(&format!("  questions     {:.3}", result.question_loss));
    block.line(&format!("  number tasks  {:.3}", result.number_loss));
    block.heading("Favourites", "probability of each answer, mean over questions kept for reading");
    for (category, answers) in &result.answers {
        let mut answers: Vec<(&String, &f64)> = answers.iter().collect();
        answers.sort_by(|one, other| other.1.total_cmp(one.1));
        let shown: Vec<String> = answers
            .iter()
            .take(ANSWERS)
            .map(|(word, share)| format!("{} {}", text::strip(word), text::percent(**share)))
            .collect();
        let more = answers.len().saturating_sub(ANSWERS);
        let more = if more > 0 { format!(", {more} more") } else { String::new() };
        let name = format!("  {}", text::left(&text::strip(category), 12));
        block.paragraph(&name, Paint::Plain, &format!("{}{more}", shown.join(", ")));
    }
    block.finish()
}
