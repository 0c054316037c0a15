//! The window: runs, rows, models and lineage of a workspace, as pages with JSON twins.
