//! The story of what was handed on, as blocks.

use owlet_store::claim::Tree;

use super::{Judged, Made, Outcome, Story, Thing, Use};
use crate::cells;
use crate::report::block::{Answer, Block, Depth, Line, Mark, Report, Section, Table, code};
use crate::value::text;

/// More than this many made things are a table for readers of the whole.
const MANY: usize = 24;
/// More sources than this of one thing are counted.
const MOST_SOURCES: usize = 8;

/// What a signature does not say.
const BLIND: [&str; 4] = [
    "Everything here is asserted by whoever holds the key. Nobody watched the steps being made, and nothing of them was made again.",
    "That the key is the one of whom you believe it to be is for you to know.",
    "What no claim tells the origin of may be anything; ask for its claims, or compare weights (`owlet compare`).",
    "A test that passed found nothing of what it asked for. It is no word about anything else.",
];

/// What there is to say.
pub fn report(story: &Story, tree: &Tree) -> Report {
    let files = text::counted(tree.files.len(), "file");
    let claims = story.made.len() + story.judged.len() + story.unread.len();
    let answer = Answer {
        mark: Mark::Yes,
        name: "sound".to_owned(),
        word: called(&story.subject),
        over: Vec::new(),
        why: format!(
            "{files} ({}) and {} signed by key {}",
            text::bytes(tree.size()),
            text::counted(claims, "claim"),
            story.key.short()
        ),
    };
    let mut sections =
        vec![Section::of("verdict", "Is it what was signed?", vec![Block::Answers(vec![answer])])];
    sections.push(made(story).map(|section| {
        section.noted(format!("self-asserted by key {}, what came first first", story.key.short()))
    }));
    let judged = story.judged.iter().map(judged).collect::<Vec<_>>();
    let judged = (!judged.is_empty()).then_some(Block::List(judged));
    sections.push(Section::of("judged", "What was said of rows", judged.into_iter().collect()));
    let outside = story.outside.iter().map(|thing| Line::from(called(thing)));
    let outside: Vec<Line> = outside.collect();
    let outside = (!outside.is_empty()).then_some(Block::List(outside));
    sections.push(Section::of("outside", "Of unknown origin", outside.into_iter().collect()));
    let unread = story.unread.iter().map(|(line, kind)| {
        Line::from(format!("Line {line} says "))
            .and(code(kind.clone()))
            .and(", which this build does not read.")
    });
    let unread: Vec<Line> = unread.collect();
    let unread = (!unread.is_empty()).then_some(Block::List(unread));
    sections.push(Section::of("unread", "Not read", unread.into_iter().collect()));
    let blind = BLIND.iter().map(|line| Line::from(*line)).collect();
    sections.push(Section::of("blind", "What a signature does not say", vec![Block::List(blind)]));
    Report {
        kind: "claims",
        title: called(&story.subject),
        lead: String::new(),
        what: format!("{files}, {}", text::counted(claims, "claim")),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sections: sections.into_iter().flatten().map(Section::brief).collect(),
    }
}

/// What was made from what: at last the thing itself, and in short what is nearest to it.
fn made(story: &Story) -> Option<Section> {
    let row = |made: &Made| {
        let by = made.builder.as_ref().map(|builder| format!(", by {builder}")).unwrap_or_default();
        let kind = made.what.kind.clone().unwrap_or_default();
        cells![called(&made.what), kind, format!("{}{by}", made.step), sources(made)]
    };
    let few = story.made.len().saturating_sub(MANY);
    let table = Table::new("", &["what", "kind", "made by", "from"]);
    let mut blocks = Vec::new();
    if few > 0 {
        let note = format!("The last {MANY} of {}; `--verbose` shows all.", story.made.len());
        blocks.push(Block::Note(note.into()));
        let earlier = table.clone().with(story.made[..few].iter().map(row)).block();
        blocks.push(Block::under("Before", Depth::Full, earlier.into_iter().collect()));
    }
    blocks.extend(table.with(story.made[few..].iter().map(row)).block());
    Section::of("made", "How it was made", blocks)
}

/// From what something was made, the nearest named.
fn sources(made: &Made) -> String {
    if made.from.is_empty() {
        let given = "given from outside";
        return if made.is_given() { given } else { "its settings alone" }.to_owned();
    }
    // Rows and models before what there are many of: readings, probes, behaviors.
    let mut nearest: Vec<&Use> = made.from.iter().collect();
    nearest.sort_by_key(|used| used.role.contains([':', '/']));
    let mut from: Vec<String> = nearest.into_iter().take(MOST_SOURCES).map(source).collect();
    if made.from.len() > MOST_SOURCES {
        from.push(format!("{} more", made.from.len() - MOST_SOURCES));
    }
    from.join("; ")
}

fn source(used: &Use) -> String {
    let what = called(&used.what);
    if used.what.name.as_ref() == Some(&used.role) {
        return what;
    }
    format!("{what} as {}", used.role)
}

fn judged(judged: &Judged) -> Line {
    let word = match judged.result {
        Outcome::Passed => "passed",
        Outcome::Warned => "warned",
        Outcome::Failed => "failed",
    };
    let said = judged.verdicts.iter().map(|one| format!("{}: {}", one.behavior, one.words));
    let said: Vec<String> = said.collect();
    let said = if said.is_empty() { "no verdict".to_owned() } else { said.join("; ") };
    format!("{}, {} for {}: {word} ({said})", called(&judged.what), judged.kind, judged.base).into()
}

/// What a thing is called: its maker's name for it, else its kind, and its id.
fn called(thing: &Thing) -> String {
    let name = thing.name.as_ref().or(thing.kind.as_ref());
    let name = name.map(|name| format!("{name} ")).unwrap_or_default();
    let model = thing.model.as_ref().map(|model| format!(" ({model})")).unwrap_or_default();
    format!("{name}{}{model}", thing.id.short())
}
