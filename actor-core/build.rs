//! Empty on purpose: Cargo asks for a build script wherever `links` stands.
fn main() {}
