//! The near side: contents on their way into slots.

use alloc::vec;
use alloc::vec::Vec;

use luo_kho::{ByteLen, FRAME_BYTES};
use luo_xarray::page_map::{PageStore, StoreNames};

use super::{Hands, chunks, count, populated, slot_runs};
use crate::abi::{Copied, Frames};
use crate::options::{Direction, Progress};
use crate::pool::{Placement, Run};
use crate::{Attributes, HugetlbError, PageSize, Place, Port};

/// One file while its contents are saved.
pub(crate) struct Saving<P: Port> {
    reader: P::Reader,
    page_size: PageSize,
    store: Option<PageStore>,
    /// For how many huge pages there are slots.
    reserved: u64,
    /// What was copied when nobody could change it any more.
    done: Option<(Vec<Run>, StoreNames)>,
}

impl<P: Port> Saving<P> {
    /// Reserves what freeze may need, and copies what can be copied now.
    pub(crate) fn begin(
        file: &P::File,
        place: &Place,
        page_size: PageSize,
        hands: &mut Hands<'_, P>,
    ) -> Result<Self, HugetlbError> {
        let reader = hands.port.open(file)?;
        let attributes = hands.port.look(file)?;
        let runs = populated(hands.port, &reader, page_size, &attributes)?;
        let reserved = hands.options.head_room.reserve(count(&runs), page_size, &attributes);
        let store = PageStore::reserve(hands.memory, reserved.saturating_mul(page_size.frames()))?;
        let mut saving = Self { reader, page_size, store, reserved, done: None };
        if attributes.contents_are_final() {
            let names = saving.copy(&runs, place, hands)?;
            saving.done = Some((runs, names));
        } else if let Some(store) = &mut saving.store {
            store.touch(hands.memory, count(&runs) * page_size.frames())?;
        }
        Ok(saving)
    }

    /// Copies what is left, with the users stopped, and says where everything is.
    pub(crate) fn complete(
        &mut self,
        attributes: &Attributes,
        place: &Place,
        hands: &mut Hands<'_, P>,
    ) -> Result<(Copied, Placement), HugetlbError> {
        let runs = populated(hands.port, &self.reader, self.page_size, attributes)?;
        let names = match &self.done {
            // Reading a hole can have populated it, though nobody may write.
            Some((copied, names)) if *copied == runs => *names,
            _ => self.copy(&runs, place, hands)?,
        };
        let StoreNames { slots, index, index_len, pages: _ } = names;
        let frames = Frames::Slots(slots);
        let copied = Copied { frames, index, index_len, pages: count(&runs), shrunk: 0 };
        Ok((copied, Placement::of(&runs)))
    }

    fn copy(
        &mut self,
        runs: &[Run],
        place: &Place,
        hands: &mut Hands<'_, P>,
    ) -> Result<StoreNames, HugetlbError> {
        let (pages, page_size) = (count(runs), self.page_size);
        if pages > self.reserved {
            return Err(HugetlbError::OutOfRoom { populated: pages, reserved: self.reserved });
        }
        let Self { reader, store: Some(store), .. } = self else { return Ok(StoreNames::NONE) };
        let of = ByteLen::new(pages.saturating_mul(page_size.bytes()));
        let mut buffer = vec![0; ByteLen::new(super::CHUNK_BYTES.min(page_size.bytes())).as_usize()];
        let mut done = 0;
        for run in runs {
            for page in run.pages.clone() {
                let from = page * page_size.bytes();
                for (at, len) in chunks(from, from + page_size.bytes(), page_size) {
                    let chunk = buffer.get_mut(..len).unwrap_or_default();
                    hands.port.read(reader, at, chunk)?;
                    store.write(hands.memory, (done + (at - from)) / FRAME_BYTES, chunk)?;
                }
                done += page_size.bytes();
                let done = ByteLen::new(done);
                hands.options.tell(Progress { place, direction: Direction::Saving, done, of });
            }
        }
        Ok(store.write_index(hands.memory, slot_runs(runs, page_size))?)
    }
}
