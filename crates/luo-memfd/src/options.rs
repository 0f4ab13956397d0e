//! What an embedder can choose: when to copy, how much to reserve, with how many threads, and who knows what was
//! written.
//!
//! - The **head room** is what prepare reserves beyond the pages that are populated then. Freeze takes no memory: a
//!   file that has grown beyond it is refused.
//! - A **dirty log** says which pages were written. With one, prepare copies while the guest runs, again and again what
//!   was written meanwhile, and freeze copies the last few pages. Without one all copying lies within freeze.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroUsize;
use core::ops::Range;

use luo_core::{CopyWhen, Refusal};
use luo_kho::ByteLen;

use crate::{Attributes, Name, Seals};

/// Frames that are reserved beyond the populated pages: a share of them, and at least so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRoom {
    /// One frame for every so many populated pages.
    pub one_in: NonZeroUsize,
    /// No fewer than this.
    pub at_least: u64,
}

impl HeadRoom {
    /// One in 16, at least 64: 256 KiB for a small file, 1 GiB for a file of 16 GiB.
    pub const DEFAULT: Self = Self {
        one_in: match NonZeroUsize::new(16) {
            Some(share) => share,
            None => unreachable!(),
        },
        at_least: 64,
    };

    /// How many frames are reserved for a file of which so many pages are populated: no more than it can ever have.
    pub(crate) fn reserve(self, populated: u64, attributes: &Attributes) -> u64 {
        let share = populated / ByteLen::of(self.one_in.get()).get();
        let reserve = populated.saturating_add(share.max(self.at_least));
        if attributes.seals.contains(Seals::GROW) { reserve.min(attributes.pages()) } else { reserve }
    }
}

impl Default for HeadRoom {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Who knows which pages of a file were written: one for one file, from its making to its drop.
///
/// It has to name every page whose contents may have changed, in whatever way: by a guest, by a system call, or because
/// a hole was made of it. KVM's dirty log knows only the first; a VMM adds what its own devices do.
pub trait DirtyLog: Send {
    /// Tells `dirty` the pages that were written since the log was made, or since the last call: ranges of page numbers
    /// in any order, overlapping or not.
    ///
    /// # Errors
    ///
    /// A refusal stops prepare or freeze. What was told before it counts as dirty.
    fn drain(&mut self, dirty: &mut dyn FnMut(Range<u64>)) -> Result<(), Refusal>;
}

type LogOf<F> = Arc<dyn Fn(&F) -> Option<Box<dyn DirtyLog>> + Send + Sync>;

/// Where dirty logs come from.
pub(crate) enum DirtySource<F> {
    /// Nowhere.
    None,
    /// From the embedder, who makes one for a file whose writes can be known from now on.
    Given(LogOf<F>),
}

impl<F> Clone for DirtySource<F> {
    fn clone(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Given(log_of) => Self::Given(Arc::clone(log_of)),
        }
    }
}

impl<F> fmt::Debug for DirtySource<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Given(_) => "Given",
        })
    }
}

/// Which way bytes are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Out of a file, into preserved memory.
    Saving,
    /// Out of preserved memory, into a new file.
    Making,
}

/// How far one piece of copying is: a whole file, or the pages of one round.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file's name.
    pub name: &'a Name,
    /// Which way.
    pub direction: Direction,
    /// Bytes that are done.
    pub done: ByteLen,
    /// Bytes in all.
    pub of: ByteLen,
}

/// Hears of progress, from any thread.
pub(crate) type Listener = Arc<dyn Fn(Progress<'_>) + Send + Sync>;

/// All choices.
pub(crate) struct Options<F> {
    pub(crate) copy: CopyWhen,
    pub(crate) head_room: HeadRoom,
    /// Threads that copy; `None` for as many as seem right.
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) dirty: DirtySource<F>,
    pub(crate) progress: Option<Listener>,
}

impl<F> Default for Options<F> {
    fn default() -> Self {
        Self {
            copy: CopyWhen::default(),
            head_room: HeadRoom::DEFAULT,
            threads: None,
            dirty: DirtySource::None,
            progress: None,
        }
    }
}

impl<F> Options<F> {
    pub(crate) fn tell(&self, progress: Progress<'_>) {
        if let Some(listener) = &self.progress {
            listener(progress);
        }
    }
}

impl<F> fmt::Debug for Options<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("copy", &self.copy)
            .field("head_room", &self.head_room)
            .field("threads", &self.threads)
            .field("dirty", &self.dirty)
            .finish_non_exhaustive()
    }
}
