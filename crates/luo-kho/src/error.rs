//! What the backends refuse, and why.

use crate::{ByteLen, FrameCount, FrameRange, PhysAddr, Word};

/// Why a call on [`Memory`](crate::Memory) or [`Kho`](crate::Kho) did nothing.
///
/// A call that returns one of these changed nothing: there is no partial effect and no silent success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KhoError {
    /// Names frames that the backend does not have.
    #[error("{range} lie outside the memory of this machine, {span}")]
    OutOfRange {
        /// What was named.
        range: FrameRange,
        /// All that exists.
        span: FrameRange,
    },
    /// Scratch is where the next kernel boots: nothing in it survives.
    #[error("{range} reach into scratch, {scratch}, which the next kernel boots from")]
    InScratch {
        /// What was named.
        range: FrameRange,
        /// The scratch region it meets.
        scratch: FrameRange,
    },
    /// No free run of this length is left.
    #[error("out of frames: no free run of {want}")]
    OutOfFrames {
        /// How many would have been welcome.
        want: FrameCount,
    },
    /// Frees or preserves frames of which some were never allocated.
    #[error("{range} are not all allocated")]
    NotAllocated {
        /// What was named.
        range: FrameRange,
    },
    /// Preserves what is preserved.
    #[error("{range} are preserved already")]
    AlreadyPreserved {
        /// What was named.
        range: FrameRange,
    },
    /// Preserves a range of which some frames are preserved already.
    #[error("{range} overlap {with}, which are preserved already")]
    Overlap {
        /// What was named.
        range: FrameRange,
        /// The first preserved run that it meets.
        with: FrameRange,
    },
    /// Unpreserves or reclaims frames of which some are not preserved.
    #[error("{range} are not all preserved")]
    NotPreserved {
        /// What was named.
        range: FrameRange,
    },
    /// Frees what is preserved.
    #[error("{range} are still preserved and cannot be freed")]
    StillPreserved {
        /// What was named.
        range: FrameRange,
    },
    /// Reclaims frames of which some were reclaimed before, in this adoption.
    #[error("{range} were reclaimed already in this adoption")]
    AlreadyReclaimed {
        /// What was named.
        range: FrameRange,
    },
    /// Unpreserves or forgoes inherited frames that nobody reclaimed.
    #[error("{range} were inherited and have not been reclaimed")]
    NotReclaimed {
        /// What was named.
        range: FrameRange,
    },
    /// The backend has no segments, or this is no file of its own.
    #[error("the memory of this file cannot be attached: {why}")]
    NotAttachable {
        /// Why not.
        why: &'static str,
    },
    /// A descriptor is given along under a name that is none.
    #[error("a name has 1 to 64 bytes, and no zero among them")]
    BadName,
    /// Names what is not a segment, or not the whole of one.
    #[error("{range} are not a segment")]
    NotAttached {
        /// What was named.
        range: FrameRange,
    },
    /// Stores are whole, aligned 8-byte words.
    #[error("a store of {len} at {at} is not made of aligned 8-byte words")]
    Unaligned {
        /// Where.
        at: PhysAddr,
        /// How long.
        len: ByteLen,
    },
    /// Only the owner changes memory: not before the commit, and not after the root was sealed.
    #[error("refused while the ownership word says {word}: only the running owner changes memory")]
    NotOwner {
        /// What the word said.
        word: Word,
    },
    /// There is nothing to adopt.
    #[error("nothing is on offer: the ownership word says {word}")]
    NotOffered {
        /// What the word said.
        word: Word,
    },
    /// Somebody else moved the ownership word first.
    #[error("the ownership word says {found}, not {expected}: somebody else moved it first")]
    SwapLost {
        /// What the caller believed.
        expected: Word,
        /// What the word says.
        found: Word,
    },
    /// The ownership word holds what no program of this project wrote.
    #[error("the ownership word says {bits:#018x}, which nobody wrote")]
    BadWord {
        /// What stands there.
        bits: u64,
    },
    /// The record of preserved memory is damaged.
    #[error("the set of preserved frames is damaged: {0}")]
    Tracker(#[from] crate::tracker::TrackerError),
    /// The host refused a call.
    #[error("{call} failed on the host with errno {errno}")]
    Host {
        /// The call.
        call: &'static str,
        /// The host's error number.
        errno: i32,
    },
    /// The simulated machine was told to fail this call.
    #[error("call {nth} ({call}) failed because the simulated machine was told so")]
    Injected {
        /// The call.
        call: &'static str,
        /// Which one of all calls, from 0.
        nth: u64,
    },
    /// The simulated machine was told that this side dies here; nothing that it does has an effect any more.
    #[error("this side of the simulated machine is dead")]
    Crashed,
}

/// Why a structure in preserved memory is not believed. The bytes were written by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadBlock {
    /// The block does not start with the magic of its kind.
    #[error("{at} does not hold a {what}: its magic is {found:#010x}")]
    Magic {
        /// What was looked for.
        what: &'static str,
        /// Where.
        at: PhysAddr,
        /// What stood there.
        found: u32,
    },
    /// A version that this build does not read.
    #[error("the {what} at {at} has version {found}, which this build does not read")]
    Version {
        /// What was looked for.
        what: &'static str,
        /// Where.
        at: PhysAddr,
        /// What stood there.
        found: u16,
    },
    /// The checksum over the block does not agree with its bytes.
    #[error("the {what} at {at} has checksum {found:#010x}, its bytes have {computed:#010x}")]
    Checksum {
        /// What was looked for.
        what: &'static str,
        /// Where.
        at: PhysAddr,
        /// What stood there.
        found: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A field says something that cannot be.
    #[error("the {what} at {at} is impossible: {why}")]
    Impossible {
        /// What was looked for.
        what: &'static str,
        /// Where.
        at: PhysAddr,
        /// Which field, and why it cannot be so.
        why: &'static str,
    },
}

/// Why a structure in preserved memory could not be made, read or given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The backend refused.
    #[error(transparent)]
    Kho(#[from] KhoError),
    /// The bytes are not what they should be.
    #[error(transparent)]
    Bad(#[from] BadBlock),
    /// An index or a length beyond the structure.
    #[error("bytes {from}..{to} lie outside a structure of {len}")]
    OutOfBounds {
        /// First byte.
        from: u64,
        /// One past the last byte.
        to: u64,
        /// The structure's length.
        len: ByteLen,
    },
    /// A length of 0, or one that no chain can hold.
    #[error("a structure of {len} cannot be made: {why}")]
    BadLength {
        /// What was asked for.
        len: ByteLen,
        /// Why not.
        why: &'static str,
    },
}
