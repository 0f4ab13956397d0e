//! The two contracts of this room: [`Memory`], frames that can be preserved, and [`Kho`], memory that changes
//! hands.
//!
//! [`Memory`] is all that structures and file handlers see: they allocate, preserve, read and write, and on the
//! far side they reclaim. [`Kho`] adds what only the orchestrator does: it names one root and moves the ownership
//! word. Backends implement both.

use core::any::Any;

use crate::{FrameCount, FrameRange, KhoError, PhysAddr, Word};

/// Frames that can outlive their user.
///
/// Every method that returns an error changed nothing. Undoing exactly what one call did needs no memory and so
/// cannot fail: [`unpreserve`](Self::unpreserve) of a range as it was preserved, [`free`](Self::free) of a range
/// as it was allocated, [`forgo`](Self::forgo) of a range as it was reclaimed.
///
/// # Who may change what
///
/// Memory is changed by the running owner alone. From the offer on, and before the commit on the far side, all
/// that changes frames or their preservation is refused with [`KhoError::NotOwner`]; claims are private to the
/// adopter and are allowed.
///
/// # Reading
///
/// [`read`](Self::read) lends plain slices, and [`write`](Self::write) wants `&mut self`: who holds a slice cannot
/// be written under. The bytes may have been written by another program and are to be treated as hostile.
pub trait Memory {
    /// Every frame that may be named at all.
    fn span(&self) -> FrameRange;

    /// Regions in which nothing can be preserved, because the next kernel boots from them. Ascending, disjoint.
    fn scratch(&self) -> &[FrameRange];

    /// Takes at least one and at most `want` neighbouring free frames, zeroed, never in scratch.
    ///
    /// A backend gives as many as it can find in one piece; who needs more asks again.
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfFrames`] if none is free or `want` is zero, [`KhoError::NotOwner`].
    fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError>;

    /// Gives allocated frames back.
    ///
    /// # Errors
    ///
    /// [`KhoError::StillPreserved`], [`KhoError::NotAllocated`], [`KhoError::OutOfRange`],
    /// [`KhoError::NotOwner`].
    fn free(&mut self, range: FrameRange) -> Result<(), KhoError>;

    /// Promises allocated frames to whoever comes next.
    ///
    /// # Errors
    ///
    /// [`KhoError::AlreadyPreserved`] if exactly these are preserved already, [`KhoError::Overlap`] if some are,
    /// [`KhoError::InScratch`], [`KhoError::OutOfRange`], [`KhoError::NotAllocated`], [`KhoError::OutOfFrames`] if
    /// no frame is left to record it in, [`KhoError::NotOwner`].
    fn preserve(&mut self, range: FrameRange) -> Result<(), KhoError>;

    /// Withdraws the promise. The frames stay allocated.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotPreserved`], [`KhoError::NotReclaimed`] for inherited frames that nobody has reclaimed,
    /// [`KhoError::OutOfRange`], [`KhoError::NotOwner`]. Taking a part out of what was preserved as a whole may
    /// need memory: [`KhoError::OutOfFrames`].
    fn unpreserve(&mut self, range: FrameRange) -> Result<(), KhoError>;

    /// Whether every frame of `range` is preserved.
    fn is_preserved(&self, range: FrameRange) -> bool;

    /// Lends the bytes from the start of `range` on, as far as the backend holds them in one piece: at least one
    /// frame, at most the whole range. Every backend that can gives the whole range.
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfRange`], [`KhoError::NotAllocated`].
    fn read(&self, range: FrameRange) -> Result<&[u8], KhoError>;

    /// Changes bytes. Each aligned 8-byte word of `bytes` is one persisted store, made in ascending order; a crash
    /// may come between any two.
    ///
    /// # Errors
    ///
    /// [`KhoError::Unaligned`] unless `at` and the length are multiples of 8, [`KhoError::OutOfRange`],
    /// [`KhoError::NotAllocated`], [`KhoError::NotOwner`].
    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError>;

    /// Claims inherited frames for this adopter. Private until the commit: another adopter of the same offer
    /// starts from nothing claimed.
    ///
    /// # Errors
    ///
    /// [`KhoError::AlreadyReclaimed`] if some were claimed before in this adoption, [`KhoError::NotPreserved`] if
    /// some were not handed over, [`KhoError::OutOfRange`].
    fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError>;

    /// Gives the memory of a file frame numbers, without moving it: a **segment**. What a file is, the backend says
    /// (a descriptor, a simulated file); the room of each backend has a typed way to call this. A segment crosses if
    /// the carrier takes its file across. It can be reclaimed and forgone like preserved frames; it cannot be
    /// allocated, freed, preserved or written through this trait.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotAttachable`] if this is no file of the backend or the backend has no segments,
    /// [`KhoError::NotOwner`], [`KhoError::OutOfFrames`] if no frame numbers are left, [`KhoError::Host`].
    fn attach(&mut self, file: &dyn Any, frames: FrameCount) -> Result<FrameRange, KhoError>;

    /// Takes the frame numbers of a segment back, and lets go of its file.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotAttached`] unless `segment` is exactly one, [`KhoError::NotOwner`].
    fn detach(&mut self, segment: FrameRange) -> Result<(), KhoError>;

    /// The file behind a segment, as this side reaches it.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotAttached`] unless `segment` is exactly one.
    fn attached(&self, segment: FrameRange) -> Result<&dyn Any, KhoError>;

    /// Undoes [`reclaim`](Self::reclaim): the frames are inherited and unclaimed again.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotReclaimed`] if some were not claimed, [`KhoError::OutOfRange`].
    fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError>;
}

