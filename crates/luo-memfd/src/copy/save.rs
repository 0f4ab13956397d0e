//! The near side: a file's contents on their way into preserved memory.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use luo_kho::{ByteLen, FRAME_BYTES, Memory};
use luo_xarray::page_map::{PageStore, StoreNames};

use super::batch::{Batch, batches};
use super::placing::{OutOfSlots, Placing};
use super::{scan, workers};
use crate::options::{DirtySource, Options};
use crate::{Attributes, Direction, DirtyLog, MemfdError, Name, Port, Progress};

/// No more rounds than these are made in prepare: a guest that writes faster than we copy is not caught up with.
const ROUNDS_MAX: u32 = 8;
/// So few dirty pages are left to freeze: 1 MiB, a fraction of a millisecond.
const PAGES_LEFT: u64 = 256;

/// One file while its contents are saved.
pub(crate) struct Saving<P: Port> {
    name: Name,
    reader: P::Reader,
    store: Option<PageStore>,
    placing: Placing,
    writes: Writes,
    /// Pages that have to be copied again.
    dirty: Vec<Range<u64>>,
    /// Pages that the host kept beyond those that were populated, when all of the file was searched.
    beyond: Option<u64>,
    /// What the index says; `None` if it was not written, or is no longer right.
    names: Option<StoreNames>,
}

/// Who knows what is written.
enum Writes {
    Unknown,
    Logged(Box<dyn DirtyLog>),
    /// Nothing can be written.
    Sealed,
}

/// What a step needs of the handler.
pub(crate) struct Hands<'a, P: Port> {
    pub(crate) port: &'a P,
    pub(crate) options: &'a Options<P::File>,
    pub(crate) memory: &'a mut dyn Memory,
}

impl From<OutOfSlots> for MemfdError {
    fn from(error: OutOfSlots) -> Self {
        let OutOfSlots { populated, slots } = error;
        Self::OutOfRoom { populated, reserved: slots }
    }
}

impl<P: Port> Saving<P> {
    /// Reserves what freeze may need, and copies what can be copied now.
    pub(crate) fn begin(file: &P::File, name: Name, hands: &mut Hands<'_, P>) -> Result<Self, MemfdError> {
        let Hands { port, options, .. } = hands;
        let reader = port.open(file)?;
        let before = port.look(file)?;
        // From here on it knows what is written, so whatever is copied later is at least as new.
        let writes = match &options.dirty {
            _ if before.contents_are_final() => Writes::Sealed,
            DirtySource::None => Writes::Unknown,
            DirtySource::Given(log_of) => log_of(file).map_or(Writes::Unknown, Writes::Logged),
        };
        let attributes = port.look(file)?;
        let populated = scan::populated(*port, &reader, 0..attributes.pages())?;
        let reserve = options.head_room.reserve(scan::count(&populated), &attributes);
        let store = PageStore::reserve(hands.memory, reserve)?;
        let placing = Placing::new(reserve);
        let (dirty, beyond, names) = (Vec::new(), None, None);
        let mut saving = Self { name, reader, store, placing, writes, dirty, beyond, names };
        if matches!(saving.writes, Writes::Unknown) {
            saving.warm_up(scan::count(&populated), hands.memory)?;
        } else {
            saving.copy_found(&attributes, &populated, hands)?;
            saving.rounds(file, hands)?;
        }
        Ok(saving)
    }

    /// Copies what is left, with the users stopped, and says where everything is.
    pub(crate) fn complete(
        &mut self,
        attributes: &Attributes,
        hands: &mut Hands<'_, P>,
    ) -> Result<StoreNames, MemfdError> {
        match &self.writes {
            Writes::Unknown => {
                self.placing = Placing::new(self.placing.slots());
                self.names = None;
                self.search_and_copy(attributes, hands)?;
            }
            Writes::Sealed | Writes::Logged(_) => {
                self.drain()?;
                self.copy_dirty(attributes, hands)?;
                // Pages came or went that the log did not name.
                if self.beyond != attributes.pages_kept().checked_sub(self.placing.pages()) {
                    self.search_and_copy(attributes, hands)?;
                }
            }
        }
        let Some(store) = &mut self.store else { return Ok(StoreNames::NONE) };
        let names = match self.names {
            Some(names) => names,
            None => store.write_index(hands.memory, self.placing.pieces())?,
        };
        self.names = Some(names);
        Ok(names)
    }

    /// Touches the slots that freeze will fill: where frames are memory that is mapped, the first touch of each costs
    /// as much as copying it.
    fn warm_up(&mut self, pages: u64, memory: &mut dyn Memory) -> Result<(), MemfdError> {
        let Some(store) = &mut self.store else { return Ok(()) };
        Ok(store.touch(memory, pages)?)
    }

