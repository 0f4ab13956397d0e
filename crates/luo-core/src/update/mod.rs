//! The near side of an update: prepare, freeze, hand over, each a value that undoes itself when dropped.
//!
//! ```text
//! Luo --prepare--> Prepared --freeze--> Frozen --hand_over--> Departed
//!  ^                 |  ^                 |
//!  +----- drop ------+  +--- unfreeze ----+
//! ```

mod dependencies;
mod freeze;
mod hand_over;
mod prepare;
mod records;

pub use freeze::Frozen;
pub use prepare::Prepared;

/// Why the inside of a guard can be unwrapped.
const INSIDE: &str = "the work leaves only through a door that consumes the guard";
