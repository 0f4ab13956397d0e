//! Numbered programs, to be read in order, in the `examples` folder of this package; and the one kind of file that
//! the first two carry.
//!
//! A [`Note`] is a text that several parts of a program share. [`NoteHandler`] carries notes: the text goes into a
//! preserved array, and the payload is that array's name. The third program builds such a handler step by step.

mod note;

pub use note::{Note, NoteHandler};

/// The project's README: its example is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
