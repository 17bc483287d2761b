//! Helper functions in WGSL that the pass calls.
