//! The Redis broker of `actor-core`.
