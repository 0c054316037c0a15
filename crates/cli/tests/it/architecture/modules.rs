//! Which module of a crate knows which, read from the paths in its files.
//!
//! A path leads to the module that holds what it names: re-exports are followed, so a facade that
//! passes names on ties nobody together. Formatted code is read by words; nothing is compiled.

use std::collections::{BTreeMap, BTreeSet};

use super::source::File;

/// A module's path below its crate's root, which is empty.
type Module = Vec<String>;

/// What one file says, path by path.
#[derive(Default)]
struct Said {
    /// Paths that are used, from the root.
    used: BTreeSet<Module>,
    /// What other modules find here though it stands elsewhere, by name; `*` for all of it.
    passed_on: Vec<(String, Module)>,
}

/// Sets of modules of which each knows, over others, all the rest; largest first. A module with what is
/// inside it is left out.
pub(crate) fn circles(files: &[&File]) -> Vec<Vec<String>> {
    let modules: BTreeSet<Module> = files.iter().map(|file| file.module()).collect();
    let said: BTreeMap<Module, Said> =
        files.iter().map(|file| (file.module(), read(file, &modules))).collect();
    let arrows: BTreeMap<&Module, BTreeSet<Module>> = said
        .iter()
        .map(|(module, words)| {
            let ends = words.used.iter().filter_map(|path| resolve(path, &said, 0));
            (module, ends.filter(|end| end != module).collect())
        })
        .collect();
    let reach: BTreeMap<&Module, BTreeSet<&Module>> = arrows
        .keys()
        .map(|module| {
            let (mut found, mut open) = (BTreeSet::new(), vec![*module]);
            while let Some(next) = open.pop() {
                open.extend(arrows[next].iter().filter(|end| found.insert(*end)));
            }
            (*module, found)
        })
        .collect();
    let mut circles: BTreeSet<Vec<&Module>> = BTreeSet::new();
    for (module, found) in &reach {
        circles.insert(found.iter().copied().filter(|end| reach[end].contains(module)).collect());
    }
    let mut circles: Vec<_> = circles.into_iter().filter(|circle| !is_family(circle)).collect();
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    let name =
        |module: &&Module| if module.is_empty() { "crate".to_owned() } else { module.join("::") };
    circles.iter().map(|circle| circle.iter().map(name).collect()).collect()
}

fn is_family(circle: &[&Module]) -> bool {
    circle.len() < 2
        || circle.iter().any(|parent| {
            let mut others = circle.iter().filter(|other| other != &parent);
            others.all(|child| !parent.is_empty() && child.starts_with(parent))
        })
}

/// The module that holds what a path names.
fn resolve(path: &[String], said: &BTreeMap<Module, Said>, depth: usize) -> Option<Module> {
    let length = (0..=path.len()).rev().find(|length| said.contains_key(&path[..*length]))?;
    let (module, rest) = path.split_at(length);
    let elsewhere = rest.first().filter(|_| depth < 8).and_then(|name| {
        let passed_on = said[module].passed_on.iter();
        let mut ways = passed_on.filter(|(known, _)| known == name);
        let (_, origin) = ways.next()?;
        resolve(&[origin, &rest[1..]].concat(), said, depth + 1)
    });
    Some(elsewhere.unwrap_or_else(|| module.to_owned()))
}

fn read(file: &File, modules: &BTreeSet<Module>) -> Said {
    let module = file.module();
    let text = file.production();
    let words = words(&text);
    let mut said = Said::default();
    // Names by which this file calls modules: its children, and what it imports.
    let mut known: BTreeMap<String, Module> = modules
        .iter()
        .filter(|child| child.split_last().is_some_and(|(_, above)| above == module))
        .map(|child| (child[child.len() - 1].clone(), child.clone()))
        .collect();
    for pass in ["use", "::"] {
        let mut at = 0;
        while at < words.len() {
            let is_use = words[at] == "use";
            let starts_path = is_name(words[at])
                && words.get(at + 1) == Some(&"::")
                && (at == 0 || words[at - 1] != "::");
            if pass == "use" && is_use {
                let passes_on = at > 0 && (words[at - 1] == "pub" || words[at - 1] == ")");
                let mut found = Vec::new();
                at = tree(&words, at + 1, &[], &mut found);
                for (path, name) in found {
                    let Some(path) = absolute(&path, &module, &known) else { continue };
                    if modules.contains(&path) {
                        known.insert(name.clone(), path.clone());
                    }
                    if passes_on {
                        said.passed_on.push((name, path));
                    } else {
                        said.used.insert(path);
                    }
                }
            } else if pass == "::" && is_use {
                at = tree(&words, at + 1, &[], &mut Vec::new());
            } else if pass == "::" && starts_path {
                let mut found = Vec::new();
                at = tree(&words, at, &[], &mut found);
                let paths = found.iter().filter_map(|(path, _)| absolute(path, &module, &known));
                said.used.extend(paths);
            } else {
                at += 1;
            }
        }
    }
    said
}

/// A path from the root, or nothing where it leads out of the crate.
fn absolute(path: &[&str], module: &[String], known: &BTreeMap<String, Module>) -> Option<Module> {
    let mut place = match *path.first()? {
        "crate" => Module::new(),
        "self" => module.to_owned(),
        "super" => module.split_last()?.1.to_owned(),
        name => known.get(name)?.clone(),
    };
    for name in &path[1..] {
        match *name {
            "super" => drop(place.pop()),
            "self" => {}
            name => place.push(name.to_owned()),
        }
    }
    Some(place)
}

/// Reads a path or a tree of them, each with the name it goes by; returns the place after it.
fn tree<'a>(
    words: &[&'a str],
    mut at: usize,
    before: &[&'a str],
    found: &mut Vec<(Vec<&'a str>, String)>,
) -> usize {
    let mut path = before.to_owned();
    while let Some(word) = words.get(at) {
        if *word == "{" {
            at += 1;
            while words.get(at).is_some_and(|word| *word != "}") {
                let after = tree(words, at, &path, found);
                // Commas, and whatever else is no path.
                at = if after == at { at + 1 } else { after };
            }
            return at + 1;
        }
        if !is_name(word) && *word != "*" {
            break;
        }
        path.push(word);
        at += 1;
        if words.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    if path.len() == before.len() {
        return at;
    }
    let renamed = words.get(at) == Some(&"as");
    let own = path.iter().rev().find(|name| **name != "self").copied().unwrap_or_default();
    let name = if renamed { words[at + 1] } else { own };
    found.push((path, name.to_owned()));
    if renamed { at + 2 } else { at }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::`, and every other sign by itself.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let inside = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            ':' if rest.starts_with("::") => 2,
            first if inside(first) => rest.find(|c| !inside(c)).unwrap_or(rest.len()),
            first => first.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        words.push(word);
        rest = after.trim_start();
    }
    words
}
