//! The arena: a memfd of frames, what each of them is used for, and the bytes in them.
//!
//! - A frame is **free**, **allocated** to somebody above the backend, or **held**: a node of the tracker, or a frame
//!   of the table of segments. The first is the header.
//! - The file is as long as its frames were ever needed, and never as long as it may become: a new kernel would fill
//!   every page of it. It is mapped once, at the length that it may grow to.
//! - A **stale** frame is free but may hold bytes: of a predecessor, or because the host did not take them back. Every
//!   other free frame is a hole, so that frames are zeroed when they are handed out.

mod header;
mod table;

use alloc::vec::Vec;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};

pub(super) use self::header::Header;
pub(super) use self::table::Table;
use super::door::Window;
use super::error::{OpenError, host};
use super::memfd;
use crate::ranges::RangeSet;
use crate::tracker::NodeStore;
use crate::{ByteLen, FRAME_BYTES, FRAME_SIZE, FrameCount, FrameRange, KhoError, Pfn, PhysAddr, Root};

/// What messages call the file.
const WHAT: &str = "arena";
/// The file grows by so many frames at a time, 1 MiB: few calls, and little that a new kernel fills for nothing.
const STEP: u64 = 256;
/// What is mapped page by page before it may be read, 1 MiB: the records are there, in the lowest frames; and few pages
/// come into being that nobody needs.
const POPULATED: ByteLen = ByteLen::new(STEP * FRAME_BYTES);
/// 32 TiB: a quarter of the smallest address space there is to map it in.
pub(super) const MAX_CAPACITY: FrameCount = match FrameCount::new(1 << 33) {
    Some(count) => count,
    None => unreachable!(),
};

#[derive(Debug)]
pub(super) struct Arena {
    window: Window,
    capacity: FrameCount,
    free: RangeSet,
    allocated: RangeSet,
    held: RangeSet,
    stale: RangeSet,
}

impl Arena {
    /// A new arena, in which everything but the header is free. A capacity beyond [`MAX_CAPACITY`] is lowered to it,
    /// and there is always the header.
    ///
    /// # Errors
    ///
    /// [`OpenError::Kho`].
    pub(super) fn create(capacity: FrameCount) -> Result<Self, OpenError> {
        let capacity = capacity.clamp(FrameCount::ONE, MAX_CAPACITY);
        let file = memfd::create("luo-arena", FRAME_BYTES)?;
        let mut arena = Self::map(file, capacity, true)?;
        arena.free.extend(FrameRange::from_bounds(1, capacity.get()));
        // The header gets its page now, not when the guest has been stopped.
        arena.back_with_pages(Pfn::ZERO.as_range())?;
        arena.put_root(None);
        Ok(arena)
    }

    /// Maps an arena that somebody else made, and reads nothing of it. With `capacity`, as far as it may grow; it need
    /// not be true. Whoever has `time` gets the records mapped page by page.
    ///
    /// # Errors
    ///
    /// [`OpenError`] of the sorts that are about files.
    pub(super) fn unread(
        file: OwnedFd,
        capacity: Option<FrameCount>,
        time: bool,
    ) -> Result<Unread, OpenError> {
        let known =
            capacity.map_or(ByteLen::ZERO, |count| ByteLen::new(count.min(MAX_CAPACITY).get() * FRAME_BYTES));
        let span = known.max(ByteLen::new(FRAME_BYTES));
        let window = Window::open(file, WHAT, span, false)?;
        if time {
            window.populate(POPULATED);
        }
        Ok(Unread(window))
    }

    fn map(file: OwnedFd, capacity: FrameCount, writable: bool) -> Result<Self, OpenError> {
        let span = ByteLen::new(capacity.get() * FRAME_BYTES);
        Ok(Self::of(Window::open(file, WHAT, span, writable)?, capacity))
    }

    fn of(window: Window, capacity: FrameCount) -> Self {
        let (free, allocated) = (RangeSet::default(), RangeSet::default());
        let (held, stale) = (RangeSet::default(), RangeSet::default());
        Self { window, capacity, free, allocated, held, stale }
    }

    /// From now on exactly `preserved` is allocated, `held` is held, and the rest is free. All come from bytes that
    /// somebody else wrote, and may be writing still.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotAllocated`] if a frame is named twice, or lies outside.
    pub(super) fn inherit(
        &mut self,
        preserved: &[FrameRange],
        held: impl Iterator<Item = Pfn>,
    ) -> Result<(), KhoError> {
        self.free.extend(FrameRange::from_bounds(1, self.capacity.get()));
        let mut take = |range, owner: &mut RangeSet| {
            if !self.free.covers(range) {
                return Err(KhoError::NotAllocated { range });
            }
            self.free.remove(range);
            owner.insert(range);
            Ok(())
        };
        preserved.iter().try_for_each(|&range| take(range, &mut self.allocated))?;
        held.map(Pfn::as_range).try_for_each(|range| take(range, &mut self.held))?;
        if let Some(inside) = FrameRange::from_bounds(1, self.frames().get()) {
            self.stale = self.free.within(inside).collect();
        }
        Ok(())
    }

