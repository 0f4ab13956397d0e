//! Cutting what is to be copied into batches: enough to make a call worth while, and little enough for several threads.
//!
//! - A **batch** is pieces of at most [`BATCH_PAGES`] pages together. One buffer holds it.

use alloc::vec::Vec;
use core::ops::Range;

use luo_kho::{ByteLen, FRAME_BYTES, Memory};
use luo_xarray::page_map::{PageStore, SlotRun as Piece};

use crate::{HostError, MemfdError, Port};

/// Pages in a batch: 1 MiB. Larger ones leave the caches, smaller ones are mostly system calls.
pub(super) const BATCH_PAGES: u64 = 256;

/// Pieces that are copied together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pieces: Vec<Piece>,
    pages: u64,
}

impl Batch {
    /// Bytes of all its pages.
    pub(super) const fn bytes(&self) -> ByteLen {
        ByteLen::new(self.pages * FRAME_BYTES)
    }

    /// Reads all its pages.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(super) fn read<P: Port>(
        &self,
        port: &P,
        reader: &P::Reader,
        buffer: &mut Vec<u8>,
    ) -> Result<(), HostError> {
        buffer.resize(self.bytes().as_usize(), 0);
        let mut rest = buffer.as_mut_slice();
        for piece in &self.pieces {
            let len = ByteLen::new(piece.count * FRAME_BYTES).as_usize();
            let (front, behind) = rest.split_at_mut(len.min(rest.len()));
            port.read(reader, piece.page * FRAME_BYTES, front)?;
            rest = behind;
        }
        Ok(())
    }

    /// Writes what [`read`](Self::read) filled the buffer with to the slots.
    ///
    /// # Errors
    ///
    /// The memory's.
    pub(super) fn write(
        &self,
        memory: &mut dyn Memory,
        store: &mut PageStore,
        buffer: &[u8],
    ) -> Result<(), MemfdError> {
        let mut rest = buffer;
        for run in self.slot_runs() {
            let len = ByteLen::new((run.end - run.start) * FRAME_BYTES).as_usize();
            let (front, behind) = rest.split_at(len.min(rest.len()));
            store.write(memory, run.start, front)?;
            rest = behind;
        }
        Ok(())
    }

    /// Neighbouring slots, in order of the buffer: usually all of them, however scattered the pages are.
    fn slot_runs(&self) -> impl Iterator<Item = Range<u64>> {
        let mut pieces = self.pieces.iter().peekable();
        core::iter::from_fn(move || {
            let first = pieces.next()?;
            let mut run = first.slot..first.slot + first.count;
            while let Some(next) = pieces.next_if(|next| next.slot == run.end) {
                run.end += next.count;
            }
            Some(run)
        })
    }
}

/// The same pages in batches.
pub(super) fn batches(pieces: impl Iterator<Item = Piece>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for mut piece in pieces {
        while piece.count > 0 {
            if batches.last().is_none_or(|batch| batch.pages >= BATCH_PAGES) {
                batches.push(Batch::default());
            }
            let Some(batch) = batches.last_mut() else { break };
            let count = piece.count.min(BATCH_PAGES - batch.pages);
            batch.pieces.push(Piece { count, ..piece });
            batch.pages += count;
            piece = Piece { page: piece.page + count, slot: piece.slot + count, count: piece.count - count };
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_full_and_lose_nothing() {
        let pieces = [
            Piece { page: 0, slot: 0, count: 300 },
            Piece { page: 1000, slot: 300, count: 1 },
            Piece { page: 2000, slot: 7000, count: 1000 },
        ];
        let batches = batches(pieces.into_iter());
        let pages: Vec<u64> = batches.iter().map(|batch| batch.pages).collect();
        assert_eq!(pages, [256, 256, 256, 256, 256, 21]);
        let flat = |pieces: &mut dyn Iterator<Item = Piece>| -> Vec<(u64, u64)> {
            pieces.flat_map(|piece| (0..piece.count).map(move |n| (piece.page + n, piece.slot + n))).collect()
        };
        let found = flat(&mut batches.iter().flat_map(|batch| batch.pieces.iter().copied()));
        assert_eq!(found, flat(&mut pieces.into_iter()));
        assert_eq!(batches[1].slot_runs().collect::<Vec<_>>(), [256..301, 7000..7211]);
    }
}
