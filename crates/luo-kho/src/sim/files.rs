//! Simulated files: memory that belongs to somebody else, and can be attached without being moved.
//!
//! - A **file** has a size and pages. Only pages that were written exist; the others are **holes** and read as zeros.
//! - A [`SimFile`] is a reference to a file. A file lives as long as somebody refers to it: a user, or a segment. It
//!   crosses to a successor within one boot and is gone with the kernel that it lived in.
//! - The **description** is what the layer above keeps with a reference: a position, say, or the seals. Clones of a
//!   reference share it, as duplicates of a descriptor share their open file description.
//! - **Segments** are the files that are attached to one party's memory, with their frame numbers above its RAM.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::ops::Range;

use super::lock::Mutex;
use super::ram::{Frame, ZERO};
use crate::{ByteLen, FRAME_BYTES, FRAME_SIZE, FrameCount, FrameRange, KhoError, PFN_END, Pfn};

/// A reference to a simulated file. Clones refer to the same file in the same way.
#[derive(Clone)]
pub struct SimFile {
    memory: Arc<Mutex<Memory>>,
    description: Arc<dyn Any + Send + Sync>,
}

#[derive(Default)]
struct Memory {
    size: u64,
    pages: BTreeMap<u64, Arc<Frame>>,
}

impl SimFile {
    /// A new file of no bytes.
    pub fn new(description: impl Any + Send + Sync) -> Self {
        Self { memory: Arc::default(), description: Arc::new(description) }
    }

    /// Another reference to the same file, with a description of its own.
    #[must_use]
    pub fn described(&self, description: impl Any + Send + Sync) -> Self {
        Self { memory: Arc::clone(&self.memory), description: Arc::new(description) }
    }

    /// The description, if it is a `T`.
    pub fn description<T: Any>(&self) -> Option<&T> {
        self.description.downcast_ref()
    }

    /// A number that no other living file has.
    pub fn number(&self) -> u64 {
        ByteLen::of(Arc::as_ptr(&self.memory).addr()).get()
    }

    /// How many references there are, with those of segments.
    pub fn references(&self) -> usize {
        Arc::strong_count(&self.memory)
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.memory.lock().size
    }

    /// How many pages exist.
    pub fn pages(&self) -> u64 {
        ByteLen::of(self.memory.lock().pages.len()).get()
    }

    /// Cuts the file off, or lets it grow by a hole.
    pub fn resize(&self, size: u64) {
        let mut memory = self.memory.lock();
        memory.size = size;
        drop(memory.pages.split_off(&size.div_ceil(FRAME_BYTES)));
        let within = ByteLen::new(size % FRAME_BYTES).as_usize();
        if let Some(last) = memory.pages.get_mut(&(size / FRAME_BYTES))
            && let Some(behind) = Arc::make_mut(last).get_mut(within..)
        {
            behind.fill(0);
        }
    }

    /// Copies bytes from `at` on. Holes, and what lies beyond the end, read as zeros.
    pub fn read(&self, at: u64, bytes: &mut [u8]) {
        let memory = self.memory.lock();
        let mut rest = bytes;
        for (page, within) in pieces(at, rest.len()) {
            let (front, behind) = rest.split_at_mut(within.len());
            let frame = memory.pages.get(&page).map_or(&ZERO, |page| page);
            front.copy_from_slice(frame.get(within).unwrap_or_default());
            rest = behind;
        }
    }

    /// Writes bytes from `at` on. The file grows where they reach beyond its end.
    ///
    /// # Panics
    ///
    /// If they reach beyond byte 2^64.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        let Some(end) = at.checked_add(ByteLen::of(bytes.len()).get()) else {
            panic!("{} bytes at {at} do not fit into a file", bytes.len());
        };
        let mut memory = self.memory.lock();
        if !bytes.is_empty() {
            memory.size = memory.size.max(end);
        }
        let mut rest = bytes;
        for (page, within) in pieces(at, rest.len()) {
            let (front, behind) = rest.split_at(within.len());
            let frame = memory.pages.entry(page).or_insert_with(|| Arc::new(ZERO));
            if let Some(place) = Arc::make_mut(frame).get_mut(within) {
                place.copy_from_slice(front);
            }
            rest = behind;
        }
    }

    /// Makes holes of pages.
    pub fn discard(&self, pages: Range<u64>) {
        self.memory.lock().pages.retain(|page, _| !pages.contains(page));
    }

    /// The first run of neighbouring pages at or after `page` that exist.
    pub fn pages_from(&self, page: u64) -> Option<Range<u64>> {
        let memory = self.memory.lock();
        let mut existing = memory.pages.range(page..).map(|(&page, _)| page);
        let first = existing.next()?;
        let run = existing.zip(first + 1..).take_while(|(page, next)| page == next);
        Some(first..first + 1 + ByteLen::of(run.count()).get())
    }
}

/// `len` bytes from `at` on, cut where pages end: each page with the bytes in it.
fn pieces(at: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let first = ByteLen::new(at % FRAME_BYTES).as_usize();
    let mut left = len;
    (at / FRAME_BYTES..).map_while(move |page| {
        let from = if page == at / FRAME_BYTES { first } else { 0 };
        let within = from..FRAME_SIZE.min(from.saturating_add(left));
        left -= within.len();
        (!within.is_empty()).then_some((page, within))
    })
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory.lock();
        f.debug_struct("SimFile")
            .field("size", &memory.size)
            .field("pages", &memory.pages.len())
            .finish_non_exhaustive()
    }
}

/// The files that are attached, by their first frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments(BTreeMap<Pfn, (FrameRange, SimFile)>);

impl Segments {
    /// Gives a file the lowest numbers at or above `floor` that no other has; `None` if there are not so many.
    pub(super) fn add(&mut self, floor: u64, file: SimFile, frames: FrameCount) -> Option<FrameRange> {
        let mut start = floor;
        for (taken, _) in self.0.values() {
            if taken.start().get().checked_sub(start).is_some_and(|gap| gap >= frames.get()) {
                break;
            }
            start = taken.end();
        }
        let end = start.checked_add(frames.get()).filter(|end| *end <= PFN_END)?;
        let range = FrameRange::from_bounds(start, end)?;
        self.0.insert(range.start(), (range, file));
        Some(range)
    }

    /// Whether `range` was exactly a segment. It no longer is.
    pub(super) fn remove(&mut self, range: FrameRange) -> bool {
        self.find(range).is_some() && self.0.remove(&range.start()).is_some()
    }

    /// The file behind exactly this segment.
    pub(super) fn find(&self, range: FrameRange) -> Option<&SimFile> {
        self.0.get(&range.start()).filter(|(found, _)| *found == range).map(|(_, file)| file)
    }

    /// Ascending.
    pub(super) fn ranges(&self) -> Vec<FrameRange> {
        self.0.values().map(|(range, _)| *range).collect()
    }
}

impl KhoError {
    /// What is attached to a simulated machine and is no file of it.
    pub(super) const NO_SIM_FILE: Self = Self::NotAttachable { why: "it is not a simulated file" };
}
