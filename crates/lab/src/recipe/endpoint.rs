//! A base behind an OpenAI-compatible endpoint: what is asked of it, and within what limits.
//!
//! What decides an answer (endpoint, model, what is trained) goes into step keys; limits do not. The
//! recipe holds the name of the key's environment variable, never the key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{Fault, count, range};

/// A model behind an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Endpoint {
    /// The address up to and with the version, such as `http://127.0.0.1:8080/v1`.
    pub endpoint: String,
    /// The model's name there.
    pub model: String,
    /// Name of the environment variable that holds the key; empty: no key is sent.
    #[serde(default)]
    pub key: String,
    /// Likeliest tokens asked for to read margins; 0: only answers are read.
    #[serde(default = "top_logprobs")]
    pub top_logprobs: usize,
    /// Of fine-tuned teachers and students.
    #[serde(default)]
    pub learning_rate_multiplier: Multipliers,
    /// Most requests under way at once.
    #[serde(default = "requests_at_once")]
    pub requests_at_once: usize,
    /// Most requests begun per minute; 0: no limit.
    #[serde(default)]
    pub requests_per_minute: usize,
    /// Most tokens spent at this endpoint in this workspace, asked, answered and trained on; 0: no
    /// limit.
    #[serde(default)]
    pub max_tokens: u64,
    /// Most money spent at this endpoint in this workspace, by `prices`; 0: no limit.
    #[serde(default)]
    pub max_cost: f64,
    /// Per million tokens, in any currency.
    #[serde(default)]
    pub prices: Prices,
    /// Seconds that one answer may take.
    #[serde(default = "timeout")]
    pub timeout: f64,
    /// Further attempts after an answer that says to come back, or none.
    #[serde(default = "retries")]
    pub retries: usize,
    /// Seconds between two looks at a fine-tuning job.
    #[serde(default = "poll")]
    pub poll: f64,
}

fn top_logprobs() -> usize {
    20
}
fn requests_at_once() -> usize {
    8
}
fn timeout() -> f64 {
    120.0
}
fn retries() -> usize {
    8
}
fn poll() -> f64 {
    5.0
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            model: String::new(),
            key: String::new(),
            top_logprobs: top_logprobs(),
            learning_rate_multiplier: Multipliers::default(),
            requests_at_once: requests_at_once(),
            requests_per_minute: 0,
            max_tokens: 0,
            max_cost: 0.0,
            prices: Prices::default(),
            timeout: timeout(),
            retries: retries(),
            poll: poll(),
        }
    }
}

/// What fine-tuning multiplies the endpoint's own learning rate by; 0 leaves it to the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Multipliers {
    /// Of teachers.
    #[serde(default)]
    pub teacher: f64,
    /// Of students.
    #[serde(default)]
    pub student: f64,
}

/// Prices per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Prices {
    /// Tokens asked.
    #[serde(default)]
    pub prompt: f64,
    /// Tokens answered.
    #[serde(default)]
    pub completion: f64,
    /// Tokens trained on.
    #[serde(default)]
    pub training: f64,
}

impl Endpoint {
    /// Whether its values make sense; it stands as `base` in the recipe.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let fault = |path: &str, reason: &str| Err((path.to_owned(), reason.to_owned()));
        check_address(&self.endpoint)?;
        if self.model.is_empty() {
            return fault("base.model", "is empty, expected the model's name at the endpoint");
        }
        let is_name = |key: &str| {
            key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !key.starts_with(|c: char| c.is_ascii_digit())
        };
        if !is_name(&self.key) || self.key.len() > 128 {
            // The value is not repeated: it may be the key itself.
            return fault(
                "base.key",
                "is no name of an environment variable, such as `OPENAI_API_KEY`; the key itself does not belong into a recipe",
            );
        }
        range("base.top-logprobs", self.top_logprobs as f64, 0.0, 10_000.0)?;
        range("base.requests-at-once", self.requests_at_once as f64, 1.0, 1024.0)?;
        count("base.requests-per-minute", self.requests_per_minute, 0)?;
        range("base.max-cost", self.max_cost, 0.0, 1e9)?;
        let prices = self.prices;
        for (name, price) in [
            ("base.prices.prompt", prices.prompt),
            ("base.prices.completion", prices.completion),
            ("base.prices.training", prices.training),
        ] {
            range(name, price, 0.0, 1e9)?;
        }
        if self.max_cost > 0.0 && prices == Prices::default() {
            return fault(
                "base.max-cost",
                "says nothing without `base.prices`, such as { prompt = 0.1, completion = 0.4, training = 1.5 }",
            );
        }
        range("base.timeout", self.timeout, 0.1, 86_400.0)?;
        range("base.retries", self.retries as f64, 0.0, 1000.0)?;
        range("base.poll", self.poll, 0.01, 3600.0)?;
        let multipliers = self.learning_rate_multiplier;
        range("base.learning-rate-multiplier.teacher", multipliers.teacher, 0.0, 1e4)?;
        range("base.learning-rate-multiplier.student", multipliers.student, 0.0, 1e4)
    }
}

fn check_address(address: &str) -> Result<(), Fault> {
    let fault = |reason: &str| Err(("base.endpoint".to_owned(), reason.to_owned()));
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        return fault("is no address, expected one such as `https://api.openai.com/v1`");
    };
    if rest.contains('@') {
        return fault("holds a user or password; name the key's variable in `base.key` instead");
    }
    if rest.contains(['?', '#', '\\']) || rest.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return fault("holds more than host, port and path, expected `https://HOST[:PORT]/v1`");
    }
    Ok(())
}
