//! One mistake is one error, at the token to change, that says what to write instead.
//!
//! The expected texts are those of the compiler that `rust-version` names.

#[test]
fn each_mistake_is_reported_where_it_is_made() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
