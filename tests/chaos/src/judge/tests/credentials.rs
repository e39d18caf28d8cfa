//! No connection has a user whose time is over.

use super::super::REPLACED;
use super::*;
use crate::history::What;

#[test]
fn a_connection_that_still_has_a_replaced_user_breaks_it() {
    let with = |connections| {
        let mut case = baseline();
        case.harness(s(200), What::Replaced { user: "app-1".to_owned(), connections });
        case
    };
    holds(with(0));
    breaks(with(1), REPLACED, "1 connections still have app-1");
}
