//! A CPU engine that loads, samples, scores and fine-tunes small language models.
