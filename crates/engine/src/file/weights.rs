//! A model's tensors read row by row, by canonical name, with no more of it in memory: for those who
//! compare weights and run nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use super::folder::{self, Names, Texts};
use super::gguf::{self, Gguf};
use super::json::Fields;
use super::names::{Name, Stored};
use super::safetensors::Safetensors;
use super::tensors::{self, Tensors, finite};
use super::{adapted, opened, peft};
use crate::adapter::{Adapter, Projection};
use crate::config::DecoderConfig;
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::parameters::Span;
use crate::tokenizer::Tokenizer;

/// Stored bytes compared at once, and at first: what differs mostly differs at once.
const CHUNK: usize = 1 << 20;
const FIRST: usize = 1 << 14;

/// The weights of a model on disk (or in the program), opened and checked but not read.
///
/// Canonical names are those of [`Decoder`].
pub struct Weights {
    config: DecoderConfig,
    places: BTreeMap<String, (Stored, Span)>,
    files: Files,
    adapter: Option<Adapter>,
}

trait Seekable: Read + Seek + Send {}
impl<R: Read + Seek + Send> Seekable for R {}

/// What the tensors lie in, and what their tokens are read from.
enum Files {
    Folder { tensors: Safetensors<Box<dyn Seekable>>, folder: PathBuf, texts: Box<Texts> },
    Gguf(Box<Gguf<File>>),
}

impl Files {
    fn tensors(&mut self) -> &mut dyn Tensors {
        match self {
            Self::Folder { tensors, .. } => tensors,
            Self::Gguf(gguf) => &mut **gguf,
        }
    }
}

