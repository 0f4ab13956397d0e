//! What the targets have in common: an **offer** that is made once, and **edits** of its bytes.
//!
//! Each target is one file in `fuzz_targets`; its first paragraph says what is fuzzed and what has to hold. A checksum
//! that has to be guessed keeps a fuzzer out, so edits can be sealed: the checksum is made right again.

mod array;
mod offer;

pub use array::{probe, repair};
pub use offer::{Edit, Offered, offer};
