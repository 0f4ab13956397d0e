//! Memory of descriptors as one program sees it: fresh, as its owner, or on offer, as a possible successor.

#[cfg(test)]
mod golden;
mod memory;
mod segments;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Signal, pidfd_send_signal};

use self::segments::Segments;
use super::arena::{Arena, Header, Table, Unread};
use super::arrival::Way;
use super::door::{WordPage, reap};
use super::error::OpenError;
use super::line::{Deadline, wait_readable};
use super::memfd;
use super::segment::SegmentFile;
use crate::claims::Claims;
use crate::ownership::{Holding, shared};
use crate::tracker::Tracker;
use crate::{FRAME_BYTES, FrameCount, FrameRange, Generation, KhoError, Offer, Root, Word};

/// 256 GiB of frames: more than guests usually have, so that all of one could be copied. Frames that nobody uses take
/// no memory, only addresses.
pub const DEFAULT_CAPACITY: FrameCount = match FrameCount::new(1 << 26) {
    Some(count) => count,
    None => unreachable!(),
};

/// For a guardian to leave after the commit: it has an address space to tear down, 50 ms per GiB of small pages. One
/// that takes longer is made to.
const GUARDIAN: Duration = Duration::from_secs(10);

/// What messages call the file of the word.
const WORD_PAGE: &str = "word page";

/// The memory of one program, or of one that may become its successor.
pub struct ProcessKho {
    arena: Arena,
    page: WordPage,
    tracker: Tracker,
    root: Option<Root>,
    generation: Generation,
    segments: Segments,
    /// Counts every attach and detach.
    edition: u64,
    claims: Claims,
    standing: Standing,
    /// Rung at the first change after the commit, so that whoever waits for it looks at the word.
    bell: Option<OwnedFd>,
    /// A pidfd of the guardian that watched over the exec which brought this program here, until it is reaped.
    guardian: Option<OwnedFd>,
    /// How this program came to the memory, until it changes it: a predecessor listens there for its end.
    way: Option<Arc<Way>>,
}

/// What this program is to the memory. The word in the page is what counts; this says which words are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It made the memory and does not own it yet.
    Fresh,
    /// It runs under this word, and nobody else may move it.
    Running(Word),
    /// It made this offer.
    Offered(Word),
    /// It read what was sealed for this offer.
    Adopting(Word),
    /// It stopped on purpose.
    Retired,
}

/// What was carried, mapped and not read.
#[derive(Debug)]
pub(super) struct Unopened {
    page: WordPage,
    arena: Unread,
    files: Vec<OwnedFd>,
}

/// The descriptors that have to cross, as they arrive.
#[derive(Debug)]
pub struct Carried {
    /// The arena.
    pub arena: OwnedFd,
    /// The word page.
    pub word: OwnedFd,
    /// The files of the segments, in the order of [`Lent::segments`].
    pub segments: Vec<OwnedFd>,
}

/// The descriptors that have to cross, as a carrier borrows them.
#[derive(Clone, Debug)]
pub struct Lent<'k> {
    /// The arena.
    pub arena: BorrowedFd<'k>,
    /// The word page.
    pub word: BorrowedFd<'k>,
    /// The segments, ascending, each with its file.
    pub segments: Vec<(FrameRange, BorrowedFd<'k>)>,
}

impl ProcessKho {
    /// Fresh memory that may grow to `capacity` frames: at least 3, at most 2^33. It belongs to nobody before
    /// [`ownership::found`](crate::ownership::found).
    ///
    /// # Errors
    ///
    /// [`OpenError::Kho`].
    pub fn create(capacity: FrameCount) -> Result<Self, OpenError> {
        let mut arena = Arena::create(capacity)?;
        let page = WordPage::open(memfd::create("luo-word", FRAME_BYTES)?, WORD_PAGE)?;
        let tracker = Tracker::new(&mut arena)?;
        let segments = Segments::above(arena.capacity());
        let (claims, standing) = (Claims::default(), Standing::Fresh);
        Ok(Self {
            arena,
            page,
            tracker,
            root: None,
            generation: 0,
            segments,
            edition: 0,
            claims,
            standing,
            bell: None,
            guardian: None,
            way: None,
        })
    }

    /// Opens what is on offer. Looks at the word first, and at nothing else unless it makes an offer; maps the arena
    /// read-only, and checks its header, tracker and segments. Nothing is changed.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotOffered`] inside [`OpenError::Kho`] if there is nothing to adopt; [`OpenError`] of every other
    /// sort if what is there cannot be believed. The descriptors are closed.
    pub fn open(carried: Carried) -> Result<Self, OpenError> {
        Unopened::map(carried, None, false)?.open()
    }

