//! What `#[actor]` generates offends no lint that a user may deny.
#![forbid(unsafe_code)]
#![deny(warnings)]
#![deny(future_incompatible, keyword_idents, let_underscore, nonstandard_style, rust_2018_idioms, unused)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
#![deny(
    ambiguous_negative_literals,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    impl_trait_redundant_captures,
    macro_use_extern_crate,
    meta_variable_misuse,
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    non_ascii_idents,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unused_import_braces,
    unused_lifetimes,
    unused_macro_rules,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
#![deny(
    clippy::absolute_paths,
    clippy::allow_attributes,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::default_trait_access,
    clippy::empty_structs_with_brackets,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::expect_used,
    clippy::field_scoped_visibility_modifiers,
    clippy::impl_trait_in_params,
    clippy::implicit_return,
    clippy::indexing_slicing,
    clippy::integer_division,
    clippy::let_underscore_must_use,
    clippy::let_underscore_untyped,
    clippy::min_ident_chars,
    clippy::missing_docs_in_private_items,
    clippy::missing_inline_in_public_items,
    clippy::missing_trait_methods,
    clippy::module_name_repetitions,
    clippy::multiple_inherent_impl,
    clippy::panic,
    clippy::pattern_type_mismatch,
    clippy::pub_use,
    clippy::question_mark_used,
    clippy::ref_patterns,
    clippy::same_name_method,
    clippy::shadow_reuse,
    clippy::shadow_same,
    clippy::shadow_unrelated,
    clippy::single_call_fn,
    clippy::single_char_lifetime_names,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::str_to_string,
    clippy::todo,
    clippy::undocumented_unsafe_blocks,
    clippy::unreachable,
    clippy::unseparated_literal_suffix,
    clippy::unwrap_used,
    clippy::used_underscore_items,
    clippy::wildcard_enum_match_arm
)]

use actor_core::{Context, Failure, actor};

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MailError;

impl core::fmt::Display for MailError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        return formatter.write_str("no mail");
    }
}

/// Welcomes somebody.
///
/// # Errors
///
/// There is no mail.
#[actor(queue = "mail", max_retries = 3, time_limit = "none", retry_if = |_| return true)]
pub async fn welcome(
    recipient: String,
    cx: &Context,
    body: &str,
    numbers: &[u8],
    #[state] pool: &Vec<u8>,
    four: u8,
    five: u8,
    six: u8,
    seven: u8,
    #[default = 1] eight: u8,
    #[default = ""] nine: &str,
) -> Result<String, MailError> {
    drop((recipient, cx, body, numbers, pool, four, five, six, seven, eight, nine));
    return Err(MailError);
}

/// Declared here, implemented below.
#[actor]
pub async fn process_video(id: u64, title: &str) -> Result<(), Failure>;

/// The worker's part.
mod worker {
    use super::*;

    /// Processes.
    ///
    /// # Errors
    ///
    /// Never.
    #[actor(implements = super::process_video)]
    pub(super) async fn process_video(id: u64, title: &str) -> Result<(), Failure> {
        let _: (u64, &str) = (id, title);
        return Ok(());
    }
}

/// Blocks.
#[actor]
fn blocks() -> Result<(), Failure> {
    return Ok(());
}

/// Takes nothing.
#[actor]
pub(crate) async fn quiet() {}

/// Old.
#[deprecated = "write `quiet`"]
#[actor]
pub fn old(number: u8) {
    let _: u8 = number;
}

#[test]
fn names_are_used() {
    let _: (welcome, process_video) = (welcome, process_video);
    drop(worker::process_video(1, ""));
}
