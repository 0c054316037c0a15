//! The OpenAI-compatible API over local models.
