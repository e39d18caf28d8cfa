//! Breaks each rule of the protocol in turn, and shows the shortest way to what comes of it.
#![allow(clippy::print_stdout)] // It is what it is for.

use model::following;
use model::rules::Broken;

fn main() {
    for broken in Broken::ALL {
        println!("{broken:?}: {}", broken.text());
        let promise = broken.breaks();
        match broken.protocol().shortest(promise, 20) {
            Some(trace) => println!("{trace}\n"),
            None => println!("not caught: {promise}\n"),
        }
    }
    for broken in following::rules::Broken::ALL {
        println!("{broken:?}: {}", broken.text());
        let promise = broken.breaks();
        match broken.machine().shortest(promise, 20) {
            Some(trace) => println!("{trace}\n"),
            None => println!("not caught: {promise}\n"),
        }
    }
}
