//! Signatures of files: OpenSSF Model Signing 1.0, for models and for rows.
//!
//! A signature lists every file with its digest. Its root is a digest of those digests alone: it
//! binds neither names nor, in the order in which the reference tool lists them, the same tree to the
//! same root. So verifying compares names and digests, never the root, and what owlet says of a tree
//! elsewhere goes by [`Tree::digest`].
//!
//! Source: the specification's version 1.0 and `model-signing` 1.1.1, of which each is followed where
//! the other allows it. Where they differ (a file alone is called `.` by the tool and by its name in
//! the specification), what is written is what the tool accepts, and both are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::tree::{self, ALONE, BESIDE, Listed, Listing, Pieces, Tree, TreeFile};
use super::{Descriptor, PrivateKey, PublicKey, Statement, bundle, statement};
use crate::{Error, Problem, ProblemKind, Result, Sha256Digest, disk};

/// What a signature of files is called in a statement.
pub const PREDICATE: &str = "https://model_signing/signature/v1.0";
/// The file of a folder's signature, in it.
pub const FILE: &str = "model.sig";
/// How much of a stranger's word is repeated, in characters.
const MOST_WORD: usize = 60;

#[derive(Serialize, Deserialize)]
struct Signed {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Serialize, Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard_size: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignore_paths: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// Signs a tree: a bundle on one line, with a line feed.
///
/// `beside` names what else may lie at the top of the folder, unsigned, such as the signature itself.
///
/// # Errors
/// None for a tree that was read.
pub fn sign(tree: &Tree, beside: &[&str], key: &PrivateKey) -> serde_json::Result<String> {
    let resources = tree.files.iter().map(|file| Resource {
        name: file.name.clone(),
        algorithm: "sha256".to_owned(),
        digest: file.sha256.to_string(),
    });
    let alone = tree.files.iter().any(|file| file.name == ALONE);
    let ignored = BESIDE.iter().chain(beside).filter(|_| !alone);
    let ignored: BTreeSet<String> = ignored.map(|name| (*name).to_owned()).collect();
    let predicate = Signed {
        serialization: Serialization {
            method: "files".to_owned(),
            hash_type: "sha256".to_owned(),
            allow_symlinks: false,
            shard_size: None,
            ignore_paths: ignored.into_iter().collect(),
        },
        resources: resources.collect(),
    };
    let subject = Descriptor {
        name: Some(tree.name.clone()),
        digest: BTreeMap::from([("sha256".to_owned(), tree.root().to_string())]),
        ..Descriptor::default()
    };
    let mut line = Statement::new(subject, PREDICATE, predicate).sign(key)?;
    line.push('\n');
    Ok(line)
}

/// What a signature says of files, and what they are.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The root that was signed.
    pub root: Sha256Digest,
    /// The files that it covers, as they are.
    pub tree: Tree,
    /// What is not as it was signed; paths are relative to the folder.
    pub problems: Vec<Problem>,
    /// Files that are not signed, where those were to be passed over.
    pub unsigned: Vec<String>,
    /// Files without content, which a signature by pieces cannot cover.
    pub empty: Vec<String>,
    /// What may lie beside, unsigned, as whoever signed says.
    pub beside: Vec<String>,
}

