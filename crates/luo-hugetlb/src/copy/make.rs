//! The far side: a new file is made of what was saved. All that is read here was written by somebody else.
//!
//! Whether there are enough huge pages is asked first. Somebody may take some of them afterwards: then the file that
//! was begun is given up, with every page that it had got.

use alloc::vec;
use alloc::vec::Vec;

use luo_kho::{ByteLen, FRAME_BYTES, FrameRange, Memory};
use luo_xarray::page_map::{Extent, PageStore, StoreNames};

use super::{CHUNK_BYTES, chunks, grow};
use crate::abi::{Copied, Frames, Payload};
use crate::options::{Direction, Options, Progress};
use crate::pool::Pool;
use crate::{HugetlbError, PageSize, Port};

/// A copy whose frames are claimed.
#[derive(Debug)]
pub(crate) enum Claimed {
    Slots(Option<PageStore>),
    StandIn(FrameRange, PageStore),
}

/// Claims every frame of a copy: of its slots, used or not, or of its stand-in, and of its index.
///
/// # Errors
///
/// [`HugetlbError::Store`], [`HugetlbError::Kho`]. Some may be claimed then.
pub(crate) fn claim(memory: &mut dyn Memory, copied: &Copied) -> Result<Claimed, HugetlbError> {
    let Copied { frames, index, index_len, pages: _, shrunk: _ } = *copied;
    match frames {
        Frames::Slots(slots) => {
            let names = StoreNames { slots, index, index_len, pages: 0 };
            Ok(Claimed::Slots(PageStore::restore(memory, &names)?))
        }
        Frames::StandIn(segment) => {
            memory.reclaim(segment)?;
            let index = index.ok_or(HugetlbError::ForeignPages { why: "a stand-in has an index" })?;
            Ok(Claimed::StandIn(segment, PageStore::restore_index(memory, segment, index)?))
        }
    }
}

/// A new file with the contents of the copy.
///
/// # Errors
///
/// [`HugetlbError::Shortage`], what the bytes say that cannot be, or the host's.
pub(crate) fn make<P: Port>(
    (port, options): (&P, &Options<P>),
    memory: &dyn Memory,
    (claimed, copied): (&Claimed, &Copied),
    payload: &Payload,
) -> Result<P::File, HugetlbError> {
    let Payload { attributes: wanted, page_size, place, .. } = payload;
    let stand_in = match claimed {
        Claimed::Slots(_) => None,
        Claimed::StandIn(segment, _) => Some(port.attached_stand_in(memory, *segment)?),
    };
    if let Some(stand_in) = &stand_in
        && copied.shrunk > 0
    {
        // No more than the memory that left the pool, which is the stand-in's now: what is written down is not
        // believed.
        let shrunk = copied.shrunk.min(port.kept(stand_in)? / page_size.bytes());
        grow(port, *page_size, (copied.pages, shrunk), payload.placement.iter())?;
    }
    Pool::can_give(&port.pools()?, *page_size, copied.pages)?;
    let mut filling = Filling {
        port,
        draft: port.draft(place, *page_size, wanted)?,
        page_size: *page_size,
        begun: None,
        pages: 0,
        needed: copied.pages,
        tell: |done, of| {
            options.tell(Progress { place, direction: Direction::Making, done, of });
        },
    };
    match (claimed, stand_in) {
        (Claimed::Slots(Some(store)), _) => {
            filling.all(memory, store, copied, wanted.size, |frames, at, write| {
                lent(memory, frames, at, write)
            })?;
        }
        (Claimed::StandIn(segment, store), Some(stand_in)) => {
            let mut buffer = Vec::new();
            filling.all(memory, store, copied, wanted.size, |frames, at, write| {
                let from = (frames.start().get() - segment.start().get()) * FRAME_BYTES;
                let to = from + frames.count().get() * FRAME_BYTES;
                buffer.resize(ByteLen::new(CHUNK_BYTES).as_usize(), 0);
                for (place, len) in chunks(from, to, *page_size) {
                    let chunk = buffer.get_mut(..len).unwrap_or_default();
                    port.recall(&stand_in, place, chunk)?;
                    write(at + (place - from), chunk)?;
                }
                Ok(())
            })?;
        }
        (Claimed::Slots(None) | Claimed::StandIn(..), _) => {}
    }
    if filling.pages != copied.pages {
        return Err(HugetlbError::ForeignPages {
            why: "it names another number of huge pages than the payload",
        });
    }
    let file = port.complete(filling.draft, wanted)?;
    // A host may take a wish and not fulfil it.
    let made = port.look(&file)?;
    let faithful = crate::Attributes { blocks: wanted.blocks, times: wanted.times, ..made };
    if faithful == *wanted { Ok(file) } else { Err(HugetlbError::Unfaithful { wanted: *wanted, made }) }
}

