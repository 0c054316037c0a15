//! Whether what a recipe says of an endpoint makes sense.

use super::check::{Fault, count, range};
use crate::model::spec::{Endpoint, Prices};

impl Endpoint {
    /// Whether its values make sense; `at` is where it stands in the recipe.
    pub(crate) fn check(&self, at: &str) -> Result<(), Fault> {
        let path = |key: &str| format!("{at}.{key}");
        let fault = |key: &str, reason: String| Err((path(key), reason));
        self.check_address(at)?;
        if self.model.is_empty() {
            return fault(
                "model",
                "is empty, expected the model's name at the endpoint".to_owned(),
            );
        }
        let is_name = |key: &str| {
            key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !key.starts_with(|c: char| c.is_ascii_digit())
        };
        if !is_name(&self.key) || self.key.len() > 128 {
            // The value is not repeated: it may be the key itself.
            return fault(
                "key",
                "is no name of an environment variable, such as `OPENAI_API_KEY`; the key itself does not belong into a recipe".to_owned(),
            );
        }
        range(&path("top-logprobs"), self.top_logprobs as f64, 0.0, 10_000.0)?;
        range(&path("requests-at-once"), self.requests_at_once as f64, 1.0, 1024.0)?;
        count(&path("requests-per-minute"), self.requests_per_minute, 0)?;
        range(&path("max-cost"), self.max_cost, 0.0, 1e9)?;
        let prices = self.prices;
        range(&path("prices.prompt"), prices.prompt, 0.0, 1e9)?;
        range(&path("prices.completion"), prices.completion, 0.0, 1e9)?;
        range(&path("prices.training"), prices.training, 0.0, 1e9)?;
        if self.max_cost > 0.0 && prices == Prices::default() {
            let prices = path("prices");
            let reason = format!(
                "says nothing without `{prices}`, such as {{ prompt = 0.1, completion = 0.4, training = 1.5 }}"
            );
            return fault("max-cost", reason);
        }
        range(&path("timeout"), self.timeout, 0.1, 86_400.0)?;
        range(&path("retries"), self.retries as f64, 0.0, 1000.0)?;
        range(&path("poll"), self.poll, 0.01, 3600.0)?;
        let multipliers = self.learning_rate_multiplier;
        range(&path("learning-rate-multiplier.teacher"), multipliers.teacher, 0.0, 1e4)?;
        range(&path("learning-rate-multiplier.student"), multipliers.student, 0.0, 1e4)
    }

    fn check_address(&self, at: &str) -> Result<(), Fault> {
        let fault = |reason: String| Err((format!("{at}.endpoint"), reason));
        let address = &self.endpoint;
        let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"));
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
            return fault(
                "is no address, expected one such as `https://api.openai.com/v1`".to_owned(),
            );
        };
        if rest.contains('@') {
            return fault(format!(
                "holds a user or password; name the key's variable in `{at}.key` instead"
            ));
        }
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "?#\\".contains(c);
        if rest.chars().any(is_odd) {
            return fault(
                "holds more than host, port and path, expected `https://HOST[:PORT]/v1`".to_owned(),
            );
        }
        Ok(())
    }
}
