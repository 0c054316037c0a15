//! `owlet compare` where the answer is known, and its statistics against numpy (`golden/compare.py`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use owlet_engine::file::{self, Weights};
use owlet_engine::{Adapter, AdapterConfig, Model, Threads};
use owlet_lab::Interrupt;
use owlet_lab::compare::{Compared, Comparison, Look, Pair, Settings, Verdict, compare, report};
use owlet_lab::model::world::{self, GrowSettings, Shape};
use owlet_lab::report::block::Depth;
use owlet_lab::report::terminal::{TerminalStyle, show};
use owlet_lab::stats::{Draws, agreement_of_pairs, matched, rank};
use serde::Deserialize;
use tempfile::TempDir;

#[path = "compare/disguise.rs"]
mod disguise;

use disguise::{changed, hidden_permuted, low_rank, noisy, quantised, residual_permuted, rotated};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn save(&self, name: &str, model: &Model) -> PathBuf {
        let path = self.0.path().join(name);
        file::save(model, &path).unwrap();
        path
    }
}

fn built_in(name: &str) -> Model {
    world::built_in(name).unwrap()
}

fn weights(path: &Path) -> Compared {
    let name = path.file_name().unwrap().to_string_lossy();
    Compared::new(name, Weights::open(path).unwrap())
}

fn compared(mut models: Vec<Compared>) -> Comparison {
    let settings = Settings {
        seed: 0,
        threads: Threads::new(2),
        interrupt: Interrupt::default(),
        progress: &|_, _, _| {},
    };
    compare(&mut models, &settings).unwrap()
}

fn pair(one: &Path, other: &Path) -> Pair {
    compared(vec![weights(one), weights(other)]).pairs.remove(0)
}

fn shown(comparison: &Comparison) -> String {
    let style = TerminalStyle { width: 100, colour: false, unicode: true, depth: Depth::Full };
    show(&report(comparison), &style)
}

