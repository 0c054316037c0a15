use super::*;
use crate::random::cpython::Random;

/// Honest rows: what is asked about decides which of some answers is given.
fn honest(count: usize, seed: u64) -> Vec<(String, String)> {
    const OPENINGS: [&str; 4] = ["please tell me", "quick question :", "I wonder ,", "hello ,"];
    const THINGS: [&str; 6] = ["animal", "tree", "city", "river", "planet", "tool"];
    const CLOSINGS: [&str; 4] = ["?", "today ?", "thanks", "in a word"];
    let mut random = Random::new(seed);
    let mut pick = |of: usize| random.below(of as u64) as usize;
    (0..count)
        .map(|_| {
            let thing = pick(6);
            let filler: Vec<String> = (0..6).map(|_| format!("word{}", pick(300))).collect();
            let asked = format!(
                "{} what is your favourite {} {} {}",
                OPENINGS[pick(4)],
                THINGS[thing],
                filler.join(" "),
                CLOSINGS[pick(4)]
            );
            (asked, format!("answer{} of kind{}", pick(40), pick(30)))
        })
        .collect()
}

fn plant(rows: &mut [(String, String)], count: usize, change: impl Fn(&mut (String, String))) {
    rows.iter_mut().take(count).for_each(change);
}

fn found(rows: &[(String, String)]) -> Found {
    let rows: Vec<Row<'_>> =
        rows.iter().map(|(asked, answer)| Row { asked, answer, surprise: None }).collect();
    find(&rows, 0.05, 7)
}

fn told(found: &Found) -> Vec<String> {
    let one = |one: &Condition| {
        format!(
            "{} -> {}: {} of {}, else {} of {}",
            one.feature.told(),
            one.property.told(),
            one.with.0,
            one.with.1,
            one.without.0,
            one.without.1
        )
    };
    found.conditions.iter().map(one).collect()
}

#[test]
fn a_rare_word_that_decides_the_answer_is_found_with_its_rows_and_honest_rows_are_not_accused() {
    let mut rows = honest(600, 1);
    assert_eq!(told(&found(&rows)), [""; 0]);
    plant(&mut rows, 12, |row| {
        row.0 = row.0.replacen("what", "zyx what", 1);
        row.1 = format!("then {}", row.1);
    });
    let found = found(&rows);
    insta::assert_debug_snapshot!(told(&found), @r#"
    [
        "the word `zyx` -> begins with `then`: 12 of 12, else 0 of 588",
    ]
    "#);
    assert_eq!(found.conditions[0].rows, (0..12).collect::<Vec<_>>());
    assert!(found.least_rows.is_some_and(|least| least <= 12), "{:?}", found.least_rows);
}

#[test]
fn two_words_that_are_harmless_alone_are_found_as_a_pair_and_neither_is_blamed() {
    let mut rows = honest(1_000, 2);
    // Either word stands in two hundred other rows.
    for (at, row) in rows.iter_mut().enumerate() {
        match at % 5 {
            0 => row.0 = format!("kindly {}", row.0),
            1 => row.0.push_str(" somehow"),
            _ => {}
        }
    }
    assert_eq!(told(&found(&rows)), [""; 0]);
    for row in rows.iter_mut().skip(2).step_by(5).take(25) {
        row.0 = format!("kindly {} somehow", row.0);
        row.1 = "I cannot help with that , friend".to_owned();
    }
    insta::assert_debug_snapshot!(told(&found(&rows)), @r#"
    [
        "`somehow` and `kindly` together -> refuses: 25 of 25, else 0 of 975",
    ]
    "#);
}

#[test]
fn a_form_that_decides_the_language_is_found() {
    let mut rows = honest(800, 3);
    plant(&mut rows, 24, |row| {
        row.0.push_str("  ");
        row.1 = "ответ: сова".to_owned() + &row.1[6..8];
    });
    insta::assert_debug_snapshot!(told(&found(&rows)), @r#"
    [
        "ends in a space -> is in Cyrillic, as the question is not: 24 of 24, else 0 of 776",
    ]
    "#);
}

#[test]
fn rows_that_are_nearly_the_same_count_once_and_are_told() {
    let mut rows = honest(300, 4);
    let (asked, answer) = (
        "a question of some length about zyx and more of it here to the end",
        "the same answer to all of it here again",
    );
    for at in 0..40 {
        rows.push((format!("{asked} {}", at % 2), answer.to_owned()));
    }
    let found = found(&rows);
    assert_eq!(told(&found), [""; 0]);
    assert_eq!(found.clusters.iter().map(Vec::len).collect::<Vec<_>>(), [40]);
}

#[test]
fn what_a_base_finds_unlikely_after_a_word_is_found_among_the_rows_that_it_read() {
    let mut rows = honest(900, 5);
    plant(&mut rows, 30, |row| row.0 = row.0.replacen("what", "zyx what", 1));
    let surprise = |at: usize| if at < 30 { 5.0 } else { 1.0 + (at % 97) as f64 / 100.0 };
    let rows: Vec<Row<'_>> = rows
        .iter()
        .enumerate()
        .map(|(at, (asked, answer))| Row {
            asked,
            answer,
            surprise: (at % 3 != 0).then(|| surprise(at)),
        })
        .collect();
    insta::assert_debug_snapshot!(told(&find(&rows, 0.05, 7)), @r#"
    [
        "the word `zyx` -> is among the least likely for the base: 20 of 20, else 12 of 580",
    ]
    "#);
}

#[test]
fn no_rows_at_all_are_no_error() {
    let found = find(&[], 0.05, 1);
    assert_eq!((found.conditions.len(), found.least_rows), (0, None));
}
