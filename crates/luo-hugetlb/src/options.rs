//! What an embedder can choose: when to copy, how much to reserve, and whether pages are freed while they are copied.
//!
//! - The **head room** is what prepare reserves beyond the pages that are populated then. Freeze takes no memory: a
//!   file that has grown beyond it is refused.
//! - **Freeing** copies a file without having room for it twice: each huge page is freed as soon as it was copied. It
//!   begins in freeze, and cannot be taken back for certain: somebody else may take the freed pages.

use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroU64;

use luo_core::CopyWhen;
use luo_kho::ByteLen;

use crate::copy::Strandings;
use crate::{Attributes, PageSize, Place, Port, Seals};

/// Pages that are reserved beyond the populated ones: a share of them, and at least so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRoom {
    /// One for every so many populated pages.
    pub one_in: NonZeroU64,
    /// No fewer than this.
    pub at_least: u64,
}

/// Where pages go that are freed while they are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeTo {
    /// To their pool, from where the copy takes them again.
    Pool,
    /// On to common memory, from where the frames of the copy are taken: while pages are freed, no more than one is
    /// there twice. The pool shrinks, which needs the right to configure it; where that lacks, pages stay in the pool.
    /// Whoever makes the file again lets the pool grow as far as pages are missing; whoever takes it back, as far as it
    /// had shrunk. For that moment common memory needs room for the pages as well: nothing may be taken from the
    /// stand-in before the commit. Where it has no room, the retrieve is refused as pages are short.
    CommonMemory,
}

/// Which way bytes are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Out of a file.
    Saving,
    /// Into a new file.
    Making,
    /// Into the file that they came from.
    TakingBack,
}

/// How far one file is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Which.
    pub place: &'a Place,
    /// Which way.
    pub direction: Direction,
    /// Bytes that are done.
    pub done: ByteLen,
    /// Bytes in all.
    pub of: ByteLen,
}

type Listener = Arc<dyn Fn(Progress<'_>) + Send + Sync>;

/// All choices.
pub(crate) struct Options<P: Port> {
    pub(crate) copy: CopyWhen,
    pub(crate) head_room: HeadRoom,
    pub(crate) freeing: Option<FreeTo>,
    pub(crate) strandings: Strandings<P>,
    pub(crate) progress: Option<Listener>,
    /// The page sizes whose pages are counted.
    pub(crate) counted: alloc::vec::Vec<PageSize>,
}

impl HeadRoom {
    /// One in 16, at least one.
    pub const DEFAULT: Self = Self {
        one_in: match NonZeroU64::new(16) {
            Some(share) => share,
            None => unreachable!(),
        },
        at_least: 1,
    };

    /// For how many pages frames are reserved, if so many are populated: no more than the file can ever have.
    pub(crate) fn reserve(self, populated: u64, page_size: PageSize, attributes: &Attributes) -> u64 {
        let reserve = populated.saturating_add((populated / self.one_in).max(self.at_least));
        let sealed = attributes.seals.contains(Seals::GROW);
        if sealed { reserve.min(page_size.pages(attributes.size)) } else { reserve }
    }
}

impl Default for HeadRoom {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl<P: Port> Options<P> {
    pub(crate) fn new(strandings: Strandings<P>) -> Self {
        Self {
            copy: CopyWhen::default(),
            head_room: HeadRoom::DEFAULT,
            freeing: None,
            strandings,
            progress: None,
            counted: alloc::vec::Vec::new(),
        }
    }

    pub(crate) fn tell(&self, progress: Progress<'_>) {
        if let Some(listener) = &self.progress {
            listener(progress);
        }
    }
}

impl<P: Port> fmt::Debug for Options<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("copy", &self.copy)
            .field("head_room", &self.head_room)
            .field("freeing", &self.freeing)
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}
