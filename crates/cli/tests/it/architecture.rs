//! The house: which crate may use which, how many packages there are, under which licences.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

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
