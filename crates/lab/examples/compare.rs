//! What `owlet compare` finds where the answer is known (docs/compare.md):
//! `cargo run --release -p owlet-lab --example compare -- null FOLDER [MODELS] [UPDATES]` grows models that share
//! nothing and compares every two; `... -- matrix MODEL FOLDER` disguises a model in every way there is and
//! compares it with each.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use owlet_engine::file::{self, Weights};
use owlet_engine::{Decoder, Model, Threads};
use owlet_lab::Interrupt;
use owlet_lab::compare::{Compared, Comparison, Found, Look, Settings, Verdict, compare};
use owlet_lab::model::world::{self, GrowSettings};
use owlet_lab::stats;

#[path = "../tests/compare/disguise.rs"]
mod disguise;

use disguise::{changed, hidden_permuted, low_rank, noisy, quantised, residual_permuted, rotated};

/// A name, and what is done to a model.
type Disguise<'a> = (&'a str, &'a dyn Fn(&mut Decoder));

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, other: usize| {
        arguments.get(place).map_or(Ok(other), |text| text.parse::<usize>())
    };
    match arguments.first().map(String::as_str) {
        Some("null") => null(Path::new(&arguments[1]), number(2, 15)?, number(3, 150)?),
        Some("matrix") => matrix(&arguments[1], Path::new(&arguments[2])),
        _ => Err("expected `null FOLDER [MODELS] [UPDATES]` or `matrix MODEL FOLDER`".into()),
    }
}

fn threads() -> Threads {
    Threads::new(std::thread::available_parallelism().map_or(1, usize::from))
}

fn compared(paths: &[&Path], seed: u64) -> Result<Comparison> {
    let open = |path: &&Path| {
        Ok(Compared::new(
            path.file_name().unwrap_or_default().to_string_lossy(),
            Weights::open(path)?,
        ))
    };
    let mut models = paths.iter().map(open).collect::<Result<Vec<Compared>>>()?;
    let settings = Settings {
        seed,
        threads: threads(),
        interrupt: Interrupt::default(),
        progress: &|_, _, _| {},
    };
    Ok(compare(&mut models, &settings)?)
}

fn saved(model: &Model, folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    file::save(model, &path)?;
    Ok(path)
}

/// Layers in the other order: what comes of it shares no layer with what it was at the same place.
fn layers_reversed(decoder: &mut Decoder) {
    let (layout, last) = (Arc::clone(&decoder.parameters.layout), decoder.config.layers - 1);
    let old = decoder.parameters.data.to_vec();
    for span in layout.spans() {
        let mut parts = span.name.splitn(3, '.');
        if let (Some("layers"), Some(layer), Some(rest)) =
            (parts.next(), parts.next(), parts.next())
            && let Ok(layer) = layer.parse::<usize>()
            && let Some(from) = layout.get(&format!("layers.{}.{rest}", last - layer))
        {
            decoder.parameters.data[span.range.clone()].copy_from_slice(&old[from.range.clone()]);
        }
    }
}