    /// All that can be allocated or preserved.
    pub(super) fn span(&self) -> Option<FrameRange> {
        FrameRange::from_bounds(1, self.capacity.get())
    }

    pub(super) fn capacity(&self) -> FrameCount {
        self.capacity
    }

    /// Frames that the file has.
    pub(super) fn frames(&self) -> FrameCount {
        let frames = FrameCount::new(self.window.len().get() / FRAME_BYTES).unwrap_or(self.capacity);
        frames.min(self.capacity)
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.window.file()
    }

    pub(super) fn allocated(&self) -> &RangeSet {
        &self.allocated
    }

    /// Frames of each use: free, allocated, held.
    pub(super) fn census(&self) -> [u64; 3] {
        [self.free.frames(), self.allocated.frames(), self.held.frames()]
    }

    /// The first change after a commit: stores are allowed, and what the predecessor left behind goes back to the host.
    ///
    /// # Errors
    ///
    /// [`KhoError::Host`].
    pub(super) fn own(&mut self) -> Result<(), KhoError> {
        self.window.make_writable()?;
        let all = FrameRange::from_bounds(1, self.capacity.get());
        while let Some(range) = all.and_then(|all| self.stale.first_within(all)) {
            self.punch(range)?;
            self.stale.remove(range);
        }
        Ok(())
    }

    /// At least one and at most `want` neighbouring frames, zeroed.
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfFrames`], [`KhoError::Host`].
    pub(super) fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        let range = self.pick(want)?;
        self.free.remove(range);
        self.allocated.insert(range);
        Ok(range)
    }

    /// Frees frames that are all allocated.
    pub(super) fn free(&mut self, range: FrameRange) {
        self.allocated.remove(range);
        self.let_go(range);
    }

    /// Bytes of allocated frames.
    pub(super) fn bytes(&self, range: FrameRange) -> Option<&[u8]> {
        let from = usize::try_from(range.addr().get()).ok()?;
        self.window.bytes(from, range.bytes()?.as_usize())
    }

    /// Stores whole words into frames that the file has.
    ///
    /// # Panics
    ///
    /// If they are not whole words, or the file does not have these frames: the caller has checked.
    pub(super) fn put(&mut self, at: PhysAddr, bytes: &[u8]) {
        let stored = self.window.store(ByteLen::new(at.get()).as_usize(), bytes);
        assert!(stored, "{} bytes at {at} cannot be stored", bytes.len());
    }

    /// Stores the published root: one word.
    pub(super) fn put_root(&mut self, root: Option<Root>) {
        let number = root.map_or(0, Root::get);
        self.put(PhysAddr::new(header::ROOT_AT as u64), &number.to_le_bytes());
    }

    /// Stores the header.
    pub(super) fn put_header(&mut self, header: &Header) {
        self.put(header::AT, &header.seal());
    }

    /// Takes or gives frames back until `table` has as many as so many segments need.
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfFrames`], [`KhoError::Host`]; only if more are needed.
    pub(super) fn fit_table(&mut self, table: &mut Vec<Pfn>, segments: usize) -> Result<(), KhoError> {
        let needed = segments.div_ceil(table::PER_FRAME);
        while table.len() < needed {
            table.push(self.take()?);
        }
        while table.len() > needed {
            if let Some(spare) = table.pop() {
                self.give(spare);
            }
        }
        Ok(())
    }

    /// Writes the table of segments into its frames.
    pub(super) fn put_table(&mut self, frames: &[Pfn], segments: impl Iterator<Item = FrameRange>) {
        table::write(self, frames, segments);
    }

    /// # Errors
    ///
    /// Those of reading a table.
    pub(super) fn read_table(
        &self,
        first: Option<Pfn>,
        count: usize,
        numbers: FrameRange,
    ) -> Result<Table, OpenError> {
        table::read(self, first, count, numbers)
    }

    /// The lowest free run that is long enough, or the longest there is; with pages behind it, all zero.
    fn pick(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        let nothing = KhoError::OutOfFrames { want };
        if want == FrameCount::ZERO {
            return Err(nothing);
        }
        let mut longest: Option<FrameRange> = None;
        for run in self.free.iter() {
            if run.count() >= want {
                longest = FrameRange::new(run.start(), want);
                break;
            }
            if longest.is_none_or(|longest| longest.count() < run.count()) {
                longest = Some(run);
            }
        }
        let range = longest.ok_or(nothing)?;
        self.back_with_pages(range)?;
        Ok(range)
    }

    /// Memory that is not there ends as an error here, not as a signal at the first store.
    fn back_with_pages(&mut self, range: FrameRange) -> Result<(), KhoError> {
        let frames = range.end().next_multiple_of(STEP).min(self.capacity.get());
        self.window.grow(ByteLen::new(frames * FRAME_BYTES))?;
        while let Some(stale) = self.stale.first_within(range) {
            self.punch(stale)?;
            self.stale.remove(stale);
        }
        let (at, len) = extent(range);
        let backed = retry_on_intr(|| fallocate(self.window.file(), FallocateFlags::empty(), at, len));
        backed.map_err(|errno| match errno {
            Errno::NOSPC | Errno::NOMEM => KhoError::OutOfFrames { want: range.count() },
            other => host("fallocate")(other),
        })
    }

    /// Frames that nobody uses any more become free.
    fn let_go(&mut self, range: FrameRange) {
        self.free.insert(range);
        if self.punch(range).is_err() {
            self.stale.insert(range);
        }
    }

    fn punch(&self, range: FrameRange) -> Result<(), KhoError> {
        let (at, len) = extent(range);
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        retry_on_intr(|| fallocate(self.window.file(), how, at, len)).map_err(host("fallocate(PUNCH_HOLE)"))
    }
}

