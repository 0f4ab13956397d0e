//! The crate's only unsafe code: memory that other processes map too, and processes that share memory.
//!
//! - A [`Window`] shows the bytes of a memfd as a slice, and stores whole words.
//! - A [`WordPage`] shows the ownership word as an atomic.
//! - A [`Program`] is what exec takes; [`Inherited`] is what a program that was started by exec finds.
//! - A [`Guardian`] is a process in the same address space.
// UNSAFETY: shared mappings hand out references into memory that the compiler does not own, and a guardian shares its
// address space with the process that it guards. No safe interface exists for either.
#![expect(unsafe_code, reason = "mappings shared between processes, and a process that shares a mapping")]

mod guardian;
mod program;
mod raw;
mod signals;
mod window;

pub(super) use guardian::{Guardian, Mishap, Watch, reap};
pub(super) use program::{Inherited, Program};
pub(super) use raw::{all_close_on_exec, closes_on_exec, peer_uid, set_closes_on_exec};
pub(super) use signals::{Disposition, dispose, ignored, set_mask};
pub(super) use window::{Window, WordPage};
