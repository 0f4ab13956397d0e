//! The near side, where there is no room for the contents twice: each huge page is freed when it was copied.
//!
//! That cannot be undone for certain. Until freeze nothing is freed, so whatever can be refused is refused before.

use alloc::vec;
use alloc::vec::Vec;

use luo_kho::{ByteLen, FRAME_BYTES, FrameCount, FrameRange, KhoError};
use luo_xarray::page_map::{PageStore, SlotRun, StoreNames};

use super::strandings::Stranding;
use super::{CHUNK_BYTES, Hands, chunks, count, populated};
use crate::abi::{Copied, Frames};
use crate::options::{Direction, FreeTo, Options, Progress};
use crate::pool::{Placement, Pool, Run};
use crate::{Attributes, HugetlbError, Node, PageSize, Place, Port, Seals};

/// One file while its pages are freed.
pub(crate) struct Freeing<P: Port> {
    file: P::File,
    reader: P::Reader,
    draft: P::Draft,
    page_size: PageSize,
    to: FreeTo,
    stand_in: P::StandIn,
    segment: FrameRange,
    store: PageStore,
    /// For how many huge pages the page map has room.
    reserved: u64,
    /// Pages whose contents are in the stand-in alone, one by one.
    freed: Vec<Run>,
    /// Nodes whose pool has shrunk by a page, one by one.
    shrunk: Vec<Node>,
    /// Pages that the pool had before.
    total: u64,
}

impl<P: Port> Freeing<P> {
    /// Takes all that freeze will need, and looks whether pages can be freed at all.
    pub(crate) fn begin(
        (file, to): (&P::File, FreeTo),
        page_size: PageSize,
        hands: &mut Hands<'_, P>,
    ) -> Result<Self, HugetlbError> {
        let port = hands.port;
        let attributes = port.look(file)?;
        can_free(&attributes)?;
        let (reader, draft) = (port.open(file)?, port.refill(file, page_size)?);
        let runs = populated(port, &reader, page_size, &attributes)?;
        let reserved = hands.options.head_room.reserve(count(&runs), page_size, &attributes);
        let stand_in = port.stand_in(attributes.size)?;
        let most = attributes.size.max(reserved.saturating_mul(page_size.bytes()));
        let too_many = || KhoError::NotAttachable { why: "it has more pages than there are frame numbers" };
        let frames = FrameCount::new((most / FRAME_BYTES).max(1)).ok_or_else(too_many)?;
        let segment = port.attach_stand_in(&stand_in, hands.memory, frames)?;
        let store =
            PageStore::reserve_index(hands.memory, segment, reserved.saturating_mul(page_size.frames()))?;
        let file = file.clone();
        let (freed, shrunk, total) = (Vec::new(), Vec::new(), 0);
        Ok(Self {
            file,
            reader,
            draft,
            page_size,
            to,
            stand_in,
            segment,
            store,
            reserved,
            freed,
            shrunk,
            total,
        })
    }

    /// Copies and frees, with the users stopped, and says where everything is.
    pub(crate) fn complete(
        &mut self,
        attributes: &Attributes,
        place: &Place,
        hands: &mut Hands<'_, P>,
    ) -> Result<(Copied, Placement), HugetlbError> {
        can_free(attributes)?;
        let page_size = self.page_size;
        let runs = populated(hands.port, &self.reader, page_size, attributes)?;
        let pages = count(&runs);
        let room = self.segment.count().get() / page_size.frames();
        if pages > self.reserved || runs.last().is_some_and(|run| run.pages.end > room) {
            return Err(HugetlbError::OutOfRoom { populated: pages, reserved: self.reserved.min(room) });
        }
        self.total = total(&hands.port.pools()?, page_size);
        // In a stand-in a page lies where it lay in the file.
        let frames = page_size.frames();
        let in_place = runs.iter().map(|run| {
            let (page, count) = (run.pages.start * frames, (run.pages.end - run.pages.start) * frames);
            SlotRun { page, slot: page, count }
        });
        let StoreNames { index, index_len, .. } = self.store.write_index(hands.memory, in_place)?;
        if let Err(error) = self.move_out(&runs, place, hands) {
            let stranded = self.take_back(place, hands.port, hands.options);
            return Err(if stranded == 0 { error } else { HugetlbError::Stranded { stranded } });
        }
        let shrunk = ByteLen::of(self.shrunk.len()).get();
        let copied = Copied { frames: Frames::StandIn(self.segment), index, index_len, pages, shrunk };
        Ok((copied, Placement::of(&runs)))
    }

