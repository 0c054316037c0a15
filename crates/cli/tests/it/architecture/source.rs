//! The files of the crates, and what of them is neither test nor comment.

use std::path::{Path, PathBuf};

pub(crate) struct File {
    /// Such as `lab`.
    pub(crate) crate_name: String,
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of Rust below `crates`, in order.
pub(crate) fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    let mut open = vec![root.join("crates")];
    while let Some(place) = open.pop() {
        if place.is_dir() {
            open.extend(std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
        } else if place.extension().is_some_and(|extension| extension == "rs") {
            let path = place.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            let crate_name = path.split('/').nth(1).unwrap().to_owned();
            files.push(File { crate_name, path, text: std::fs::read_to_string(place).unwrap() });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

impl File {
    /// Whether it is part of what is shipped; files of tests lie in `tests` or are named after them.
    pub(crate) fn is_production(&self) -> bool {
        let stem = Path::new(&self.path).file_stem().unwrap().to_str().unwrap();
        let is_test = stem.contains("test") || stem == "checks" || self.path.contains("/tests/");
        self.path.split('/').nth(2) == Some("src") && !is_test
    }

    /// Its module's path below the crate's root.
    pub(crate) fn module(&self) -> Vec<String> {
        let inside = self.path.split('/').skip(3).collect::<Vec<_>>().join("/");
        let name = inside.strip_suffix(".rs").unwrap();
        let names = name.split('/').filter(|name| !["mod", "lib", "main"].contains(name));
        names.map(str::to_owned).collect()
    }

    /// The lines that are neither tests, blank nor comments.
    pub(crate) fn production(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = text.lines().filter(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
