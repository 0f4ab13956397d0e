//! The trace: when each update did what, in memory that every program of the guest's life maps.
//!
//! - A **mark** is a moment of an update, in nanoseconds of the monotonic clock, which all programs of a host share.
//! - A **record** holds the marks of one update. The trace is a file of [`RECORDS`] of them, used round and round.
//!
//! A mark is one store, so that marking costs nothing inside the pause.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use luo_memfd::Memfd;
use rustix::time::{ClockId, clock_gettime};
use vm_memory::{Bytes as _, FileOffset, MmapRegion, VolatileMemory as _};

/// Updates of which the trace remembers the marks.
pub(crate) const RECORDS: u64 = 4096;
/// Words of a record: what the update was, and its marks.
const WORDS: u64 = 16;
/// [`WORDS`] as a length.
const WORDS_LEN: usize = 16;
const _: () = assert!(WORDS_LEN as u64 == WORDS);
/// The first record's worth of words is the header: how many records were begun.
const BYTES: u64 = (RECORDS + 1) * WORDS * 8;

/// A moment of an update. The number is its place in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Somebody asked for it.
    Asked = 1,
    /// All was done that can be done while the guest runs.
    Prepared = 2,
    /// The last vCPU was out of the guest.
    Stopped = 3,
    /// All state was written.
    Frozen = 4,
    /// The successor saw what is on offer.
    Adopted = 5,
    /// It had made all of it again.
    Restored = 6,
    /// The guest was its.
    Committed = 7,
    /// The first vCPU was about to be entered.
    Entered = 8,
    /// What carried it all was let go of.
    Finished = 9,
    /// It came to nothing, and the guest went on here.
    Failed = 10,
}

/// What the trace remembers of one update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered([u64; WORDS_LEN]);

/// The file, mapped.
#[derive(Debug)]
pub(crate) struct Trace(MmapRegion<()>);

/// Now, in nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

impl Trace {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// The file's.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(BYTES)?;
        Self::map(file)
    }

    /// Opens what another program made.
    ///
    /// # Errors
    ///
    /// The file's; [`io::ErrorKind::InvalidData`] if it is too short.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::of(OpenOptions::new().read(true).write(true).open(path)?)
    }

    /// One that nobody else sees.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(crate) fn nowhere() -> io::Result<Self> {
        Self::of(Memfd::create("trace", BYTES)?.into_file()?)
    }

    /// The trace in this file.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn of(file: File) -> io::Result<Self> {
        if file.metadata()?.len() < BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the trace is too short"));
        }
        Self::map(file)
    }

    fn map(file: File) -> io::Result<Self> {
        let len = usize::try_from(BYTES).map_err(io::Error::other)?;
        MmapRegion::from_file(FileOffset::new(file, 0), len).map(Self).map_err(io::Error::other)
    }

    /// Its file.
    pub(crate) fn file(&self) -> Option<&File> {
        self.0.file_offset().map(FileOffset::file)
    }

    fn load(&self, word: u64) -> u64 {
        let place = usize::try_from(8 * word).unwrap_or(usize::MAX);
        self.0.as_volatile_slice().load(place, Ordering::Acquire).unwrap_or(0)
    }

    fn store(&self, word: u64, value: u64) {
        let place = usize::try_from(8 * word).unwrap_or(usize::MAX);
        // Never outside: the file cannot be shorter than it was.
        let _outside = self.0.as_volatile_slice().store(value, place, Ordering::Release);
    }

    /// How many updates were begun.
    pub(crate) fn begun(&self) -> u64 {
        self.load(0)
    }

    /// Begins the record of another update.
    pub(crate) fn begin(&self) {
        let nth = self.begun();
        (0..WORDS).for_each(|word| self.store(first(nth) + word, 0));
        self.store(0, nth + 1);
        self.mark(Mark::Asked);
    }

    /// Marks now, in the record of the update that was begun last.
    pub(crate) fn mark(&self, mark: Mark) {
        self.mark_at(mark, now());
    }

    /// Marks a moment that has passed.
    pub(crate) fn mark_at(&self, mark: Mark, at: u64) {
        if let Some(nth) = self.begun().checked_sub(1) {
            self.store(first(nth) + mark as u64, at);
        }
    }

    /// The record of update `nth`, counted from 0; `None` if there is none, or it was overwritten.
    pub(crate) fn remembered(&self, nth: u64) -> Option<Remembered> {
        let begun = self.begun();
        if nth >= begun || nth + RECORDS < begun {
            return None;
        }
        let mut words = [0; WORDS_LEN];
        (first(nth)..).zip(&mut words).for_each(|(word, place)| *place = self.load(word));
        Some(Remembered(words))
    }
}

/// The first word of a record.
const fn first(nth: u64) -> u64 {
    WORDS * (nth % RECORDS + 1)
}

impl Remembered {
    /// When it was, in nanoseconds; `None` if it was not.
    pub(crate) fn at(&self, mark: Mark) -> Option<u64> {
        self.0.get(mark as usize).copied().filter(|at| *at != 0)
    }

    /// Nanoseconds from one mark to another.
    pub(crate) fn between(&self, from: Mark, to: Mark) -> Option<u64> {
        self.at(to)?.checked_sub(self.at(from)?)
    }

    /// The blackout: from the last vCPU's stop to the entry of the first.
    pub(crate) fn blackout(&self) -> Option<u64> {
        self.between(Mark::Stopped, Mark::Entered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_it_sees_what_others_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let near = Trace::create(&path).unwrap();
        let far = Trace::open(&path).unwrap();
        near.begin();
        near.mark_at(Mark::Stopped, 100);
        far.mark_at(Mark::Entered, 350);
        assert_eq!(near.remembered(0).unwrap().blackout(), Some(250));
        assert_eq!(near.remembered(1), None);
        for _ in 0..RECORDS {
            far.begin();
        }
        assert_eq!(near.remembered(0), None);
        assert_eq!(near.remembered(1).unwrap().blackout(), None);
    }
}
