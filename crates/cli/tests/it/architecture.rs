//! The house: which crate may use which, what its modules know of each other, how large it is, how many
//! packages there are, under which licences. `budget.toml` holds the numbers.

mod modules;
pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use serde::Deserialize;

use source::File;

/// Lines that a file may have, tests included.
const LONGEST_FILE: usize = 600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Budget {
    production_lines: BTreeMap<String, usize>,
    circles: BTreeMap<String, Vec<usize>>,
}

fn budget() -> Budget {
    let path = source::root().join("budget.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The files that are shipped, by crate.
fn production(files: &[File]) -> BTreeMap<&str, Vec<&File>> {
    let mut crates: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_production()) {
        crates.entry(&file.crate_name).or_default().push(file);
    }
    crates
}

fn metadata(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn arrows_go_one_way() {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    let own: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let arrows: BTreeMap<&str, Vec<&str>> = packages
        .iter()
        .map(|package| {
            let uses = package["dependencies"].as_array().unwrap().iter();
            let uses = uses.filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap());
            (package["name"].as_str().unwrap(), uses.filter(|name| own.contains(name)).collect())
        })
        .collect();
    let allowed = BTreeMap::from([
        ("owlet", vec!["owlet-engine", "owlet-lab", "owlet-store", "owlet-web"]),
        ("owlet-engine", vec![]),
        ("owlet-lab", vec!["owlet-engine", "owlet-store"]),
        ("owlet-store", vec![]),
        ("owlet-web", vec!["owlet-engine", "owlet-lab", "owlet-store"]),
    ]);
    assert_eq!(arrows, allowed);
}

#[test]
fn dependencies_are_few_and_free() {
    let metadata = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() <= 340, "{} packages; what does the newest one save?", packages.len());
    let free = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unicode-3.0",
        "CC0-1.0",
        "Unlicense",
        "0BSD",
        "CDLA-Permissive-2.0",
        "MPL-2.0",
        "BSL-1.0",
        "MIT-0",
    ];
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default();
        let named = licence.split(|c: char| !(c.is_alphanumeric() || "-.".contains(c)));
        assert!(named.into_iter().any(|l| free.contains(&l)), "{}: `{licence}`", package["name"]);
    }
}

/// `./check` shows what this prints.
#[test]
fn production_lines_stay_within_the_budget() {
    let (files, budget) = (source::files(), budget().production_lines);
    let lines: BTreeMap<String, usize> = production(&files)
        .into_iter()
        .map(|(name, files)| {
            let lines = files.iter().map(|file| file.production().lines().count()).sum();
            (name.to_owned(), lines)
        })
        .collect();
    let mut table = format!("{:<18}{:>7}{:>8}\n", "production lines", "now", "budget");
    for (name, now) in &lines {
        let _ = writeln!(table, "  {name:<16}{now:>7}{:>8}", budget.get(name).unwrap_or(&0));
    }
    let (now, most): (usize, usize) = (lines.values().sum(), budget.values().sum());
    println!("{table}  {:<16}{now:>7}{most:>8}", "in all");
    assert!(lines.keys().eq(budget.keys()), "`budget.toml` names other crates: {budget:?}");
    let over: Vec<_> = lines.iter().filter(|(name, now)| **now > budget[*name]).collect();
    assert!(over.is_empty(), "over the budget of `budget.toml`: {over:?}; delete, or say why not");
}

#[test]
fn no_circle_of_modules_grows() {
    let (files, budget) = (source::files(), budget().circles);
    let mut wrong = String::new();
    for (name, files) in production(&files) {
        let circles = modules::circles(&files);
        let known = budget.get(name).map_or(&[][..], Vec::as_slice);
        for (place, circle) in circles.iter().enumerate() {
            let most = known.get(place).copied().unwrap_or(0);
            if circle.len() > most {
                let circle = circle.join(", ");
                let _ = writeln!(wrong, "{name}: {most} modules may form a circle here: {circle}");
            }
        }
        // What was won is kept.
        let sizes: Vec<usize> = circles.iter().map(Vec::len).collect();
        if wrong.is_empty() && sizes != known {
            let _ = writeln!(wrong, "{name}: write the smaller {sizes:?} into `budget.toml`");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<_> = source::files()
        .into_iter()
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "more than {LONGEST_FILE} lines: {long:?}");
}

/// The lint is denied in the workspace; nothing but the kernels lifts it, and nobody but the engine may.
#[test]
fn only_kernels_are_unsafe() {
    let root = source::root();
    let manifest = |path: &str| -> toml::Table {
        toml::from_str(&std::fs::read_to_string(root.join(path)).unwrap()).unwrap()
    };
    let workspace = manifest("Cargo.toml");
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("deny"));
    let mut lifted: Vec<String> = Vec::new();
    let files = source::files();
    for name in production(&files).keys() {
        let path = format!("crates/{name}/Cargo.toml");
        assert_eq!(manifest(&path)["lints"]["workspace"].as_bool(), Some(true), "{path}");
    }
    for root in ["cli/src/main.rs", "lab/src/lib.rs", "store/src/lib.rs", "web/src/lib.rs"] {
        let forbidden = |file: &source::File| {
            file.path == format!("crates/{root}")
                && file.text.contains(concat!("#![forbid(unsafe", "_code)]"))
        };
        assert!(files.iter().any(forbidden), "{root}");
    }
    for file in &files {
        let lint = concat!("unsafe", "_code");
        let text = file.text.replace(&format!("#![forbid({lint})]"), "");
        if text.contains(lint) && !file.path.starts_with("crates/cli/tests/it/architecture") {
            lifted.push(file.path.clone());
        }
    }
    assert_eq!(lifted, ["crates/engine/src/kernel/mod.rs"]);
}