/// An arena that is mapped and of which nothing has been read.
#[derive(Debug)]
pub(super) struct Unread(Window);

impl Unread {
    /// Reads the header. Whose frames are whose is not known yet.
    ///
    /// # Errors
    ///
    /// [`OpenError`] of every sort but those of segments.
    pub(super) fn read(self) -> Result<(Arena, Header), OpenError> {
        let Self(mut window) = self;
        window.look_again()?;
        let Some(frame) = window.bytes(0, FRAME_SIZE) else {
            let len = window.len().get();
            return Err(OpenError::TooShort { file: WHAT, len, least: FRAME_BYTES });
        };
        let header = Header::open(frame)?;
        let span = ByteLen::new(header.capacity.get() * FRAME_BYTES);
        let arena = if window.span() == span {
            Arena::of(window, header.capacity)
        } else {
            Arena::map(super::segment::duplicate(window.file())?, header.capacity, false)?
        };
        let (len, least) = (arena.window.len().get(), header.frames.get() * FRAME_BYTES);
        if len < least {
            return Err(OpenError::TooShort { file: WHAT, len, least });
        }
        Ok((arena, header))
    }
}

/// Offset and length in bytes. Lossless: the arena has at most [`MAX_CAPACITY`] frames.
fn extent(range: FrameRange) -> (u64, u64) {
    (range.addr().get(), range.count().get() * FRAME_BYTES)
}

impl NodeStore for Arena {
    fn take(&mut self) -> Result<Pfn, KhoError> {
        let range = self.pick(FrameCount::ONE)?;
        self.free.remove(range);
        self.held.insert(range);
        Ok(range.start())
    }

    fn give(&mut self, node: Pfn) {
        self.held.remove(node.as_range());
        self.let_go(node.as_range());
    }

    fn node(&self, node: Pfn) -> Result<&[u8; FRAME_SIZE], KhoError> {
        let range = node.as_range();
        let bytes = self.bytes(range).and_then(|bytes| bytes.first_chunk());
        let span = self.span().unwrap_or(range);
        bytes.ok_or(KhoError::OutOfRange { range, span })
    }

    fn store(&mut self, at: PhysAddr, word: u64) -> Result<(), KhoError> {
        self.put(at, &word.to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_are_named_twice_are_refused() {
        let range = |start, end| FrameRange::from_bounds(start, end).unwrap();
        let (once, again, beyond) = (range(8, 16), range(15, 17), range(30, 33));
        let cases =
            [(&[once, again][..], &[][..]), (&[once], &[15]), (&[], &[9, 9]), (&[beyond], &[]), (&[], &[0])];
        for (preserved, held) in cases {
            let file = memfd::create("luo-arena", FRAME_BYTES).unwrap();
            let mut arena = Arena::map(file, FrameCount::new(32).unwrap(), false).unwrap();
            let held = held.iter().map(|&frame| Pfn::new(frame).unwrap());
            let refused = arena.inherit(preserved, held);
            assert!(matches!(refused, Err(KhoError::NotAllocated { .. })), "{preserved:?}: {refused:?}");
        }
    }
}
