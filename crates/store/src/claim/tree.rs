//! A file or a folder of files by its digests: the root of model signing, and one that binds names.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use crate::{Artifact, Error, Result, Sha256Digest, disk};

/// More files than this are no model.
const MOST_FILES: usize = 1_000_000;
/// What is read at once, in bytes.
const CHUNK: usize = 1 << 20;
/// What the digest of a tree begins with.
const CONTEXT: &str = "owlet tree 1\n";
/// The name of the file where a file alone is meant: it may be handed on under any name.
pub(super) const ALONE: &str = ".";
/// What the top of a folder may have beside what is signed (model signing 1.0, section 6.2).
pub(super) const BESIDE: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// The files of a folder, or a file alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The last part of its path; not in any digest.
    pub name: String,
    /// Its files, sorted by name.
    pub files: Vec<TreeFile>,
}

/// One file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFile {
    /// Its name relative to the folder, `/`-separated; `.` for a file alone.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of its content.
    pub sha256: Sha256Digest,
}

impl Tree {
    /// Reads a file, or a folder without what is never signed and what lies `beside` (names relative to
    /// the folder).
    ///
    /// `progress` is called with how many bytes are read and how many there are.
    ///
    /// # Errors
    /// [`Error::Unsignable`] for links, devices, names that are not Unicode, or no files at all.
    pub fn read(place: &Path, beside: &[&str], progress: &mut dyn FnMut(u64, u64)) -> Result<Self> {
        let mut ignored = self::beside();
        ignored.extend(beside.iter().map(|name| (*name).to_owned()));
        Self::hashed(&Listing::read(place, &ignored)?, progress)
    }

    /// Reads the files of an artifact; none of them is the store's own.
    ///
    /// # Errors
    /// As [`Tree::read`].
    pub fn of(artifact: &Artifact, progress: &mut dyn FnMut(u64, u64)) -> Result<Self> {
        let mut listing = Listing::read(artifact.folder(), &beside())?;
        listing.files.retain(|file| artifact.path(&file.name).is_ok());
        Self::hashed(&listing.some()?, progress)
    }

    fn hashed(listing: &Listing, progress: &mut dyn FnMut(u64, u64)) -> Result<Self> {
        let total = listing.files.iter().map(|file| file.size).sum();
        let mut done = 0;
        let mut files = Vec::with_capacity(listing.files.len());
        for file in &listing.files {
            let hashed = hash(&file.path, Pieces::WHOLE, &mut |bytes| {
                done += bytes;
                progress(done, total);
            })?;
            let (size, sha256) = (hashed.size, hashed.sha256);
            files.push(TreeFile { name: file.name.clone(), size, sha256 });
        }
        Ok(Self { name: listing.name.clone(), files })
    }

    /// The root digest of model signing: SHA-256 over the digests of all files, in the order of the
    /// code points of their names. It binds no names.
    pub fn root(&self) -> Sha256Digest {
        root(self.files.iter().map(|file| file.sha256.as_bytes().as_slice()))
    }

    /// The digest that binds names: SHA-256 over `owlet tree 1` and a line feed, and then, file by
    /// file in that order, the length of the name in bytes, the name, the size and the file's
    /// SHA-256; lengths and sizes are unsigned, of 64 bits, the lowest byte first.
    pub fn digest(&self) -> Sha256Digest {
        let mut hasher = Sha256::new();
        hasher.update(CONTEXT);
        for file in &self.files {
            hasher.update((file.name.len() as u64).to_le_bytes());
            hasher.update(file.name.as_bytes());
            hasher.update(file.size.to_le_bytes());
            hasher.update(file.sha256.as_bytes());
        }
        Sha256Digest::from_bytes(hasher.finalize().into())
    }

    /// Size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// SHA-256 over digests.
pub(super) fn root<'a>(digests: impl Iterator<Item = &'a [u8]>) -> Sha256Digest {
    let mut hasher = Sha256::new();
    for digest in digests {
        hasher.update(digest);
    }
    Sha256Digest::from_bytes(hasher.finalize().into())
}

/// What is never signed.
pub(super) fn beside() -> BTreeSet<String> {
    BESIDE.map(str::to_owned).into()
}

/// Files by name, not yet read.
pub(super) struct Listing {
    pub(super) name: String,
    /// A file alone.
    pub(super) alone: bool,
    /// Sorted by name.
    pub(super) files: Vec<Listed>,
    place: PathBuf,
}

