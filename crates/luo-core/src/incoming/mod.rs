//! The far side of an update: adopt, retrieve, commit, finish.
//!
//! ```text
//! Luo::adopt --> Adopted --commit--> Updated --finish--> Luo
//!                 | restore, retrieve    | retrieve
//! ```
//!
//! Everything that an adopter learns and claims is private to it until the commit; another adopter of the same offer
//! starts from the same bytes. One object that cannot be read is set aside, kept and named; the others are not
//! concerned.

mod adopt;
mod arrived;
mod desk;
mod finish;
mod release;
mod retrieve;

pub use adopt::{AdoptError, Adopted};
pub use arrived::{Fate, OrphanReason};
pub(crate) use desk::{DEPTH_MAX, Desk};
pub use finish::{FinishError, Irrevocable, Unclaimed, Updated};
pub use retrieve::{RetrieveError, RetrievedOne, SharedNotRetrieved};
