//! PEFT adapter folders.

/// What marks a folder as an adapter.
pub(super) const CONFIG: &str = "adapter_config.json";