    fn move_out(&mut self, runs: &[Run], place: &Place, hands: &Hands<'_, P>) -> Result<(), HugetlbError> {
        let (port, page_size) = (hands.port, self.page_size);
        let of = ByteLen::new(count(runs).saturating_mul(page_size.bytes()));
        let mut buffer = vec![0; ByteLen::new(CHUNK_BYTES.min(page_size.bytes())).as_usize()];
        for run in runs {
            for page in run.pages.clone() {
                let from = page * page_size.bytes();
                for (at, len) in chunks(from, from + page_size.bytes(), page_size) {
                    let chunk = buffer.get_mut(..len).unwrap_or_default();
                    port.read(&self.reader, at, chunk)?;
                    port.keep(&self.stand_in, at, chunk)?;
                }
                let this = Run { pages: page..page + 1, node: run.node };
                let shrunk = port.free(&self.draft, &this, self.to == FreeTo::CommonMemory)?;
                self.shrunk.extend(shrunk.then_some(run.node));
                self.freed.push(this);
                let done = ByteLen::new(ByteLen::of(self.freed.len()).get() * page_size.bytes());
                hands.options.tell(Progress { place, direction: Direction::Saving, done, of });
            }
        }
        Ok(())
    }

    /// Copies back, as far as pages can be had. How many are stranded: they are remembered, with all that is needed to
    /// try again.
    pub(crate) fn take_back(&mut self, place: &Place, port: &P, options: &Options<P>) -> u64 {
        let shrunk: Placement = core::mem::take(&mut self.shrunk).into_iter().map(|node| (node, 1)).collect();
        // Somebody on the far side may have let the pool grow already.
        let total = port.pools().map(|pools| total(&pools, self.page_size)).unwrap_or_default();
        let mut left = self.total.saturating_sub(total).min(shrunk.pages());
        let share = |(node, pages): (Node, u64)| {
            let share = pages.min(left);
            left -= share;
            (node, share)
        };
        port.grow(self.page_size, &shrunk.iter().map(share).collect::<Vec<_>>());
        let mut stranding = Stranding {
            identity: port.identity(&self.file),
            file: self.file.clone(),
            place: place.clone(),
            page_size: self.page_size,
            stand_in: self.stand_in.clone(),
            pages: core::mem::take(&mut self.freed),
        };
        let of = ByteLen::new(count(&stranding.pages) * self.page_size.bytes());
        let stranded = stranding.bring_back(port, &self.draft);
        let done = ByteLen::new(of.get() - stranded * self.page_size.bytes());
        options.tell(Progress { place, direction: Direction::TakingBack, done, of });
        if stranded > 0 {
            options.strandings.remember(stranding);
        } else {
            port.empty(&self.stand_in);
        }
        stranded
    }
}

/// Pages that the pool has, used or not.
fn total(pools: &[Pool], page_size: PageSize) -> u64 {
    pools.iter().find(|pool| pool.page_size == page_size).map_or(0, Pool::total)
}

fn can_free(attributes: &Attributes) -> Result<(), HugetlbError> {
    let Attributes { seals, .. } = attributes;
    if seals.contains(Seals::WRITE) || seals.contains(Seals::FUTURE_WRITE) {
        return Err(HugetlbError::CannotFree { why: "the file is sealed against writing".into() });
    }
    Ok(())
}