pub(super) struct Listed {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

impl Listing {
    pub(super) fn read(place: &Path, ignored: &BTreeSet<String>) -> Result<Self> {
        let unfit = |why: String| Error::Unsignable { path: place.to_owned(), why };
        let metadata = fs::symlink_metadata(place)?;
        if metadata.is_symlink() {
            return Err(unfit("is a symbolic link; name what it points to".to_owned()));
        }
        let mut listing = Self {
            name: base_name(place),
            alone: metadata.is_file(),
            files: Vec::new(),
            place: place.to_owned(),
        };
        if listing.alone {
            let size = metadata.len();
            let (name, path) = (ALONE.to_owned(), place.to_owned());
            listing.files.push(Listed { name, path, size });
            return Ok(listing);
        }
        if !metadata.is_dir() {
            return Err(unfit("is a pipe or a device, expected a file or a folder".to_owned()));
        }
        for found in disk::walk_at_most(place, MOST_FILES)? {
            if is_ignored(&found.name, ignored) {
                continue;
            }
            let path = place.join(&found.name);
            let metadata = fs::symlink_metadata(&path).ok();
            if metadata.as_ref().is_some_and(std::fs::Metadata::is_symlink) {
                let why =
                    format!("has the symbolic link `{}` in it, which is not followed", found.name);
                return Err(unfit(why));
            }
            let (true, Some(metadata)) = (found.plain, metadata) else {
                let why =
                    format!("has `{}` in it, which is no file with a name in Unicode", found.name);
                return Err(unfit(why));
            };
            listing.files.push(Listed { name: found.name, path, size: metadata.len() });
        }
        listing.some()
    }

    /// Itself, if there is something in it.
    fn some(self) -> Result<Self> {
        if self.files.is_empty() {
            let why = "has no files in it that could be signed".to_owned();
            return Err(Error::Unsignable { path: self.place, why });
        }
        Ok(self)
    }
}

/// Whether a name, or a folder that it is in, is ignored.
fn is_ignored(name: &str, ignored: &BTreeSet<String>) -> bool {
    let folders = name.match_indices('/').map(|(end, _)| &name[..end]);
    folders.chain([name]).any(|part| ignored.contains(part))
}

/// The last part of a path, also of `.` and `..`.
fn base_name(place: &Path) -> String {
    let named = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let resolved = || named(&fs::canonicalize(place).ok()?);
    named(place).or_else(resolved).unwrap_or_else(|| "model".to_owned())
}

/// By what a signature tells whether a file is the one that was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Bytes of a piece; `None`: a file is one piece.
    pub(super) size: Option<u64>,
    /// The pieces' digests are BLAKE3, not SHA-256.
    pub(super) blake3: bool,
}

impl Pieces {
    pub(super) const WHOLE: Self = Self { size: None, blake3: false };
}

/// A file that was read.
pub(super) struct Hashed {
    pub(super) size: u64,
    pub(super) sha256: Sha256Digest,
    /// Begin, end and digest of each piece.
    pub(super) pieces: Vec<(u64, u64, [u8; 32])>,
}

/// Reads a file once, from start to end; `progress` hears of bytes as they are read.
pub(super) fn hash(path: &Path, by: Pieces, progress: &mut dyn FnMut(u64)) -> Result<Hashed> {
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    let (mut whole, mut piece) = (Sha256::new(), Piece::new(by));
    let (mut start, mut size) = (0, 0);
    let mut pieces = Vec::new();
    loop {
        let left = by.size.map_or(u64::MAX, |most| most - (size - start));
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut buffer[..room])?;
        if read == 0 {
            break;
        }
        whole.update(&buffer[..read]);
        piece.update(&buffer[..read]);
        size += read as u64;
        progress(read as u64);
        if by.size == Some(size - start) {
            pieces.push((start, size, std::mem::replace(&mut piece, Piece::new(by)).digest()));
            start = size;
        }
    }
    let sha256 = Sha256Digest::from_bytes(whole.finalize().into());
    if by == Pieces::WHOLE {
        pieces.push((0, size, *sha256.as_bytes()));
    } else if by.size.is_none() || size > start {
        pieces.push((start, size, piece.digest()));
    }
    Ok(Hashed { size, sha256, pieces })
}

enum Piece {
    /// The digest of the file is that of the piece.
    Whole,
    Sha256(Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Piece {
    fn new(by: Pieces) -> Self {
        match by {
            Pieces::WHOLE => Self::Whole,
            Pieces { blake3: true, .. } => Self::Blake3(Box::default()),
            Pieces { blake3: false, .. } => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Whole => {}
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    fn digest(self) -> [u8; 32] {
        match self {
            Self::Whole => [0; 32],
            Self::Sha256(hasher) => hasher.finalize().into(),
            Self::Blake3(hasher) => *hasher.finalize().as_bytes(),
        }
    }
}