impl Weights {
    /// Opens a Hugging Face folder or a `.gguf` file with all its parts.
    ///
    /// Fails as [`super::load`] does for all but numbers that are not finite, which are found where they
    /// are read.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let mut gguf = gguf::open(path)?;
            let config = gguf::shape(&mut gguf)?;
            let places = tensors::places(&config, &gguf, gguf::stored)?;
            return Ok(Self::new(config, places, Files::Gguf(Box::new(gguf))));
        }
        let texts = Texts::of(path)?;
        let mut files: Vec<(PathBuf, Box<dyn Seekable>)> = Vec::new();
        for file in folder::weight_files(path)? {
            let opened = opened::open(&file)?;
            opened::check_written(&file)?;
            files.push((file, Box::new(opened)));
        }
        Self::in_folder(path, texts, Safetensors::open(files)?)
    }

    /// Opens the contents of a Hugging Face folder's files, as [`super::from_parts`] does.
    pub fn from_parts(
        config: &[u8],
        weights: &'static [u8],
        tokenizer: &[u8],
        tokenizer_config: &[u8],
    ) -> Result<Self> {
        let texts = Texts {
            config: config.to_vec(),
            tokenizer: tokenizer.to_vec(),
            tokenizer_config: Some(tokenizer_config.to_vec()),
            ..Texts::default()
        };
        let reader: Box<dyn Seekable> = Box::new(Cursor::new(weights));
        let tensors = Safetensors::open([(PathBuf::from(folder::WEIGHTS), reader)])?;
        Self::in_folder(Path::new(""), texts, tensors)
    }

    fn in_folder(
        folder: &Path,
        texts: Texts,
        tensors: Safetensors<Box<dyn Seekable>>,
    ) -> Result<Self> {
        let mut config = folder::config(folder, &texts)?;
        let names = Names::of(&tensors);
        // Whether a head that equals the embedding is one of its own changes no other tensor.
        let head = names.stored(&config, "head.weight").name;
        config.tied &= tensors.shape(&head).is_none();
        folder::check_used(&config, names, &tensors)?;
        let stored = |config: &DecoderConfig, name: &str| names.stored(config, name);
        let places = tensors::places(&config, &tensors, stored)?;
        let folder = folder.to_owned();
        Ok(Self::new(config, places, Files::Folder { tensors, folder, texts: Box::new(texts) }))
    }

    fn new(config: DecoderConfig, places: Vec<Stored>, files: Files) -> Self {
        let layout = Decoder::layout(&config);
        let spans = layout.spans().iter().cloned();
        let places =
            spans.zip(places).map(|(span, place)| (span.name.clone(), (place, span))).collect();
        Self { config, places, files, adapter: None }
    }

    /// The same with the low-rank updates of a PEFT folder added to its rows as they are read.
    ///
    /// Fails for an adapter that changes more than projections of layers by low rank (DoRA, embedding,
    /// head, biases, modules saved whole): it is a whole model only once it is merged.
    pub fn with_adapter(mut self, folder: &Path) -> Result<Self> {
        let path = folder.join(peft::CONFIG);
        let fields = Fields::parse("adapter configuration", &path, &opened::contents(&path)?)?;
        let path = folder.join(peft::WEIGHTS);
        let tensors = Safetensors::open([(path.clone(), opened::open(&path)?)])?;
        self.adapter = Some(adapted::low_rank(&fields, tensors, &self.config)?);
        Ok(self)
    }

    /// The model's shape.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Names and row-major shapes of all tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.places.iter().map(|(name, (_, span))| (name.as_str(), span.shape.as_slice()))
    }

    /// The shape of a tensor, `None` where the model has none of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.places.get(name).map(|(_, span)| span.shape.as_slice())
    }

    /// How a tensor is stored, as its format calls it (`F32`, `BF16`, `Q4_1`, ...), and in how many bytes.
    pub fn storage(&mut self, name: &str) -> Result<(&'static str, u64)> {
        let stored = self.place(name)?.0.name.clone();
        self.files.tensors().storage(&stored).ok_or_else(|| Error::tensor(stored, "is missing"))
    }

    fn place(&self, name: &str) -> Result<&(Stored, Span)> {
        self.places.get(name).ok_or_else(|| Error::tensor(name, "is no part of this model"))
    }

    /// The numbers of some rows of a matrix, one after another, as many as its second dimension each; of
    /// a vector its numbers at these places.
    ///
    /// Fails on numbers that are not finite.
    pub fn rows(&mut self, name: &str, rows: &[usize]) -> Result<Vec<f32>> {
        let (place, span) = self.place(name)?.clone();
        let outside = rows.iter().find(|&&row| row >= span.shape[0]);
        if let Some(row) = outside {
            return Err(Error::tensor(name, format!("has {} rows, no row {row}", span.shape[0])));
        }
        let (part, tensors) = (place.part, self.files.tensors());
        let columns = span.shape.get(1).copied().unwrap_or(1);
        let mut values = if part.transposed || span.shape.len() == 1 {
            let whole = part.take(&tensors.read(&place.name)?, &span.shape);
            rows.iter().flat_map(|row| &whole[row * columns..][..columns]).copied().collect()
        } else {
            let stored: Vec<usize> = rows.iter().map(|&row| part.row(row)).collect();
            tensors.rows(&place.name, &stored)?
        };
        if part.offset != 0.0 && !part.transposed && span.shape.len() > 1 {
            for value in &mut values {
                *value -= part.offset;
            }
        }
        let mut values = finite(&place.name, values)?;
        self.update(name, rows, &mut values)?;
        Ok(values)
    }

    /// Adds what the adapter adds to these rows.
    fn update(&self, name: &str, rows: &[usize], values: &mut [f32]) -> Result<()> {
        let Some((adapter, layer, projection)) = self.adapting(name) else { return Ok(()) };
        let (a, b) = adapter.pair(layer, projection)?;
        let (rank, inputs) = (adapter.config.rank, values.len() / rows.len().max(1));
        let own: Vec<f32> = rows.iter().flat_map(|row| &b[row * rank..][..rank]).copied().collect();
        folder::merge(values, inputs, (a, &own, rank), adapter.config.scale(), None);
        Ok(())
    }

    /// The adapter, and what of it is for a tensor.
    fn adapting(&self, name: &str) -> Option<(&Adapter, usize, Projection)> {
        let adapter = self.adapter.as_ref()?;
        let name = Name::of(name);
        let layer = name.layer.filter(|_| name.field == "weight")?.parse().ok()?;
        let adapted = adapter.config.projections(&self.config);
        let found = adapted.iter().find(|(projection, _)| projection.name() == name.module)?;
        Some((adapter, layer, found.0))
    }

    /// Whether a tensor is the same bytes in two models; `None` where it is stored in two ways or one of
    /// them has an adapter on it, so that bytes say nothing.
    pub fn same_bytes(&mut self, other: &mut Self, name: &str) -> Result<Option<bool>> {
        if self.adapting(name).is_some() || other.adapting(name).is_some() {
            return Ok(None);
        }
        let places = [self.place(name)?.0.clone(), other.place(name)?.0.clone()];
        let (stored, others) = (self.storage(name)?, other.storage(name)?);
        if stored != others || places[0].part != places[1].part {
            return Ok(None);
        }
        let (mut at, mut length) = (0, FIRST);
        while at < stored.1 {
            let count = length.min((stored.1 - at) as usize);
            let mut both = [vec![0; count], vec![0; count]];
            self.files.tensors().raw(&places[0].name, at, &mut both[0])?;
            other.files.tensors().raw(&places[1].name, at, &mut both[1])?;
            if both[0] != both[1] {
                return Ok(Some(false));
            }
            at += count as u64;
            length = CHUNK;
        }
        Ok(Some(true))
    }

    /// The tokenizer, read anew each time.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        match &self.files {
            Files::Folder { folder, texts, .. } => folder::tokenizer(folder, texts, &self.config),
            Files::Gguf(gguf) => gguf::tokenizer(gguf),
        }
    }
}
