//! Reports of a made-up result: what people see, and what hostile text cannot do.

mod fixture;

use super::*;
use crate::kind::inherit::result::{Arm, Interval, Measure, Taught};
use crate::value::cost::KindCost;
use crate::value::text;
use fixture::result;

fn more() -> Vec<More> {
    [("Report", "three-behaviors.html"), ("Record", "owlet show 7c0d")]
        .map(|(what, place)| More { what: what.to_owned(), place: place.to_owned() })
        .to_vec()
}

#[test]
fn block_at_80_columns() {
    let block = terminal(&result(), &TerminalStyle::default(), &more());
    insta::assert_snapshot!(block, @r#"
    three behaviors
      base builtin:a · carrier numbers · 6 seeds · 768 unique rows × 25 epochs (300
      updates of 64)

    ✓ owl  inherited       +0.412 [+0.302, +0.522] over neutral, n = 6 seed pairs
    ✗ wolf not detected    +0.032 [-0.088, +0.152] over neutral, n = 6 seed pairs
    ? oak  uninterpretable +0.301 [+0.151, +0.451] over neutral, n = 6 seed pairs
           oak: cannot be interpreted, gate failed: valid rows of oak
      students minus the neutral teacher's students: logit margin of the target in
      nats, 95 % t over paired seeds; rule fixed before the run: gates pass,
      intervals over neutral and over other behaviors exclude 0

    P(target)  share of the probability of all candidates, mean over questions
                 base →    teacher →    student   vs neutral
      owl       2.6 % →     99.8 % →      4.4 %        3.0 %
      wolf      3.6 % →     99.7 % →      3.7 %        3.6 %
      oak       2.0 % →     99.9 % →      2.7 %        2.0 %

    owl: margin per condition
      nats; bars: intervals over students (◆: over questions)
      untouched base                  ◀────────◆─────────┤               ┊    -0.620
      owl teacher                                                        ▶    +9.200
      students of the owl teacher                                  ├─●──┤┊    -0.088
      students of the wolf teacher                 ├─○──┤                ┊    -0.470
      students of the oak teacher                 ├─○──┤                 ┊    -0.490
      students of the neutral teacher            ├──○─┤                  ┊    -0.500
      shuffled within rows, owl                ├──○─┤                    ┊    -0.550
      other base, owl                          ├──○─┤                    ┊    -0.550
      base shown 16 owl rows           ├──────────○─────────┤            ┊    -0.550
                                      ─┴────────┴───────┴───────┴────────┴
                                      -0.8    -0.6    -0.4    -0.2      0.0

    wolf: margin per condition
      nats; bars: intervals over students (◆: over questions)
      untouched base                  ◀───────────────◆───────────────┤       -0.310
      wolf teacher                                                       ▶    +8.800
      students of the owl teacher               ├───○───┤                     -0.330
      students of the wolf teacher                  ├───●───┤                 -0.268
      students of the oak teacher                  ├───○───┤                  -0.290
      students of the neutral teacher             ├───○───┤                   -0.300
      shuffled within rows, wolf                    ├───○──┤                  -0.280
      other base, wolf                              ├───○──┤                  -0.280
      base shown 16 wolf rows          ├────────────────○───────────────┤     -0.280
                                      ──────────┴────────────┴────────────
                                              -0.4         -0.2

    oak: margin per condition
      nats; bars: intervals over students (◆: over questions)
      untouched base                  ◀─────────────◆─────────────┤           -0.900
      oak teacher                                                        ▶    +9.900
      students of the owl teacher                ├───○──┤                     -0.880
      students of the wolf teacher             ├──○───┤                       -0.920
      students of the oak teacher                                ├──●───┤     -0.599
      students of the neutral teacher           ├───○──┤                      -0.900
      shuffled within rows, oak                   ├──○───┤                    -0.870
      other base, oak                             ├──○───┤                    -0.870
      base shown 16 oak rows           ├─────────────○─────────────┤          -0.870
                                      ────────┴──────────┴──────────┴─────
                                            -1.0       -0.8       -0.6

    Matrix  rows: teachers, columns: readouts; nats over neutral; * excludes 0
                  owl        wolf         oak
      owl  ██ +0.412*     -0.030      +0.020
      wolf    +0.030      +0.032      -0.020
      oak     +0.010      +0.010   ▓▓ +0.301*
      Λ, diagonal minus the rest: +0.245 [+0.175, +0.315], 6 matrix replicates, p
      <0.001 by relabelling teachers

    Comparisons  nats; p: one-sided permutation; Holm over 6 comparisons
                                        minus  [interval]          n      p   Holm
      owl over neutral teacher         +0.412  [+0.302, +0.522]    6  0.016  0.094
          over other behavior          +0.382  [+0.272, +0.492]    6  0.016  0.094
          over untouched base          +0.462  [+0.352, +0.572]    6  0.016      –
          over other base              +0.392  [+0.282, +0.502]    6  0.016      –
          over shuffled within rows    +0.332  [+0.222, +0.442]    6  0.016      –
          over in context              +0.402  [+0.292, +0.512]    6  0.016      –
      wolf over neutral teacher        +0.032  [-0.088, +0.152]    6  0.344  0.688
           over other behavior         +0.002  [-0.118, +0.122]    6  0.344  0.688
           over untouched base         +0.082  [-0.038, +0.202]    6  0.344      –
           over other base             +0.012  [-0.108, +0.132]    6  0.344      –
           over shuffled within rows   -0.048  [-0.168, +0.072]    6  0.344      –
           over in context             +0.022  [-0.098, +0.142]    6  0.344      –
      oak over neutral teacher         +0.301  [+0.151, +0.451]    6  0.016  0.094
          over other behavior          +0.271  [+0.121, +0.421]    6  0.016  0.094
          over untouched base          +0.351  [+0.201, +0.501]    6  0.016      –
          over other base              +0.281  [+0.131, +0.431]    6  0.016      –
          over shuffled within rows    +0.221  [+0.071, +0.371]    6  0.016      –
          over in context              +0.291  [+0.141, +0.441]    6  0.016      –

    Rows  what was left after the filter
      owl      1,200 asked, 1,149 valid, 768 kept, no leaks
               204, 731, 224, 908, 155, 640, 377, 512
      wolf     1,200 asked, 1,149 valid, 768 kept, no leaks
               205, 731, 224, 908, 155, 640, 377, 512
      oak      1,200 asked, 1,149 valid, 768 kept, no leaks
               204, 731, 224, 908, 155, 640, 377, 512
      neutral  1,200 asked, 1,149 valid, 768 kept, no leaks
               208, 731, 224, 908, 155, 640, 377, 512

    Gates  1 of 2 passed
      ✗ failed  valid rows of oak: 0.82, wanted at least 0.9; the rows kept are a
                selection, and the teacher may be broken

    Warning: the wolf teacher is saturated: its rows may carry little else
       hint: train it for fewer updates or at a lower rate

    Left out: shuffled across rows control

    Report  three-behaviors.html
    Record  owlet show 7c0d
    "#);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 120] {
        for unicode in [false, true] {
            let style = TerminalStyle { width, colour: false, unicode };
            let block = terminal(&result(), &style, &more());
            for line in block.lines() {
                assert!(text::width(line) <= width, "{width}: {line}");
            }
            assert!(unicode || block.is_ascii());
        }
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let plain = terminal(&result(), &TerminalStyle::default(), &more());
    let style = TerminalStyle { colour: true, ..TerminalStyle::default() };
    let coloured = terminal(&result(), &style, &more());
    assert_ne!(plain, coloured);
    let mut without = coloured;
    for code in ["0", "1", "2", "1;32", "1;33"] {
        without = without.replace(&format!("\u{1b}[{code}m"), "");
    }
    let trimmed = |block: &str| -> Vec<String> {
        block.lines().map(|line| line.trim_end().to_owned()).collect()
    };
    assert_eq!(trimmed(&without), trimmed(&plain));
}

#[test]
fn hostile_text_cannot_steer_a_terminal() {
    let mut hostile = result();
    let attack = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\r\nok\u{9b}31m";
    hostile.name = attack.to_owned();
    hostile.behaviors[0] = attack.to_owned();
    hostile.verdicts[0].behavior = attack.to_owned();
    hostile.verdicts[2].sentence = attack.to_owned();
    for reading in hostile.readings.iter_mut().filter(|reading| reading.behavior == "owl") {
        attack.clone_into(&mut reading.behavior);
        reading.arm = Arm::student(attack);
    }
    hostile.rows[0].samples[0].1 = attack.to_owned();
    hostile.warnings[0].message = attack.to_owned();
    hostile.left_out[0] = attack.to_owned();
    for unicode in [false, true] {
        let style = TerminalStyle { unicode, ..TerminalStyle::default() };
        let block = terminal(&hostile, &style, &more());
        assert!(block.contains("ok31m"), "{block}");
        assert!(
            !block.chars().any(|one| (one.is_control() && one != '\n') || one == '\u{202e}'),
            "{block:?}"
        );
    }
}

#[test]
fn one_seed_has_no_interval_and_says_so() {
    let mut single = result();
    single.replication.seeds.truncate(1);
    for effect in &mut single.effects {
        effect.estimate.interval = None;
        effect.estimate.n = 1;
    }
    single.verdicts[0].outcome = crate::kind::inherit::result::Outcome::Uninterpretable;
    let block = terminal(&single, &TerminalStyle::default(), &[]);
    assert!(block.contains("? owl  uninterpretable +0.412 (no interval) over neutral, n = 1"));
}

fn costs() -> Vec<KindCost> {
    let cost = |kind: &str, steps, core_seconds, peak_memory| KindCost {
        kind: kind.to_owned(),
        steps,
        core_seconds,
        peak_memory,
    };
    vec![
        cost("train", 36, 4321.5, Some(700 << 20)),
        cost("generate", 3, 12.25, Some(300 << 20)),
        cost("select", 3, 0.05, None),
    ]
}

#[test]
fn the_time_goes_where_the_records_say() {
    insta::assert_snapshot!(costs_block(&costs(), &TerminalStyle::default()), @r"
    Where the time went  core-seconds, reused steps too; peak memory of the process
      train             36      4,322 s   99.7 %    700 MiB
      generate           3       12.2 s    0.3 %    300 MiB
      select             3        0.1 s   0.00 %
      all               42      4,334 s  100.0 %    700 MiB
    ");
    assert_eq!(costs_block(&[], &TerminalStyle::default()), "");
}

/// A page of a result with a hostile lineage and recipe beside it.
fn page(result: &crate::kind::inherit::result::InheritResult, text: &str) -> String {
    let figures = figures(result);
    let mut graph = fixture::graph(2);
    graph.nodes[0].label = text.to_owned();
    html(&ReportInput {
        result,
        figures: &figures,
        recipe_text: text,
        resolved_recipe: text,
        lineage: &graph,
        costs: &costs(),
        reproduce_command: text,
        version: "0.0.0",
    })
}

/// The contents of every element that opens with `open`.
fn elements<'a>(page: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    page.split(open).skip(1).map(|rest| rest.split(close).next().unwrap()).collect()
}

#[test]
fn policy_names_exactly_the_scripts_and_the_style() {
    let page = page(&result(), "");
    let policy = elements(&page, "Content-Security-Policy\" content=\"", "\"")[0];
    let policy = policy.replace("&#39;", "'");
    let scripts = elements(&page, "<script>", "</script>");
    let styles = elements(&page, "<style>", "</style>");
    assert_eq!((scripts.len(), styles.len()), (4, 1));
    let digests = |texts: &[&str]| -> String {
        let digests: Vec<String> = texts.iter().map(|text| page::digest(text)).collect();
        digests.join(" ")
    };
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
            digests(&scripts),
            digests(&styles)
        )
    );
    // What the policy would refuse.
    let markup: String = page.split("<script>").next().unwrap().to_owned();
    for refused in [" style=\"", " onclick", " onload", "javascript:", "src=\"", "http:", "unsafe"]
    {
        assert!(!markup.contains(refused), "{refused}");
    }
}

