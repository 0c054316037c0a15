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
