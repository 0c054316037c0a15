//! `images`: ten classes of images, taken from files or drawn, as an artifact of four IDX files.

mod generated;
mod idx;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use owlet_engine::perceptron::Inputs;
use owlet_store::Artifact;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::model::ModelSource;
use crate::step::{Step, StepContext};
use idx::{Labels, Pixels};

/// Classes of every set.
pub(super) const CLASSES: usize = 10;
/// The four files, as MNIST has named them: images and labels, to train and to test.
const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];
/// The digest of Fashion-MNIST's decoded test images (Xiao et al. 2017), as Debian ships them.
const FASHION_MNIST: &str = "8ea90ef2b1691ab3333c7c5badcb667307e2f5c09cb7c78d0f3d3927ef580f02";
/// What a folder without the files is answered with.
const HOW: &str = "expected the four IDX files of MNIST or Fashion-MNIST, packed or not (on Debian, `apt install \
                   dataset-fashion-mnist` and `images = \"/usr/share/datasets/fashion-mnist\"`), or `images = \
                   \"generated\"`";

/// What the step does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from", deny_unknown_fields)]
pub(super) enum Configuration {
    /// Takes files in, of at most so many images.
    Files { digest: String, train: usize, test: usize },
    /// Draws them.
    Generated { seed: u64, train: usize, test: usize },
}

/// What the artifact says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct About {
    /// What they are called.
    pub name: String,
    /// What kind of images they are, in a sentence.
    pub told: String,
    /// Training images.
    pub train: usize,
    /// Test images.
    pub test: usize,
    /// Numbers of an image.
    pub pixels: usize,
}

/// The step.
pub(super) struct Images;

impl Step for Images {
    type Configuration = Configuration;
    const KIND: &'static str = "images";
    const ALGORITHM: u32 = 1;
    const OUTPUT: &'static str = "images";

    fn run(configuration: Configuration, context: &StepContext<'_>) -> Result<Value> {
        let ((name, told), [train, test]) = match configuration {
            Configuration::Files { digest, train, test } => {
                let source = context.sources.get(&digest);
                let source = source.ok_or_else(|| Error::record("sources", "lack the images"))?;
                if source.digest()? != digest {
                    let reason = "changed while they were read; run again".to_owned();
                    return Err(Error::Unfit { what: format!("images `{}`", source.spec), reason });
                }
                let [mut trains, mut tests] = read(&source.paths())?;
                let name = name_of(&tests);
                trains.keep(train);
                tests.keep(test);
                (name, [trains, tests])
            }
            Configuration::Generated { seed, train, test } => {
                let sets = [(0, train), (1, test)];
                let [trains, tests] =
                    sets.map(|(set, count)| generated::draw(seed, set, count, context));
                ((generated::NAME, generated::TOLD), [trains?, tests?])
            }
        };
        for (place, set) in [&train, &test].into_iter().enumerate() {
            context.writer.write(FILES[2 * place], &set.pixels.to_bytes())?;
            context.writer.write(FILES[2 * place + 1], &set.labels.to_bytes())?;
        }
        let about = About {
            name: name.to_owned(),
            told: told.to_owned(),
            train: train.labels.0.len(),
            test: test.labels.0.len(),
            pixels: train.pixels.size(),
        };
        Ok(json!(about))
    }
}

/// Images with their classes.
struct Split {
    pixels: Pixels,
    labels: Labels,
}

impl Split {
    /// As many as `most`.
    fn keep(&mut self, most: usize) {
        let size = self.pixels.size();
        self.pixels.bytes.truncate(most.saturating_mul(size));
        self.labels.0.truncate(most);
    }
}

/// What files are, by what is in them.
fn name_of(tests: &Split) -> (&'static str, &'static str) {
    let digest = blake3::hash(&tests.pixels.bytes).to_hex();
    if digest.as_str() == FASHION_MNIST {
        (
            "Fashion-MNIST",
            "Photographs of ten kinds of clothes (Xiao et al. 2017), known by their digest.",
        )
    } else {
        ("IDX files", "Files that owlet does not know by their digest.")
    }
}

/// The files in `folder`, for a plan: found, and read once, so that what is wrong is told before anything runs.
/// Their counts, too.
///
/// # Errors
/// Files that are not there, or not what they should be.
pub(super) fn find(recipe: &str, spec: &str, folder: &Path) -> Result<(ModelSource, usize)> {
    let path = |name: &str| -> Result<PathBuf> {
        let dotted = name.replace("-idx", ".idx");
        let names = [name, &dotted].map(|name| [name.to_owned(), format!("{name}.gz")]);
        let mut paths = names.iter().flatten().map(|name| folder.join(name));
        paths.find(|path| path.is_file()).ok_or_else(|| {
            let reason =
                format!("`images`: there is no `{name}` or `{name}.gz` in `{spec}`; {HOW}");
            Error::unusable(recipe, reason)
        })
    };
    let paths = FILES.map(path).into_iter().collect::<Result<Vec<_>>>()?;
    let [train, _] = read(&paths)?;
    let files = FILES.iter().map(|&name| name.to_owned()).zip(paths).collect();
    Ok((ModelSource::files(spec, files), train.pixels.size()))
}

/// Reads the four files.
fn read(paths: &[PathBuf]) -> Result<[Split; 2]> {
    let [train_images, train_labels, test_images, test_labels] = paths else {
        return Err(Error::record("sources", "are not the four files of images"));
    };
    let split = |images: &Path, labels: &Path| -> Result<Split> {
        let (pixels, labels) = (Pixels::read(images)?, Labels::read(labels, CLASSES)?);
        let (count, classes) = (pixels.count(), labels.0.len());
        if count != classes {
            let reason = format!("holds {count} images, but there are {classes} labels to them");
            return Err(Error::record(images, reason));
        }
        Ok(Split { pixels, labels })
    };
    let sets = [split(train_images, train_labels)?, split(test_images, test_labels)?];
    let [one, other] = sets.each_ref().map(|set| (set.pixels.rows, set.pixels.columns));
    if one != other {
        let reason = format!(
            "holds images of {} by {}, those to train with are {} by {}",
            other.0, other.1, one.0, one.1
        );
        return Err(Error::record(test_images, reason));
    }
    Ok(sets)
}

/// Images as networks are shown them, with their classes.
pub(super) struct Shown {
    pub(super) inputs: Inputs,
    pub(super) classes: Vec<u32>,
}

/// Which of an artifact's images.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Train,
    Test,
}

/// Reads images of an artifact that the step made.
///
/// # Errors
/// Files that are not what they should be.
pub(super) fn shown(artifact: &Artifact, which: Which) -> Result<Shown> {
    let place = 2 * which as usize;
    let read = |name: &str| Ok::<_, Error>((artifact.read(name)?, artifact.folder().join(name)));
    let (bytes, path) = read(FILES[place])?;
    let pixels = Pixels::parse(bytes, &path)?;
    let (bytes, path) = read(FILES[place + 1])?;
    let labels = Labels::parse(bytes, CLASSES, &path)?;
    if pixels.count() != labels.0.len() {
        return Err(Error::record(path, "holds another number of labels than there are images"));
    }
    let classes = labels.0.iter().map(|&label| u32::from(label)).collect();
    Ok(Shown { inputs: Inputs::bytes(pixels.size(), pixels.bytes)?, classes })
}

/// What such an artifact says of itself.
pub(super) fn about(artifact: &Artifact) -> Result<About> {
    serde_json::from_value(artifact.about.clone())
        .map_err(|error| Error::record(artifact.folder(), error))
}