/// The built-in models and others, each with a seed of its own.
fn grown(folder: &Path, count: usize, updates: usize) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for name in ["a", "b"] {
        let model = world::built_in(name).ok_or("a built-in model is missing")?;
        paths.push(saved(&model, folder, name)?);
    }
    for number in 2..count {
        let path = folder.join(format!("grown-{number}"));
        if !path.exists() {
            eprintln!("growing {number}");
            let settings =
                GrowSettings { seed: 1000 + number as u64, updates, ..GrowSettings::default() };
            let model = world::grow(world::World::built_in(), &settings, threads(), &mut |_| {
                ControlFlow::Continue(())
            })?;
            file::save(&model, &path)?;
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Largest distance between the distribution of p-values and the uniform one, and its own p-value
/// (Kolmogorov's limit).
fn uniformity(p: &mut [f64]) -> (f64, f64) {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    let distance =
        |(place, p): (usize, &f64)| (p - place as f64 / n).max((place + 1) as f64 / n - p);
    let largest = p.iter().enumerate().map(distance).fold(0.0, f64::max);
    let x = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * largest;
    let term = |k: i32| 2.0 * (-1.0_f64).powi(k - 1) * (-2.0 * f64::from(k * k) * x * x).exp();
    (largest, (1..100).map(term).sum::<f64>().clamp(0.0, 1.0))
}

fn null(folder: &Path, count: usize, updates: usize) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let paths = grown(folder, count, updates)?;
    let (mut pairs, mut positive, mut independent) = (0, 0, 0);
    let mut z: [Vec<f64>; 2] = Default::default();
    let mut p: [Vec<f64>; 2] = Default::default();
    let mut agreeing: Vec<(usize, usize, f64)> = Vec::new();
    // The second of a pair as it is, and with its layers in the other order.
    for crossed in [false, true] {
        for second in 1..paths.len() {
            let other = if crossed {
                let model = file::load(&paths[second])?;
                saved(&changed(&model, layers_reversed), folder, "crossed")?
            } else {
                paths[second].clone()
            };
            for first in 0..second {
                let found = compared(&[&paths[first], &other], (100 * first + second) as u64)?;
                let pair = &found.pairs[0];
                pairs += 1;
                positive += usize::from(pair.verdict == Verdict::Dependent);
                independent += usize::from(pair.verdict == Verdict::Independent);
                for looked in &pair.looks {
                    let place = usize::from(looked.look == Look::AlignedPlaces);
                    for found in &looked.layers {
                        match found {
                            Found::Places(found) => {
                                z[place].push(found.z);
                                p[place].push(found.p);
                            }
                            Found::Matching(found) => {
                                agreeing.push((found.agree, found.paired, found.p));
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{pairs} unrelated pairs: {positive} dependent, {independent} independent");
    for (place, name) in ["by place", "by place, aligned"].iter().enumerate() {
        let (distance, kolmogorov) = uniformity(&mut p[place]);
        let largest = z[place].iter().copied().fold(0.0_f64, |most, z| most.max(z.abs()));
        println!(
            "{name}: {} tests, z mean {:.3}, sd {:.3}, largest {largest:.2}; p: Kolmogorov distance {distance:.4}, p {kolmogorov:.3}, smallest {:.2e}, below .05: {:.1} %",
            z[place].len(),
            stats::mean(&z[place])?,
            stats::standard_deviation(&z[place])?,
            p[place][0],
            100.0 * p[place].iter().filter(|p| **p < 0.05).count() as f64 / p[place].len() as f64,
        );
    }
    agreeing.sort_by(|one, other| one.2.total_cmp(&other.2));
    println!(
        "matching: {} tests, least likely (agree, paired, p) {:?}",
        agreeing.len(),
        &agreeing[..3.min(agreeing.len())]
    );
    Ok(())
}

fn matrix(spec: &str, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let model = match spec.strip_prefix("builtin:") {
        Some(name) => world::built_in(name).ok_or("there is no such built-in model")?,
        None => file::load(Path::new(spec))?,
    };
    let base = saved(&model, folder, "base")?;
    let with = |change: &dyn Fn(&mut Decoder)| changed(&model, change);
    let units = |decoder: &mut Decoder| hidden_permuted(decoder, 8);
    let residual = |decoder: &mut Decoder| residual_permuted(decoder, 10);
    let noise = |decoder: &mut Decoder, ratio: f64| noisy(decoder, ratio, 7);
    let four = |decoder: &mut Decoder| quantised(decoder, 4, 32);
    let turned = |decoder: &mut Decoder| rotated(decoder, 4);
    let disguises: [Disguise<'_>; 18] = [
        ("4 bits", &four),
        ("2 bits", &|decoder| quantised(decoder, 2, 32)),
        ("8 bits a row", &|decoder| quantised(decoder, 8, 1 << 20)),
        ("low rank 8", &|decoder| low_rank(decoder, 8, 0.05, 6)),
        ("noise 0.01", &|decoder| noise(decoder, 0.01)),
        ("noise 1", &|decoder| noise(decoder, 1.0)),
        ("noise 3", &|decoder| noise(decoder, 3.0)),
        ("noise 10", &|decoder| noise(decoder, 10.0)),
        ("noise 30", &|decoder| noise(decoder, 30.0)),
        ("units permuted", &units),
        ("units permuted, 4 bits", &|decoder| (units(decoder), four(decoder)).1),
        ("units permuted, noise 1", &|decoder| (units(decoder), noise(decoder, 1.0)).1),
        ("residual permuted", &residual),
        ("residual permuted, 4 bits", &|decoder| (residual(decoder), four(decoder)).1),
        ("residual permuted, noise 1", &|decoder| (residual(decoder), noise(decoder, 1.0)).1),
        ("both permuted", &|decoder| (units(decoder), residual(decoder)).1),
        ("rotated, gains folded", &turned),
        ("rotated, units permuted", &|decoder| (units(decoder), turned(decoder)).1),
    ];
    for (name, change) in disguises {
        let path = saved(&with(change), folder, "disguised")?;
        let start = Instant::now();
        let found = compared(&[&base, &path], 1)?;
        let pair = &found.pairs[0];
        let seconds = start.elapsed().as_secs_f64();
        println!("{name}: {:?} in {seconds:.1} s: {}", pair.verdict, pair.why);
        for looked in &pair.looks {
            let said: Vec<String> = looked
                .layers
                .iter()
                .map(|found| match found {
                    Found::Places(found) => format!("{:.1}", found.z),
                    Found::Matching(found) => format!("{}/{}", found.agree, found.paired),
                })
                .collect();
            println!("    {}: {}", looked.look.name(), said.join(" "));
        }
        if let Some(relation) = &pair.relation {
            let sizes: Vec<String> = relation
                .differences
                .iter()
                .filter(|one| one.full > 0)
                .map(|one| {
                    format!("{} {:.4} rank {:?} of {}", one.kind, one.size, one.rank, one.full)
                })
                .collect();
            println!(
                "    rank {:?}, grid {:?}; {}",
                relation.adapter_rank,
                relation.grid,
                sizes.join(", ")
            );
        }
    }
    Ok(())
}