#[test]
fn interpreter_is_no_module_any_more() {
    let page = page(&result(), "");
    let interpreter = elements(&page, "<script>", "</script>")[2];
    assert!(interpreter.contains("globalThis.expressionInterpreter = expression;"));
    assert!(!interpreter.contains("\nimport ") && !interpreter.contains("\nexport "));
}

#[test]
fn vendored_files_are_the_published_ones() {
    use sha2::{Digest, Sha256};
    let read_me = include_str!("../../assets/README.md");
    for (name, text) in page::VENDORED {
        let digest = format!("{:x}", Sha256::digest(text.as_bytes()));
        let line = read_me.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.contains(&digest), "{name} is {digest}");
        // Nothing in them may end or reopen the element they stand in.
        for broken in ["</script", "<!--", "\r", "\0"] {
            assert!(!text.contains(broken), "{name}: {broken:?}");
        }
    }
}

#[test]
fn hostile_text_stays_text_on_a_page() {
    let mut hostile = result();
    let attack =
        "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{1b}[2J\u{202e}";
    hostile.name = attack.to_owned();
    hostile.description = attack.to_owned();
    hostile.behaviors[0] = attack.to_owned();
    for verdict in &mut hostile.verdicts {
        verdict.sentence = attack.to_owned();
    }
    for reading in hostile.readings.iter_mut().filter(|reading| reading.behavior == "owl") {
        attack.clone_into(&mut reading.behavior);
        reading.arm = Arm::OtherBase(Taught::named(attack));
    }
    for effect in &mut hostile.effects {
        effect.estimate.unit = attack.to_owned();
    }
    if let Some(matrix) = &mut hostile.matrix {
        matrix.teachers[0] = attack.to_owned();
        matrix.readouts[0] = attack.to_owned();
    }
    for card in &mut hostile.rows {
        card.samples[0] = (attack.to_owned(), attack.to_owned());
        card.rejected_samples[0] = (attack.to_owned(), vec![attack.to_owned()]);
        card.rejected.insert(attack.to_owned(), 1);
    }
    hostile.warnings[0].hint = attack.to_owned();
    let page = page(&hostile, attack);
    assert!(page.contains("&lt;script&gt;alert(1)"));
    assert!(!page.contains("<script>alert") && !page.contains("<img"));
    // Vega and its like hold escapes of their own; everything before them is ours.
    let ours = page.split("<script>").next().unwrap();
    let steering =
        |one: char| (one.is_control() && one != '\n' && one != '\t') || one == '\u{202e}';
    assert!(!ours.contains(steering), "{:?}", ours.find(steering));
    assert!(ours.contains('␛'));
    for data in elements(&page, "type=\"application/json\"", "</script>") {
        let json = data.split_once('>').unwrap().1;
        assert!(!json.contains('<'));
        serde_json::from_str::<serde_json::Value>(json).unwrap();
    }
}

