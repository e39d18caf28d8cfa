//! One mistake is one error, at the token to change, that says what to write instead.
//!
//! The expected texts are those of the compiler that `rust-version` names.

#[test]
fn each_mistake_is_reported_where_it_is_made() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    if cfg!(feature = "cron") {
        cases.compile_fail("tests/ui/cron/*.rs");
    }
}