/// The name of the one structure from which everything that was handed over can be found: a number that the
/// layer above gives meaning to, conventionally the address of its first frame. Never 0.
pub type Root = core::num::NonZeroU64;

/// How many updates lie behind this memory: 0 for memory that was never handed over.
pub type Generation = u64;

/// Memory that changes hands: [`Memory`] plus one root and the ownership word.
///
/// The protocol on the word is written once, in [`ownership`](crate::ownership); a backend only swaps it.
pub trait Kho: Memory {
    /// How many handovers were committed before this program came to own, or asked to own, the memory.
    fn generation(&self) -> Generation;

    /// Names the root, or takes the name back. One persisted store; the layer above makes it last.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotOwner`], [`KhoError::Host`].
    fn publish(&mut self, root: Option<Root>) -> Result<(), KhoError>;

    /// The root as it stands: the inherited one on the far side, the published one on the near side.
    fn root(&self) -> Option<Root>;

    /// Every preserved run, ascending and merged.
    ///
    /// # Errors
    ///
    /// [`KhoError::Tracker`] if the record cannot be read.
    fn preserved(&self) -> Result<alloc::vec::Vec<FrameRange>, KhoError>;

    /// Every segment, ascending.
    fn segments(&self) -> alloc::vec::Vec<FrameRange>;

    /// The ownership word, read afresh.
    ///
    /// # Errors
    ///
    /// [`KhoError::Host`], [`KhoError::Crashed`].
    fn word(&self) -> Result<Word, KhoError>;

    /// Replaces the ownership word by `to` if it still says `from`, in one step that all who can see it agree on.
    ///
    /// A backend does what belongs to the turn in the same call, on the side of the swap where it is safe: after
    /// `Running -> Offered` this side writes nothing more; after `Offered -> Running` by the adopter, it may.
    /// Which turns are legal is not the backend's concern: only [`ownership`](crate::ownership) calls this.
    ///
    /// # Errors
    ///
    /// [`KhoError::SwapLost`] with what was found, [`KhoError::Host`], [`KhoError::Crashed`].
    fn swap(&mut self, from: Word, to: Word) -> Result<(), KhoError>;
}