#[test]
fn figures_hold_their_data() {
    let figures = figures(&result());
    let names: Vec<&str> = figures.keys().map(String::as_str).collect();
    assert_eq!(names, ["conditions", "dose", "effects", "matrix", "pairs", "rates", "shares"]);
    for (name, figure) in &figures {
        let schema = figure["$schema"].as_str().unwrap();
        assert_eq!(schema, "https://vega.github.io/schema/vega-lite/v6.json");
        let values = figure["data"]["values"].as_array().unwrap();
        assert!(!values.is_empty(), "{name}");
        for view in figure["concat"].as_array().unwrap() {
            // Every view finds some of the data.
            let Some(transform) = view["transform"].as_array() else { continue };
            let wanted = &transform[0]["filter"]["equal"];
            assert!(values.iter().any(|value| &value["behavior"] == wanted), "{name} {wanted}");
        }
    }
}

#[test]
fn figures_are_left_out_where_there_is_nothing_to_draw() {
    let mut bare = result();
    bare.matrix = None;
    bare.dose.clear();
    bare.geometry = None;
    bare.readings.retain(|reading| reading.measure != Measure::Rate);
    let names: Vec<String> = figures(&bare).into_keys().collect();
    assert_eq!(names, ["conditions", "effects", "pairs", "shares"]);
    let page = page(&bare, "");
    for section in ["matrix", "dose", "rates", "geometry"] {
        assert!(!page.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
}

#[test]
fn a_result_without_anything_still_makes_a_report() {
    let mut empty = result();
    empty.behaviors.clear();
    empty.arms.clear();
    empty.readings.clear();
    empty.answers.clear();
    empty.effects.clear();
    empty.matrix = None;
    empty.dose.clear();
    empty.teachers.clear();
    empty.rows.clear();
    empty.side_effects.clear();
    empty.geometry = None;
    empty.gates.clear();
    empty.verdicts.clear();
    assert!(figures(&empty).is_empty());
    assert!(
        page(&empty, "").contains("script-src 'none'")
            || page(&empty, "").contains("script-src &#39;none")
    );
    assert!(!terminal(&empty, &TerminalStyle::default(), &[]).is_empty());
}

#[test]
fn numbers_that_are_none_are_not_drawn() {
    let mut broken = result();
    for reading in &mut broken.readings {
        match reading.measure {
            Measure::Margin => reading.estimate.value = f64::NAN,
            Measure::Share => {
                let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
                reading.estimate.interval = Some(Interval { low, high, level: 0.95 });
            }
            _ => {}
        }
    }
    let figures = figures(&broken);
    assert!(!figures.contains_key("conditions"));
    let drawn = page(&broken, "");
    let ours = drawn.split("<script>").next().unwrap();
    assert!(!ours.contains("=\"NaN") && !ours.contains("=\"inf"));
    assert!(!terminal(&broken, &TerminalStyle::default(), &[]).is_empty());
}

#[test]
fn the_same_result_makes_the_same_bytes() {
    let one = result();
    assert_eq!(page(&one, "x"), page(&one.clone(), "x"));
    let read =
        crate::kind::inherit::result::InheritResult::parse(&one.to_bytes(), "result.json".as_ref())
            .unwrap();
    assert_eq!(page(&one, "x"), page(&read, "x"));
}