    /// Frames that the arena may grow to.
    pub fn capacity(&self) -> FrameCount {
        self.arena.capacity()
    }

    /// The descriptors that a carrier has to take across.
    pub fn lend(&self) -> Lent<'_> {
        let segments = self.segments.iter().map(|(range, file)| (range, file.as_fd())).collect();
        Lent { arena: self.arena.file(), word: self.page.file(), segments }
    }

    /// Changes whenever something is attached or detached: whether what a carrier was told still holds.
    pub(super) fn edition(&self) -> u64 {
        self.edition
    }

    /// Frames that are free, allocated, and used by this backend itself. Equal before and after: nothing leaked.
    pub fn census(&self) -> [FrameCount; 3] {
        self.arena.census().map(|frames| FrameCount::new(frames).unwrap_or(FrameCount::ZERO))
    }

    /// Makes the header and the table of segments whole, for whoever opens the offer.
    fn seal(&mut self, running: Word) {
        let Self { arena, segments, .. } = self;
        arena.put_table(&segments.table, segments.iter().map(|(range, _)| range));
        let header = Header {
            capacity: arena.capacity(),
            frames: arena.frames(),
            tracker: self.tracker.root(),
            root: self.root,
            generation: self.generation,
            segments: segments.iter().len() as u64,
            table: segments.table.first().copied(),
            word: running,
        };
        arena.put_header(&header);
    }

    /// Only the running owner changes memory.
    fn change(&mut self) -> Result<(), KhoError> {
        match self.standing {
            Standing::Running(_) => {
                self.ring();
                self.reap_guardian(false);
                self.arena.own()
            }
            _ => Err(KhoError::NotOwner { word: shared::load(self.page.atomic())? }),
        }
    }

    /// What becomes of this program if the swap succeeds; `None` if it has no right to it.
    fn outcome(&self, from: Word, to: Word) -> Option<Standing> {
        match (self.standing, from.holding(), to.holding()) {
            (Standing::Fresh, Holding::Vacant, Holding::Running) => Some(Standing::Running(to)),
            (Standing::Running(mine), _, Holding::Offered) if mine == from => Some(Standing::Offered(to)),
            (Standing::Running(mine), _, Holding::Retired) if mine == from => Some(Standing::Retired),
            (Standing::Offered(mine), _, Holding::Running) if mine == from => Some(Standing::Running(to)),
            (Standing::Offered(mine), _, Holding::Offered) if mine == from => Some(Standing::Offered(to)),
            (Standing::Adopting(read), _, Holding::Running) if read == from => Some(Standing::Running(to)),
            _ => None,
        }
    }

    /// Why a swap to which this program has no right did not happen.
    fn refuse(&self, from: Word) -> KhoError {
        let found = match shared::load(self.page.atomic()) {
            Ok(found) => found,
            Err(error) => return error,
        };
        match self.standing {
            // It has the bytes of another offer before it: for this one it is too late.
            Standing::Adopting(read) if read != from => KhoError::SwapLost { expected: read, found },
            _ if found != from => KhoError::SwapLost { expected: from, found },
            _ => KhoError::NotOwner { word: found },
        }
    }

    /// The first change after the commit rings this bell: an eventfd.
    pub(super) fn hang_bell(&mut self, bell: Option<OwnedFd>) {
        self.bell = bell;
    }

    /// Until the commit keeps this open: whoever listens there takes its end for the end of this program.
    pub(super) fn hold_line(&mut self, way: Arc<Way>) {
        self.way = Some(way);
    }

    /// From now on reaps this guardian: a child of this process, inherited from the program before.
    pub(super) fn expect_guardian(&mut self, guardian: Option<OwnedFd>) {
        self.guardian = guardian;
    }

    /// Reaps the guardian that watched over the exec which brought this program here. It ends by itself after the
    /// commit; with `wait`, whoever has committed waits for that. Whether there is none any more.
    ///
    /// Every change of memory does so without waiting, and so does the end of this value.
    pub fn reap_guardian(&mut self, wait: bool) -> bool {
        let wait = wait && !matches!(self.standing, Standing::Adopting(_));
        if wait {
            self.ring();
        }
        if let Some(guardian) = &self.guardian {
            let patience = Deadline::after(if wait { GUARDIAN } else { Duration::ZERO });
            if wait && wait_readable([guardian.as_fd()], patience) != Ok([true]) {
                // It hangs. This program owns the memory: there is nothing left to guard.
                let _gone_already = pidfd_send_signal(guardian, Signal::KILL);
            }
            if reap(guardian.as_fd(), wait) {
                self.guardian = None;
            }
        }
        self.guardian.is_none()
    }

    /// Lets whoever waits for the commit know, once. Not in the commit itself, where the guest waits: waking others
    /// takes longer than all the rest, and they look at the word from time to time anyway.
    fn ring(&mut self) {
        if let Some(bell) = self.bell.take() {
            // Whoever waits looks at the word all the same, only later.
            let _unheard = rustix::io::write(bell, &1u64.to_le().to_le_bytes());
        }
        self.way = None;
    }
}

