//! Counters in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) completion_tokens: AtomicU64,
    /// Completions dropped because nobody listened any more.
    pub(crate) cancelled: AtomicU64,
    /// Completions waiting or under way.
    pub(crate) active: AtomicU64,
    /// Scoring requests under way.
    pub(crate) scoring: AtomicU64,
    /// Answers by route (as a template, never as typed) and status.
    answers: Mutex<BTreeMap<(String, u16), u64>>,
}

impl Metrics {
    pub(crate) fn answered(&self, route: &str, status: u16) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((route.to_owned(), status)).or_default() += 1;
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, kind, help, value) in [
            ("prompt_tokens_total", "counter", "Tokens of prompts accepted.", &self.prompt_tokens),
            ("completion_tokens_total", "counter", "Tokens sampled.", &self.completion_tokens),
            ("cancelled_total", "counter", "Completions nobody listened to.", &self.cancelled),
            ("completions_active", "gauge", "Completions waiting or under way.", &self.active),
            ("scores_active", "gauge", "Scoring requests under way.", &self.scoring),
        ] {
            let value = value.load(Relaxed);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "# HELP owlet_{name} {help}\n# TYPE owlet_{name} {kind}\nowlet_{name} {value}"
            );
        }
        let _ = writeln!(
            text,
            "# HELP owlet_requests_total Answers by route and status.\n# TYPE owlet_requests_total counter"
        );
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, status), count) in answers.iter() {
            let _ = writeln!(
                text,
                "owlet_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        text
    }
}
