//! Where hidden states moved, as a report says it.

use super::*;

#[test]
fn where_students_moved_is_said_drawn_and_told_in_numbers() {
    let style = TerminalStyle { depth: Depth::Full, ..TerminalStyle::default() };
    let all = show(&made(&result(), "owlet run three.toml"), &style);
    let own = all.split("all places of a behavior.\n").nth(1).unwrap();
    let own = own.split("\n  Students' shift").next().unwrap();
    insta::assert_snapshot!(own, @r"
    owl: its students moved their teacher's way more than neutral students did in
    1 of 2 places, less in 0. The place fixed beforehand, after layer 1 of 1, at
    the last token: +0.4000 [+0.2800, +0.5200] over them, +0.5000 [+0.4000,
    +0.6000] in all, 0.25 times as far as the teacher.
    rows: after layer, columns: token; * excludes 0
              first      middle        last
    1            –     +0.0500   ██+0.4000*
    After layer 1, at the last token
    students  teacher                      cosine                over neutral
    students  owl      +0.5000 [+0.4000, +0.6000]  +0.4000 [+0.2800, +0.5200]
    of the
    owl
    teacher
    ");
    let words = |all: &str| all.split_whitespace().collect::<Vec<_>>().join(" ");
    let done = "owl taken from -0.300 [-0.400, -0.200] -0.270 [-0.370, -0.170] students added to the base +0.250";
    assert!(words(&all).contains(done), "{all}");
    // Without neutral students the cosine alone is told.
    let mut alone = result();
    for cell in &mut alone.mechanisms.as_mut().unwrap().moved[0].cells {
        cell.over_neutral = None;
    }
    let all = show(&made(&alone, "owlet run three.toml"), &style);
    assert!(words(&all).contains("there are no neutral students to compare it with"), "{all}");
}