impl Unopened {
    /// Maps what was carried, and reads none of it. `capacity` of the arena need not be true. With `time`, while the
    /// guest still runs elsewhere, does what makes reading faster.
    ///
    /// # Errors
    ///
    /// [`OpenError`] of the sorts that are about files.
    pub(super) fn map(carried: Carried, capacity: Option<FrameCount>, time: bool) -> Result<Self, OpenError> {
        let Carried { arena, word, segments } = carried;
        let page = WordPage::open(word, WORD_PAGE)?;
        Ok(Self { page, arena: Arena::unread(arena, capacity, time)?, files: segments })
    }

    /// The word, read afresh.
    ///
    /// # Errors
    ///
    /// [`KhoError::BadWord`].
    pub(super) fn word(&self) -> Result<Word, KhoError> {
        shared::load(self.page.atomic())
    }

    /// Whether the word, read afresh, makes an offer.
    pub(super) fn is_offered(&self) -> bool {
        self.word().is_ok_and(|word| Offer::from_word(word).is_some())
    }

    /// Opens what is on offer; see [`ProcessKho::open`].
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub(super) fn open(self) -> Result<ProcessKho, OpenError> {
        let offered = self.word()?;
        let Self { page, arena, files } = self;
        let offer = Offer::from_word(offered).ok_or(KhoError::NotOffered { word: offered })?;
        let (mut arena, header) = arena.read()?;
        let Header { capacity, frames, tracker, root, generation, segments: said, table, word: sealed } =
            header;
        let later = sealed.turn() < offered.turn() && sealed.owner() == offered.owner();
        if !later {
            return Err(OpenError::OtherOffer { sealed, offered: offer.word() });
        }
        if said != files.len() as u64 {
            return Err(OpenError::SegmentsMissing { said, carried: files.len() as u64 });
        }
        let span = FrameRange::from_bounds(1, frames.get()).ok_or(OpenError::TooShort {
            file: "arena",
            len: FRAME_BYTES,
            least: 2 * FRAME_BYTES,
        })?;
        let tracker = Tracker::open(&arena, tracker, span)?;
        let (preserved, nodes) = (tracker.runs(&arena)?, tracker.nodes(&arena)?);
        let table = arena.read_table(table, files.len(), segments::numbers(capacity))?;
        arena.inherit(&preserved, nodes.into_iter().chain(table.frames.iter().copied()))?;
        let attached = table.segments.iter().map(|(range, _)| *range);
        let claims = Claims::on(preserved.iter().copied().chain(attached));
        let segments = inherit_segments(capacity, table, files)?;
        let standing = Standing::Adopting(offered);
        Ok(ProcessKho {
            arena,
            page,
            tracker,
            root,
            generation,
            segments,
            edition: 0,
            claims,
            standing,
            bell: None,
            guardian: None,
            way: None,
        })
    }
}

fn inherit_segments(capacity: FrameCount, table: Table, files: Vec<OwnedFd>) -> Result<Segments, OpenError> {
    let Table { segments: entries, frames } = table;
    let mut segments = Segments::above(capacity);
    segments.table = frames;
    let mut files: Vec<_> = files.into_iter().map(Some).collect();
    for (range, index) in entries {
        let file = files.get_mut(index).and_then(Option::take);
        if !file.is_some_and(|file| segments.inherit(range, SegmentFile::from(file))) {
            return Err(OpenError::BadSegment { range, why: "it does not begin where segments do" });
        }
    }
    Ok(segments)
}

impl Drop for ProcessKho {
    fn drop(&mut self) {
        self.reap_guardian(false);
    }
}

impl fmt::Debug for ProcessKho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessKho")
            .field("standing", &self.standing)
            .field("generation", &self.generation)
            .field("root", &self.root)
            .field("segments", &self.segments.iter().len())
            .finish_non_exhaustive()
    }
}