/// Verifies that a file or folder is what was signed.
///
/// Files that are not signed are a problem, unless they are to be passed over (`pass_over`). `progress`
/// is called with how many bytes are read and how many there are.
///
/// # Errors
/// [`Error::Refused`] for a signature that is not by `key` or cannot be understood, and
/// [`Error::Unsignable`] for what no signature covers. What differs is in the answer.
pub fn verify(
    place: &Path,
    signature: &Path,
    key: &PublicKey,
    pass_over: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Checked> {
    let refused = |why: String| Error::Refused { path: signature.to_owned(), line: 0, why };
    let text = disk::read_bounded(signature, disk::LARGEST_DOCUMENT)?
        .ok_or_else(|| refused("is not there".to_owned()))?;
    let payload = bundle::open(&text, key).map_err(refused)?;
    let manifest = Manifest::read(&payload).map_err(refused)?;
    let mut ignored = tree::beside();
    ignored.extend(manifest.ignored.iter().cloned());
    ignored.extend(name_below(place, signature));
    let mut listing = Listing::read(place, &ignored)?;
    let unsigned = manifest.names(&mut listing).map_err(refused)?;
    manifest.compare(listing, unsigned, pass_over, progress)
}

/// What a signature lists, understood.
struct Manifest {
    root: Sha256Digest,
    by: Pieces,
    ignored: Vec<String>,
    /// The pieces of every file, by begin and end; a file that is one piece has it under `WHOLE`.
    files: BTreeMap<String, BTreeMap<(u64, u64), [u8; 32]>>,
}

const WHOLE: (u64, u64) = (0, u64::MAX);

impl Manifest {
    fn read(payload: &[u8]) -> Result<Self, String> {
        let predicate = statement::predicate_type(payload)?;
        if predicate != PREDICATE {
            let found: String = predicate.chars().take(80).collect();
            return Err(format!("says {found:?}, expected a signature of files (`{PREDICATE}`)"));
        }
        let Statement { subject, predicate, .. } = statement::parse::<Signed>(payload)?;
        let [subject] = subject.as_slice() else {
            return Err(format!("speaks of {} things, expected one", subject.len()));
        };
        let root = subject.digest.get("sha256").and_then(|digest| digest.parse().ok());
        let root: Sha256Digest = root.ok_or("names no SHA-256 root of what it signs")?;
        let Signed { serialization, resources } = predicate;
        let by = serialization.pieces()?;
        for name in &serialization.ignore_paths {
            inside(name).map_err(|why| format!("ignores {name:?}, which {why}"))?;
        }
        if resources.is_empty() {
            return Err("lists no files".to_owned());
        }
        let mut files: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        let mut digests = Vec::new();
        for Resource { name, algorithm, digest } in resources {
            if !serialization.names(&algorithm) {
                return Err(format!(
                    "lists {name:?} with a digest of {:?}, but says that all are `{}`",
                    algorithm.chars().take(MOST_WORD).collect::<String>(),
                    serialization.hash_type
                ));
            }
            let digest: Sha256Digest = digest.parse().map_err(|_| {
                format!("lists {name:?} with what is no digest of 64 lower-case hexadecimal digits")
            })?;
            digests.push(digest);
            let (file, piece) = if by.size.is_some() {
                split(&name).ok_or_else(|| {
                    format!("lists {name:?}, expected a name and the begin and end of a piece")
                })?
            } else {
                (name.as_str(), WHOLE)
            };
            if file != ALONE {
                inside(file).map_err(|why| format!("lists {file:?}, which {why}"))?;
            }
            let pieces = files.entry(file.to_owned()).or_default();
            if pieces.insert(piece, *digest.as_bytes()).is_some() {
                return Err(format!("lists {name:?} twice"));
            }
        }
        // In the order listed: the reference tool sorts otherwise than the specification.
        if tree::root(digests.iter().map(|digest| digest.as_bytes().as_slice())) != root {
            return Err("lists files that do not come to the root it names".to_owned());
        }
        Ok(Self { root, by, ignored: serialization.ignore_paths, files })
    }

    /// Brings the names of what was found and of what is listed together; the names that are not listed.
    fn names(&self, listing: &mut Listing) -> Result<BTreeSet<String>, String> {
        if listing.alone {
            // By the tool `.`, by the specification the file's name.
            let known = [ALONE, listing.name.as_str()];
            let listed = self.files.keys().next().filter(|name| known.contains(&name.as_str()));
            let (1, Some(listed)) = (self.files.len(), listed) else {
                let first = self.files.keys().next().map_or("", String::as_str);
                let more = if self.files.len() > 1 { " and others" } else { "" };
                return Err(format!("signs {first:?}{more}, not a file `{}` alone", listing.name));
            };
            listing.files[0].name.clone_from(listed);
        } else if self.files.contains_key(ALONE) {
            return Err("signs a file alone, not a folder".to_owned());
        }
        let found = listing.files.iter().map(|file| &file.name);
        Ok(found.filter(|name| !self.files.contains_key(*name)).cloned().collect())
    }

    /// Reads the files, and says what is not as it is listed.
    fn compare(
        &self,
        mut listing: Listing,
        mut unsigned: BTreeSet<String>,
        pass_over: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Checked> {
        let mut empty = Vec::new();
        if self.by.size.is_some() {
            let has_none = |file: &&Listed| file.size == 0 && unsigned.contains(&file.name);
            empty.extend(listing.files.iter().filter(has_none).map(|file| file.name.clone()));
            unsigned.retain(|name| !empty.contains(name));
        }
        let mut problems = Vec::new();
        let mut problem = |path: &str, kind, why: String| {
            problems.push(Problem { path: path.to_owned(), kind, why });
        };
        if !pass_over {
            for name in std::mem::take(&mut unsigned) {
                problem(&name, ProblemKind::Foreign, "is not signed".to_owned());
            }
        }
        listing.files.retain(|file| self.files.contains_key(&file.name));
        let found: BTreeSet<&str> = listing.files.iter().map(|file| file.name.as_str()).collect();
        for name in self.files.keys().filter(|name| !found.contains(name.as_str())) {
            problem(name, ProblemKind::Missing, "is signed, and missing".to_owned());
        }
        let total = listing.files.iter().map(|file| file.size).sum();
        let (mut done, mut files) = (0, Vec::new());
        for file in &listing.files {
            let hashed = tree::hash(&file.path, self.by, &mut |bytes| {
                done += bytes;
                progress(done, total);
            })?;
            if let Some(why) = self.differs(&file.name, &hashed.pieces) {
                let called = if listing.alone { &listing.name } else { &file.name };
                problem(called, ProblemKind::Damaged, why);
            }
            let (name, size, sha256) = (file.name.clone(), hashed.size, hashed.sha256);
            files.push(TreeFile { name, size, sha256 });
        }
        problems.sort();
        let tree = Tree { name: listing.name, files };
        let unsigned = unsigned.into_iter().collect();
        let beside = self.ignored.clone();
        Ok(Checked { root: self.root, tree, problems, unsigned, empty, beside })
    }

    /// How a file is not what was signed; `None` if it is.
    fn differs(&self, name: &str, found: &[(u64, u64, [u8; 32])]) -> Option<String> {
        let signed = self.files.get(name)?;
        let key = |begin, end| if self.by.size.is_some() { (begin, end) } else { WHOLE };
        let found: BTreeMap<_, _> =
            found.iter().map(|(begin, end, digest)| (key(*begin, *end), *digest)).collect();
        if *signed == found {
            return None;
        }
        let short = |digest: &[u8; 32]| Sha256Digest::from_bytes(*digest).short();
        if let (Some(signed), Some(found)) = (signed.get(&WHOLE), found.get(&WHOLE)) {
            let (signed, found) = (short(signed), short(found));
            return Some(format!("has digest {found} instead of {signed}"));
        }
        let other = |(piece, digest): (&(u64, u64), &[u8; 32])| {
            (found.get(piece) != Some(digest)).then_some(*piece)
        };
        Some(match signed.iter().find_map(other) {
            Some((begin, end)) => format!("is not what was signed between bytes {begin} and {end}"),
            None => "is longer than what was signed".to_owned(),
        })
    }
}

impl Serialization {
    /// Whether a digest of one file or piece is called as it must be; the tool says with that of a piece how
    /// long pieces are.
    fn names(&self, algorithm: &str) -> bool {
        let of_pieces = self.shard_size.map(|size| format!("{}-sharded-{size}", self.hash_type));
        algorithm == self.hash_type || of_pieces.is_some_and(|known| known == algorithm)
    }

    fn pieces(&self) -> Result<Pieces, String> {
        let blake3 = match self.hash_type.as_str() {
            "sha256" => false,
            "blake3" => true,
            other => {
                let other: String = other.chars().take(MOST_WORD).collect();
                return Err(format!(
                    "has digests of {other:?}, which this build does not compute; it knows `sha256` and `blake3`"
                ));
            }
        };
        let size = match (self.method.as_str(), self.shard_size) {
            ("files", _) => None,
            ("shards", Some(size)) if size >= 1.0 && size.fract() == 0.0 && size < 1e15 => {
                Some(size as u64)
            }
            ("shards", _) => return Err("does not say how long its pieces are".to_owned()),
            (other, _) => {
                let other: String = other.chars().take(MOST_WORD).collect();
                return Err(format!(
                    "lists files by the method {other:?}; this build knows `files` and `shards`"
                ));
            }
        };
        Ok(Pieces { size, blake3 })
    }
}

/// A name and the begin and end behind it; names may have colons, too.
fn split(name: &str) -> Option<(&str, (u64, u64))> {
    let (rest, end) = name.rsplit_once(':')?;
    let (file, begin) = rest.rsplit_once(':')?;
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_plain { text.parse::<u64>().ok() } else { None }
    };
    Some((file, (number(begin)?, number(end)?)))
}

/// Says how a name does not stay inside a folder, or is not the one way to write it.
fn inside(name: &str) -> Result<(), &'static str> {
    if name.starts_with('/') {
        return Err("leads out of the folder");
    }
    if name.contains('\0') {
        return Err("no file can be called");
    }
    for part in name.split('/') {
        match part {
            ".." => return Err("leads out of the folder"),
            "" | "." => return Err("is not the plain way to write a name"),
            _ => {}
        }
    }
    Ok(())
}

/// What a file is called below a folder, if it is in it.
pub fn name_below(folder: &Path, file: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    // A file that is not there yet has a folder that is.
    let file = fs::canonicalize(file).ok().or_else(|| {
        let above = file.parent().filter(|above| *above != Path::new(""));
        let above = fs::canonicalize(above.unwrap_or(Path::new("."))).ok()?;
        Some(above.join(file.file_name()?))
    })?;
    let below = file.strip_prefix(folder).ok()?.to_str()?;
    (!below.is_empty()).then(|| below.replace(std::path::MAIN_SEPARATOR, "/"))
}
