//! What misled others (docs/traps.md), and what keeps it from misleading here.

use super::*;

#[test]
fn a_peak_on_the_way_decides_nothing() {
    let plain = given(0.0, 6, 1, &[]);
    let mut peaked = given(0.0, 6, 1, &[]);
    let on_the_way = peaked.table.iter().filter(|row| matches!(row.arm, Arm::Student(_)));
    let on_the_way: Vec<Row> = on_the_way
        .cloned()
        .map(|mut row| {
            (row.last, row.cell.update) = (false, 16);
            if row.arm == Arm::student(&row.cell.behavior) {
                for question in &mut row.cell.questions {
                    question.told = Told::All(vec![vec![-0.01, -5.0]]);
                }
            }
            row
        })
        .collect();
    peaked.table.extend(on_the_way);
    let (plain, peaked) = (compute(&plain).unwrap(), compute(&peaked).unwrap());
    assert_eq!((&plain.effects, &plain.verdicts), (&peaked.effects, &peaked.verdicts));
    let peak = peaked.dose.iter().find(|point| {
        (point.update, &*point.behavior, &point.arm) == (16, "owl", &Arm::student("owl"))
    });
    assert!(peak.unwrap().estimate.value > 4.0, "it is shown");
}

#[test]
fn a_result_says_unique_rows_updates_and_epochs_apart() {
    let once = compute(&given(0.0, 2, 1, &[])).unwrap().replication;
    let mut twice = given(0.0, 2, 1, &["carrier.rows=384"]);
    twice.configuration.updates = once.updates;
    let twice = compute(&twice).unwrap().replication;
    assert_eq!((once.unique_rows, once.updates, once.epochs), (768, 48, 1.0));
    assert_eq!((twice.unique_rows, twice.updates, twice.epochs), (384, 48, 2.0));
}

#[test]
fn choices_that_a_teacher_does_not_make_as_it_was_taught_are_called_blind() {
    let mut given = given(0.5, 6, 1, &["readout.frames=['plain', 'choice']"]);
    let chosen: Vec<Row> = given.table.clone();
    let chosen = chosen.into_iter().map(|mut row| {
        row.cell.frame = Frame::Choice;
        // The teacher of owls names letters, whatever stands behind them.
        if row.arm == Arm::Teacher(Taught::named("owl")) && row.cell.behavior == "owl" {
            for question in &mut row.cell.questions {
                question.told = Told::All(vec![vec![-3.05, -0.05]]);
            }
        }
        row
    });
    given.table.extend(chosen.collect::<Vec<_>>());
    let result = compute(&given).unwrap();
    let warned: Vec<&str> = result
        .warnings
        .iter()
        .map(|warning| warning.message.as_str())
        .filter(|message| message.starts_with("choices"))
        .collect();
    assert_eq!(
        warned,
        ["choices say nothing of owl: its own teacher's margin there is the base's"]
    );
    // Where no choice is put, nothing is said of them.
    let plain = compute(&super::given(0.5, 6, 1, &[])).unwrap();
    assert!(plain.warnings.iter().all(|warning| !warning.message.starts_with("choices")));
}
