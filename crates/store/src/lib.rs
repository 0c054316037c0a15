//! Content-addressed artifacts, steps, runs and lineage: files are the truth.
