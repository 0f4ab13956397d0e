//! The crate's only unsafe code: memory that other processes map too, and processes that share memory.
//!
//! - A [`Window`] shows the bytes of a memfd as a slice, and stores whole words.
//! - A [`WordPage`] shows the ownership word as an atomic.
// UNSAFETY: shared mappings hand out references into memory that the compiler does not own, and a guardian shares its
// address space with the process that it guards. No safe interface exists for either.
#![expect(unsafe_code, reason = "mappings shared between processes, and a process that shares a mapping")]

mod raw;
mod window;

pub(super) use raw::peer_uid;
pub(super) use window::{Window, WordPage};
