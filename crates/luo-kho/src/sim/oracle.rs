//! What a test looks at: the machine from outside, where no party can look.
//!
//! - A **census** says which frames one party has taken, and for what. Two that are equal leave nothing to explain:
//!   a frame that leaked, or a promise that was not withdrawn, makes them differ.
//! - A **violation** is something that a correct program never even tries. The machine refuses it and keeps record.

use alloc::vec::Vec;

use super::faults::Call;
use super::state::Party;
use crate::{FrameRange, Root, Word};

/// What one party has taken. Made by [`SimKho::census`](super::SimKho::census).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Frames that were handed out or inherited, merged and ascending.
    pub allocated: Vec<FrameRange>,
    /// Those that are preserved.
    pub preserved: Vec<FrameRange>,
    /// Inherited frames that were claimed.
    pub claimed: Vec<FrameRange>,
    /// Files that are attached.
    pub segments: Vec<FrameRange>,
    /// Frames that hold the tracker.
    pub tracker_nodes: u64,
    /// The root.
    pub root: Option<Root>,
}

/// Something that nobody should have tried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Changes memory without owning it: after the seal, after the loss of a swap, or before the commit.
    Change {
        /// Who.
        party: Party,
        /// By which call.
        call: Call,
        /// What the ownership word said.
        word: Word,
    },
    /// Moves the ownership word without a right to that turn.
    Swap {
        /// Who.
        party: Party,
        /// What the word said.
        from: Word,
        /// What it was to say.
        to: Word,
    },
    /// Enters the guest with a right that has gone: the guest would run twice, or on memory that is gone.
    Guest {
        /// The right that was shown.
        shown: Word,
        /// What the ownership word said.
        word: Word,
    },
    /// Uses a carrier of this room out of turn: prepared twice, or not prepared.
    Carrier {
        /// The call.
        call: Call,
    },
}
