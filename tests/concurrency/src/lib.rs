//! Nothing of its own: the models are in `tests`. `cargo xtask concurrency` runs them.
//!
//! - **loom** (`tests/word.rs`) goes through every interleaving, and every order in which memory may be seen, of a few
//!   threads that use the atomics of the crates: the ownership word and the state.
//! - **shuttle** (`tests/lock.rs`) goes through many interleavings of threads that share one orchestrator behind a
//!   lock, as a program with several threads does.
//!
//! A **class** is a race between two uses of the crates; the name of its test begins with it.
//!
//! | class | model |
//! |---|---|
//! | K1 preserve and close | `lock` |
//! | K2 two preserves | `lock`: of one token, of one file |
//! | K3 freeze and register | none: a registry is given away before there is anything to freeze |
//! | K4 two who retrieve | `lock`; two who commit: `word` |
//! | K5 retrieve and finish | `lock` |
//! | K6 abort and prepare | `lock`; revoke and commit: `word` |
//! | K7 a reader beside a writer | `word`: of the image, of the guest's memory, of the state |
//!
//! Surveys of files run on the threads of rayon. Each has its own file by `&mut`, which the compiler checks; that their
//! order does not matter is the promise of `tests/tests/execution_does_not_matter.rs`, and of every seed of the
//! simulation.