    /// Copies what is written while it copies, until that is little or does not get less.
    fn rounds(&mut self, file: &P::File, hands: &mut Hands<'_, P>) -> Result<(), MemfdError> {
        let mut before = self.placing.pages();
        for _ in 0..ROUNDS_MAX {
            self.drain()?;
            let attributes = hands.port.look(file)?;
            self.dirty = scan::merged(core::mem::take(&mut self.dirty), u64::MAX);
            let now = scan::count(&self.dirty);
            if now <= PAGES_LEFT || now > before / 2 {
                break;
            }
            before = now;
            self.copy_dirty(&attributes, hands)?;
        }
        Ok(())
    }

    /// Adds what the log says to what is dirty.
    fn drain(&mut self) -> Result<(), MemfdError> {
        let Self { writes, dirty, .. } = self;
        match writes {
            Writes::Logged(log) => log.drain(&mut |pages| dirty.push(pages)).map_err(MemfdError::DirtyLog),
            Writes::Unknown | Writes::Sealed => Ok(()),
        }
    }

    /// Copies the dirty pages; those of them that are holes now lose their slots. What is dirty stays so until all was
    /// copied.
    fn copy_dirty(&mut self, attributes: &Attributes, hands: &mut Hands<'_, P>) -> Result<(), MemfdError> {
        let end = attributes.pages();
        let dirty = scan::merged(core::mem::take(&mut self.dirty), u64::MAX);
        self.dirty.clone_from(&dirty);
        let mut populated = Vec::new();
        let mut regions = scan::merged(dirty, end);
        for pages in &regions {
            populated.extend(scan::populated(hands.port, &self.reader, pages.clone())?);
        }
        // What was cut off.
        regions.push(end..u64::MAX);
        self.settle(&regions, &populated)?;
        self.copy(&populated, hands)?;
        self.dirty.clear();
        Ok(())
    }

    /// Searches the whole file, and copies pages that had no slot.
    fn search_and_copy(
        &mut self,
        attributes: &Attributes,
        hands: &mut Hands<'_, P>,
    ) -> Result<(), MemfdError> {
        let populated = scan::populated(hands.port, &self.reader, 0..attributes.pages())?;
        self.copy_found(attributes, &populated, hands)
    }

    /// As [`search_and_copy`](Self::search_and_copy), after the search.
    fn copy_found(
        &mut self,
        attributes: &Attributes,
        populated: &[Range<u64>],
        hands: &mut Hands<'_, P>,
    ) -> Result<(), MemfdError> {
        let missing: Vec<_> =
            populated.iter().flat_map(|pages| self.placing.missing(pages.clone())).collect();
        self.settle(core::slice::from_ref(&(0..u64::MAX)), populated)?;
        // If copying them fails, they have slots with nothing in them.
        self.dirty.extend(missing.iter().cloned());
        self.copy(&missing, hands)?;
        self.dirty.clear();
        self.beyond = attributes.pages_kept().checked_sub(self.placing.pages());
        Ok(())
    }

    fn settle(&mut self, regions: &[Range<u64>], populated: &[Range<u64>]) -> Result<(), MemfdError> {
        if self.placing.settle(regions, populated)? {
            self.names = None;
        }
        Ok(())
    }

    /// Copies these pages, all of which have slots.
    fn copy(&mut self, pages: &[Range<u64>], hands: &mut Hands<'_, P>) -> Result<(), MemfdError> {
        let Self { name, reader, store: Some(store), placing, .. } = self else { return Ok(()) };
        let Hands { port, options, memory } = hands;
        let pieces = pages.iter().flat_map(|pages| placing.within(pages.clone()));
        let batches = batches(pieces);
        let of = ByteLen::new(scan::count(pages) * FRAME_BYTES);
        let mut done = 0;
        let read = |batch: &Batch, buffer: &mut Vec<u8>| batch.read(*port, reader, buffer);
        workers::pipeline(&batches, options.threads, read, |batch, bytes| {
            batch.write(&mut **memory, store, bytes)?;
            done += batch.bytes().get();
            let done = ByteLen::new(done);
            options.tell(Progress { name, direction: Direction::Saving, done, of });
            Ok(())
        })
    }
}

#[cfg(test)]
impl<P: Port> Saving<P> {
    /// Pages that have to be copied again.
    pub(super) fn dirty_pages(&self) -> u64 {
        scan::count(&scan::merged(self.dirty.clone(), u64::MAX))
    }

    /// Pages that have slots, each with its slot.
    pub(super) fn placed(&self) -> Vec<(u64, u64)> {
        let each = |piece: luo_xarray::page_map::SlotRun| {
            (0..piece.count).map(move |n| (piece.page + n, piece.slot + n))
        };
        self.placing.pieces().flat_map(each).collect()
    }
}
