//! The whole way of an adopter through memory that somebody has edited, tracker and all: it never panics, and what it
//! sees is what was written, unless checksums were made right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use luo_fuzz::{Edit, offer};
use luo_tests::hostile::take_believing;

fuzz_target!(|edits: Vec<Edit>| {
    let offered = offer();
    let edits = edits.get(..edits.len().min(32)).unwrap_or_default();
    let fork = offered.edited(edits);
    let believed = edits.iter().any(|edit| edit.sealed);
    let _ = take_believing(&fork, |seen| {
        assert!(believed || offered.written.contains(seen), "{seen:?} was not written");
    });
});