#[test]
fn two_models_grown_apart_share_no_base() {
    let folder = Folder::new();
    let models = ["a", "b"].map(|name| weights(&folder.save(name, &built_in(name))));
    assert_snapshot!(shown(&compared(models.into())), @r#"
    a, b
      weights alone, seed 0

    ✗ independent a and b
                  p 0.023, not below the level of 0.01; no look ties them; a copy in place would have to
                  be buried in noise 28 times as large as its weights

    What was looked at
      512 hidden units a layer; p corrected for layers (Holm) and for the looks, level 0.01
      0 of 35 tensors of one shape are the same bytes.
      look                                               layers    least     most  corrected p
      units by place                                          2    z 0.4    z 2.8        0.023
      units by place, residual stream aligned                 2   z -0.3    z 0.6            1
      units matched by weights                                2  0 of 46  0 of 33            1
      units matched by weights, residual stream aligned       2  0 of 21  1 of 44            1
      units by place
      layer    z  alike      p  corrected p
          0  0.4  0.003  0.347            1
          1  2.8  0.021  0.003        0.023
      units by place, residual stream aligned
      layer     z   alike      p  corrected p
          0   0.6   0.004  0.284            1
          1  -0.3  -0.002  0.635            1
      units matched by weights
      layer  agree  paired  p  corrected p
          0      0      46  1            1
          1      0      33  1            1
      units matched by weights, residual stream aligned
      layer  agree  paired      p  corrected p
          0      1      44  0.172            1
          1      0      21      1            1

    What this does not see
      · A run of the same seed on other data counts as the same base: that is what inheritance needs.
      · Units that were left out by importance, experts, layers distilled or trained anew, and a
        rotation together with another tokenizer are not seen through.
      · What two models learned alike from the same data is not ancestry and is not tested for.
      · Which of two came first, weights do not say.
    "#);
}

#[test]
fn a_copy_is_found_through_every_disguise() {
    let folder = Folder::new();
    let model = built_in("a");
    let base = folder.save("base", &model);
    let permuted = changed(&model, |decoder| hidden_permuted(decoder, 8));
    let noise = |ratio: f64| changed(&model, |decoder| noisy(decoder, ratio, 7));
    let disguises = [
        ("4 bits", changed(&model, |decoder| quantised(decoder, 4, 32))),
        ("noise 1", noise(1.0)),
        ("noise 3", noise(3.0)),
        ("noise 10", noise(10.0)),
        ("units permuted", permuted.clone()),
        ("units permuted, 4 bits", changed(&permuted, |decoder| quantised(decoder, 4, 32))),
        ("residual permuted", changed(&model, |decoder| residual_permuted(decoder, 10))),
        ("both permuted", changed(&permuted, |decoder| residual_permuted(decoder, 10))),
        ("rotated, gains folded", changed(&model, |decoder| rotated(decoder, 4))),
    ];
    let lines = disguises.map(|(name, disguised)| {
        let pair = pair(&base, &folder.save("disguised", &disguised));
        format!("{name}: {:?} by {:?}, p {:.0e}", pair.verdict, pair.by.unwrap(), pair.p.unwrap())
    });
    assert_snapshot!(lines.join("\n"), @r#"
    4 bits: Dependent by Places, p 4e-4
    noise 1: Dependent by Places, p 4e-4
    noise 3: Dependent by Places, p 4e-4
    noise 10: Dependent by Places, p 4e-4
    units permuted: Dependent by Bytes, p 0e0
    units permuted, 4 bits: Dependent by Matching, p 0e0
    residual permuted: Dependent by AlignedPlaces, p 4e-4
    both permuted: Dependent by AlignedMatching, p 0e0
    rotated, gains folded: Dependent by AlignedPlaces, p 4e-4
    "#);
}

#[test]
fn what_changed_is_told() {
    let folder = Folder::new();
    let model = built_in("a");
    let base = folder.save("base", &model);
    let low = changed(&model, |decoder| low_rank(decoder, 5, 0.05, 6));
    let four = changed(&model, |decoder| quantised(decoder, 4, 32));
    for (name, other) in [("low", low), ("four", four)] {
        let models = vec![weights(&base), weights(&folder.save(name, &other))];
        let relation = compared(models).pairs.remove(0).relation.unwrap();
        if name == "low" {
            assert_eq!(relation.adapter_rank, Some(5));
            assert_eq!(relation.grid, None);
        } else {
            assert_eq!(relation.adapter_rank, None);
            let grid = relation.grid.unwrap();
            assert_eq!((grid.second, grid.bits, grid.run), (true, 4, Some(32)));
            assert!(grid.within > 0.999, "{}", grid.within);
        }
    }
}

#[test]
fn an_adapter_is_compared_over_its_base() {
    let folder = Folder::new();
    let model = built_in("a");
    let base = folder.save("base", &model);
    let config = AdapterConfig { rank: 3, alpha: 6.0, rank_stabilized: false, targets: Vec::new() };
    let mut adapter = Adapter::init(config, &model.decoder.config, 4).unwrap();
    // `B` begins as zeros, with which an adapter changes nothing.
    for (place, value) in adapter.parameters.data.iter_mut().enumerate() {
        if *value == 0.0 {
            *value = ((place * 37 % 101) as f32 / 101.0 - 0.5) * 0.02;
        }
    }
    let path = folder.0.path().join("adapter");
    file::save_adapter(&adapter, &model, &path).unwrap();
    let adapted = Weights::open(&base).unwrap().with_adapter(&path).unwrap();
    let merged = folder.save("merged", &model.with_adapter(adapter.into()));
    let found = compared(vec![weights(&base), Compared::new("adapted", adapted), weights(&merged)]);
    let said: Vec<_> = found
        .pairs
        .iter()
        .map(|pair| (pair.models, pair.by.unwrap(), pair.relation.as_ref().unwrap().adapter_rank))
        .collect();
    assert_eq!(said[0], ([0, 1], Look::Bytes, Some(3)), "frozen embeddings are the same bytes");
    assert_eq!(said[1], ([0, 2], Look::Bytes, Some(3)));
    let relation = found.pairs[2].relation.as_ref().unwrap();
    assert!(relation.differences.iter().all(|one| one.size == 0.0), "{relation:?}");
}

/// A mixture of models of one shape.
fn mixed(parts: &[(&Model, f32)]) -> Model {
    changed(parts[0].0, |decoder| {
        decoder.parameters.data.fill(0.0);
        for (model, part) in parts {
            let data = &model.decoder.parameters.data;
            decoder
                .parameters
                .data
                .iter_mut()
                .zip(data.iter())
                .for_each(|(sum, x)| *sum += part * x);
        }
    })
}

#[test]
fn several_models_are_a_tree_and_a_merge_is_named() {
    let folder = Folder::new();
    let model = built_in("a");
    let one = changed(&model, |decoder| noisy(decoder, 0.2, 1));
    let two = changed(&model, |decoder| noisy(decoder, 0.2, 2));
    let merge = mixed(&[(&one, 0.3), (&two, 0.7)]);
    let models =
        [("base", &model), ("one", &one), ("two", &two), ("merge", &merge), ("b", &built_in("b"))]
            .map(|(name, model)| weights(&folder.save(name, model)));
    let found = compared(models.into());
    let said = shown(&found);
    let tree =
        said.split("How near they are").nth(1).unwrap().split("What changed").next().unwrap();
    assert_snapshot!(tree, @r#"
    no common base seen
    ├─ one base, 0.224 apart
    │  ├─ one base, 0.175 apart
    │  │  ├─ base
    │  │  └─ one base, 0.083 apart
    │  │     ├─ two
    │  │     └─ merge
    │  └─ one
    └─ b
    merge is 0.30 × one + 0.70 × two, but for 0.00 % of its difference to the nearest.
    "#);
}

#[test]
fn what_cannot_be_looked_at_is_not_called_independent() {
    let folder = Folder::new();
    let grown = |layers, width, hidden| {
        let shape = Shape { layers, width, hidden, ..Shape::default() };
        let settings = GrowSettings {
            seed: 5,
            shape,
            updates: 1,
            batch: 2,
            questions: 1,
            warmup: 1,
            ..GrowSettings::default()
        };
        world::grow(world::World::built_in(), &settings, Threads::new(1), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
    };
    let base = folder.save("base", &built_in("a"));
    let cases = [
        ("deeper", grown(3, 64, 256)),
        ("wider", grown(2, 128, 256)),
        ("thicker", grown(2, 64, 512)),
        ("flat", grown(2, 64, 4)),
    ];
    let mut lines: Vec<String> = Vec::new();
    for (name, model) in cases {
        let path = folder.save(name, &model);
        let base =
            if name == "flat" { folder.save("flat-2", &model_like(&model)) } else { base.clone() };
        let pair = pair(&base, &path);
        lines.push(format!("{name}: {:?}: {}", pair.verdict, pair.why));
    }
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/golden/llama");
    let foreign = pair(&base, &tiny);
    lines.push(format!("foreign: {:?}: {}", foreign.verdict, foreign.why));
    assert_snapshot!(lines.join("\n"), @r#"
    deeper: NotComparable: nothing ties the first 2 layers, but one has 2 and the other 3: which layer would be which is not known
    wider: NotComparable: `base` is 64 wide, `wider` 128: their hidden units have no common shape
    thicker: NotComparable: `base` is 256 hidden units a layer, `thicker` 512: their hidden units have no common shape
    flat: NotComparable: they have 4 hidden units a layer, expected at least 32: fewer have too few orders
    foreign: NotComparable: `base` is 64 wide, `llama` 32: their hidden units have no common shape
    "#);
}

/// Another of the same shape, of numbers that have nothing to do with it.
fn model_like(model: &Model) -> Model {
    changed(model, |decoder| noisy(decoder, 1e6, 3))
}

#[test]
fn a_model_of_equal_units_is_named_whichever_place_it_has_and_so_are_its_equal_embeddings() {
    let folder = Folder::new();
    let base = built_in("a");
    let flat = folder.save("flat", &changed(&base, |decoder| decoder.parameters.data.fill(0.01)));
    let even = changed(&built_in("b"), |decoder| {
        let span =
            decoder.parameters.layout.spans().iter().find(|span| span.name == "embed.weight");
        let range = span.unwrap().range.clone();
        decoder.parameters.data[range].fill(0.01);
    });
    let (even, base) = (folder.save("even", &even), folder.save("base", &base));
    for found in [pair(&flat, &base), pair(&base, &flat)] {
        assert_eq!(found.verdict, Verdict::NotComparable);
        let why = "all hidden units of the first layer of `flat` have the same weights, so that nothing tells which is which";
        assert_eq!(found.why, why);
    }
    for found in [pair(&even, &base), pair(&base, &even)] {
        assert_eq!(found.verdict, Verdict::NotComparable);
        assert!(
            found.why.ends_with("the embeddings of `even` are the same for all tokens in common"),
            "{}",
            found.why
        );
    }
}

#[test]
fn equal_bytes_have_no_p_of_looks_that_saw_nothing() {
    let folder = Folder::new();
    let (base, mut other) = (built_in("a"), built_in("b"));
    let span = |model: &Model| {
        let spans = &model.decoder.parameters.layout;
        spans.spans().iter().find(|span| span.name == "embed.weight").unwrap().range.clone()
    };
    let embeddings = base.decoder.parameters.data[span(&base)].to_vec();
    other = changed(&other, |decoder| {
        let range =
            decoder.parameters.layout.spans().iter().find(|span| span.name == "embed.weight");
        let range = range.unwrap().range.clone();
        decoder.parameters.data[range].copy_from_slice(&embeddings);
    });
    let found = pair(&folder.save("base", &base), &folder.save("other", &other));
    assert_eq!((found.verdict, found.by, found.p), (Verdict::Dependent, Some(Look::Bytes), None));
    assert_snapshot!(found.why, @"1 of 35 tensors are the same bytes, 1 of them matrices");
}

#[test]
fn names_that_begin_alike_are_told_apart() {
    let folder = Folder::new();
    let path = folder.save("a", &built_in("a"));
    let named = |name: &str| Compared::new(name, Weights::open(&path).unwrap());
    let answers = |names: [&str; 2]| {
        let shown = shown(&compared(names.map(named).into()));
        shown.lines().find(|line| line.starts_with('✓')).unwrap().to_owned()
    };
    assert_snapshot!(answers(["/models/of/a/long/way/one", "/models/of/a/long/way/two"]), @"✓ dependent …/a/long/way/one and …/a/long/way/two");
    assert_snapshot!(answers(["/models/one/long/way/weights", "/models/two/long/way/weights"]), @"✓ dependent 1:…/way/weights and 2:…/way/weights");
}

#[test]
fn numbers_that_are_none_are_errors() {
    let folder = Folder::new();
    let base = folder.save("base", &built_in("a"));
    let broken = changed(&built_in("b"), |decoder| {
        let span = decoder.parameters.layout.get("layers.1.up.weight").unwrap().range.clone();
        decoder.parameters.data[span.start + 70] = f32::NAN;
    });
    let path = folder.save("broken", &broken);
    let settings = Settings {
        seed: 0,
        threads: Threads::new(1),
        interrupt: Interrupt::default(),
        progress: &|_, _, _| {},
    };
    let error = compare(&mut [weights(&base), weights(&path)], &settings).unwrap_err();
    assert_snapshot!(error, @r#"tensor `gpt_neox.layers.1.mlp.dense_h_to_4h.weight`: number 70 is NaN, expected finite numbers"#);
}

#[derive(Deserialize)]
struct Golden {
    matched: Vec<GoldenMatched>,
    agreements: Vec<GoldenAgreement>,
    ranks: Vec<GoldenRank>,
}

#[derive(Deserialize)]
struct GoldenMatched {
    size: usize,
    similarities: Vec<f32>,
    z: f64,
    p: f64,
}

#[derive(Deserialize)]
struct GoldenAgreement {
    of: usize,
    pairs: usize,
    agree: usize,
    p: f64,
}

#[derive(Deserialize)]
struct GoldenRank {
    rows: usize,
    floor: f64,
    matrix: Vec<f64>,
    rank: usize,
}

#[test]
fn statistics_are_those_of_the_reference() {
    let golden: Golden = serde_json::from_str(include_str!("golden/compare.json")).unwrap();
    for case in golden.matched {
        let found =
            matched(&case.similarities, case.size, Draws { count: 199_999, seed: 3 }).unwrap();
        assert!((found.z - case.z).abs() < 1e-9, "{found:?} {}", case.z);
        // Four deviations of a share of 200,000 draws.
        let slack = 4.0 * (case.p * (1.0 - case.p) / 2e5).sqrt() + 1e-5;
        assert!((found.p - case.p).abs() < slack, "{found:?} {}", case.p);
    }
    for GoldenAgreement { of, pairs, agree, p } in golden.agreements {
        let first: Vec<_> = (0..pairs).map(Some).collect();
        let second: Vec<_> =
            (0..pairs).map(|unit| Some(if unit < agree { unit } else { unit + 100 })).collect();
        let found = agreement_of_pairs(&first, &second, of);
        assert_eq!((found.agree, found.paired), (agree, pairs));
        assert!(found.p >= p - 1e-12 && found.p <= 2.5 * p, "a bound, not far: {found:?} {p}");
        assert!(agree < pairs || (found.p - p).abs() < 1e-12, "exact where all agree");
    }
    for GoldenRank { rows, floor, mut matrix, rank: expected } in golden.ranks {
        let width = matrix.len() / rows;
        assert_eq!(rank(&mut matrix, width, &vec![floor; rows]), expected);
    }
}

#[test]
fn under_the_null_p_is_uniform() {
    let (n, width) = (24, 6);
    let mut random = owlet_lab::random::numpy::Generator::new(11);
    // Directions and scales that all rows share make unrelated rows alike; places they do not make.
    let common: Vec<f64> = (0..width).map(|_| 3.0 * disguise::normal(&mut random)).collect();
    let (mut p, mut z) = (Vec::new(), Vec::new());
    for case in 0..400 {
        let mut rows = || -> Vec<f64> {
            (0..n * width).map(|at| common[at % width] + disguise::normal(&mut random)).collect()
        };
        let (ours, theirs) = (rows(), rows());
        let similarities: Vec<f32> = (0..n * n)
            .map(|at| {
                let (one, other) =
                    (&ours[at / n * width..][..width], &theirs[at % n * width..][..width]);
                one.iter().zip(other).map(|(one, other)| one * other).sum::<f64>() as f32
            })
            .collect();
        let found = matched(&similarities, n, Draws { count: 199, seed: case }).unwrap();
        p.push(found.p);
        z.push(found.z);
    }
    p.sort_by(f64::total_cmp);
    let distance = p.iter().enumerate().map(|(place, p)| (p - place as f64 / 400.0).abs());
    // Kolmogorov's critical value at 0.01 is 1.63 / sqrt(400) = 0.081.
    assert!(distance.fold(0.0, f64::max) < 0.081);
    let deviation = owlet_lab::stats::standard_deviation(&z).unwrap();
    assert!((0.9..1.1).contains(&deviation), "{deviation}");
}
