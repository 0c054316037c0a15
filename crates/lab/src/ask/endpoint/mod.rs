//! Models behind an OpenAI-compatible endpoint: asked, fine-tuned, and never asked twice.
//!
//! [`Access`] is what steps get: a way to every endpoint that the plan names, by its address, each with its
//! key, its limits and the answers that this workspace has. Behind it, `exchange` sends one request until it is answered,
//! `answers` keeps what was answered, `limits` counts what may be sent, `wire` reads what came back,
//! `batch` asks many things at once and `job` fine-tunes. Nothing here knows experiments; what is asked
//! is decided by steps. Invariant: a request that was answered is on disk before anybody reads the
//! answer, and is never sent again.

mod answers;
mod asked;
mod batch;
mod client;
mod exchange;
mod job;
mod limits;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::model::spec::Endpoint;

pub(crate) use asked::Remote;
pub use asked::capabilities;
#[cfg(test)]
use batch::ask;
#[cfg(test)]
use client::ChatRequest;
use client::Client;
#[cfg(test)]
use job::{Training, fine_tune};

/// The folder in the workspace; hidden, because artifacts and steps are the workspace's own affair.
const FOLDER: &str = ".remote";

/// Gives the value of a secret by its name, or nothing if there is none.
pub type Secrets = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A key: never shown, not even by accident.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[key]")
    }
}

impl Secret {
    /// `text` without the key, should the other side repeat it.
    fn taken_out_of(&self, text: String) -> String {
        if text.contains(&self.0) { text.replace(&self.0, "[key]") } else { text }
    }
}

/// Ways to the endpoints of one plan.
pub struct Access {
    endpoints: Vec<Endpoint>,
    secrets: Secrets,
    folder: PathBuf,
    clients: Mutex<BTreeMap<String, Arc<Client>>>,
}

impl Access {
    /// To `endpoints`, with answers kept below `root`.
    pub fn new(endpoints: &[Endpoint], secrets: &Secrets, root: &Path) -> Self {
        Self {
            endpoints: endpoints.to_vec(),
            secrets: Arc::clone(secrets),
            folder: root.join(FOLDER),
            clients: Mutex::new(BTreeMap::new()),
        }
    }

    /// The client for `address`, which must be one the plan names.
    pub(crate) fn client(&self, address: &str) -> Result<Arc<Client>> {
        let endpoint = self.endpoints.iter().find(|known| known.endpoint == address);
        let endpoint = endpoint.ok_or_else(|| {
            Error::record("configuration", "names an endpoint that the plan does not")
        })?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(address) {
            return Ok(Arc::clone(client));
        }
        let key = if endpoint.key.is_empty() {
            None
        } else {
            let key = (self.secrets)(&endpoint.key).filter(|key| !key.is_empty());
            let missing = || Error::Remote {
                endpoint: address.to_owned(),
                status: None,
                reason: format!(
                    "the environment variable `{}` (`{}.key`) is not set; set it to the endpoint's key",
                    endpoint.key, endpoint.at
                ),
            };
            let key = key.ok_or_else(missing)?;
            if key.chars().any(|c| c.is_control() || !c.is_ascii()) {
                return Err(Error::Remote {
                    endpoint: address.to_owned(),
                    status: None,
                    reason: format!(
                        "the environment variable `{}` (`{}.key`) holds what no header may, such as a line break",
                        endpoint.key, endpoint.at
                    ),
                });
            }
            Some(Secret(key))
        };
        let client = Arc::new(Client::open(endpoint, key, &self.folder)?);
        clients.insert(address.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}