type Write<'w> = dyn FnMut(u64, &[u8]) -> Result<(), HugetlbError> + 'w;

/// The bytes of frames, in the pieces in which the memory lends them; they go to byte `at` and what follows.
fn lent(
    memory: &dyn Memory,
    frames: FrameRange,
    mut at: u64,
    write: &mut Write<'_>,
) -> Result<(), HugetlbError> {
    let mut start = frames.start().get();
    while let Some(rest) = FrameRange::from_bounds(start, frames.end()) {
        let bytes = memory.read(rest)?;
        write(at, bytes)?;
        let taken = ByteLen::of(bytes.len()).get();
        at += taken;
        start += (taken / FRAME_BYTES).max(1);
    }
    Ok(())
}

/// A draft on its way to a file.
struct Filling<'a, P: Port, T> {
    port: &'a P,
    draft: P::Draft,
    page_size: PageSize,
    /// The huge page that was populated last, and how many of its bytes were written.
    begun: Option<(u64, u64)>,
    pages: u64,
    needed: u64,
    tell: T,
}

impl<P: Port, T: Fn(ByteLen, ByteLen)> Filling<'_, P, T> {
    /// Fills in every extent of the map: `fetch` gives the bytes of its frames.
    fn all(
        &mut self,
        memory: &dyn Memory,
        store: &PageStore,
        copied: &Copied,
        size: u64,
        mut fetch: impl FnMut(FrameRange, u64, &mut Write<'_>) -> Result<(), HugetlbError>,
    ) -> Result<(), HugetlbError> {
        let Copied { frames, index, index_len, pages, .. } = *copied;
        let slots = match frames {
            Frames::Slots(slots) => slots,
            Frames::StandIn(_) => None,
        };
        let pages = pages.saturating_mul(self.page_size.frames());
        let names = StoreNames { slots, index, index_len, pages };
        store.each_extent(memory, &names, size / FRAME_BYTES, |Extent { page, frames, .. }| {
            fetch(frames, page * FRAME_BYTES, &mut |at, bytes| self.write(at, bytes))
        })?;
        self.whole()
    }

    /// Writes bytes that ascend, populating the pages in which they lie.
    fn write(&mut self, mut at: u64, mut bytes: &[u8]) -> Result<(), HugetlbError> {
        while !bytes.is_empty() {
            let page = at / self.page_size.bytes();
            if self.begun.is_none_or(|(begun, _)| begun != page) {
                self.whole()?;
                self.populate(page)?;
            }
            let left = ByteLen::new(self.page_size.bytes() - at % self.page_size.bytes()).as_usize();
            let (inside, behind) = bytes.split_at_checked(left).unwrap_or((bytes, &[]));
            self.port.write(&self.draft, at, inside)?;
            let written = ByteLen::of(inside.len()).get();
            if let Some((_, sum)) = &mut self.begun {
                *sum += written;
            }
            at += written;
            bytes = behind;
        }
        Ok(())
    }

    /// The page that was begun, if any, was written whole.
    fn whole(&self) -> Result<(), HugetlbError> {
        match self.begun {
            Some((_, written)) if written != self.page_size.bytes() => {
                Err(HugetlbError::ForeignPages { why: "it names a part of a huge page" })
            }
            _ => Ok(()),
        }
    }

    fn populate(&mut self, page: u64) -> Result<(), HugetlbError> {
        if !self.port.populate(&self.draft, page, None)? {
            let pools = self.port.pools()?;
            let pool = pools.into_iter().find(|pool| pool.page_size == self.page_size);
            let pool =
                pool.unwrap_or(Pool { page_size: self.page_size, nodes: vec![], reserved: 0, overcommit: 0 });
            return Err(pool.too_few(self.needed, self.pages).into());
        }
        self.begun = Some((page, 0));
        self.pages += 1;
        let bytes = |pages: u64| ByteLen::new(pages.saturating_mul(self.page_size.bytes()));
        (self.tell)(bytes(self.pages), bytes(self.needed));
        Ok(())
    }
}
