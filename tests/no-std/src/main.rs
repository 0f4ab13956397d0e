//! A program without std: its own allocator, its own panic handler, and an update with the three crates.
//!
//! It shows what a kernel or a firmware would have to bring along: the **edge** (where memory comes from, how to say
//! something, how to die) and nothing else. The target is the ordinary one of the machine, so that the program can
//! be run where it is built; from the C library it takes `write` and `abort`.
#![no_std]
#![no_main]

extern crate alloc;

#[expect(unsafe_code, reason = "the edge: a global allocator and calls into C, which safe Rust cannot write")]
mod edge;
#[path = "../../../examples/examples/04_your_own_kernel/kernel.rs"]
mod kernel;
mod pages;
mod update;
