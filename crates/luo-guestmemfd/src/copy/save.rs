//! The near side: a file's contents on their way into preserved memory.

use alloc::boxed::Box;
use alloc::vec;

use luo_kho::{ByteLen, FRAME_BYTES, Memory};
use luo_xarray::page_map::{PageStore, SlotRun, StoreNames};

use super::Stretch;
use super::present::{count, present, reader};
use crate::options::Options;
use crate::{Facts, GuestMemfdError, Port, PrivateMemory};

/// Pages that are copied at once: 1 MiB. More leave the caches, fewer are mostly calls.
const BATCH_PAGES: u64 = 256;

/// One file while its contents are saved.
pub(crate) struct Saving<P: Port> {
    reader: Option<P::Reader>,
    private: Option<Box<dyn PrivateMemory>>,
    store: Option<PageStore>,
    slots: u64,
}

impl<P: Port> Saving<P> {
    /// Reserves what freeze may need, and touches what it will: slots, and pages that the host can read.
    ///
    /// # Errors
    ///
    /// The host's, the memory's or the embedder's.
    pub(crate) fn begin(
        (port, options): (&P, &Options<P>),
        file: &P::File,
        facts: &Facts,
        mut private: Option<Box<dyn PrivateMemory>>,
        memory: &mut dyn Memory,
    ) -> Result<Self, GuestMemfdError> {
        let reader = reader(port, file, facts)?;
        let stretches = present(port, reader.as_ref(), private.as_deref_mut(), facts)?;
        let present = count(&stretches);
        for stretch in stretches.into_iter().filter(|stretch| !stretch.private) {
            reader.as_ref().map_or(Ok(()), |reader| port.touch(reader, stretch.pages))?;
        }
        let slots = options.reserve(present, facts.pages());
        let mut store = PageStore::reserve(memory, slots)?;
        if let Some(store) = &mut store {
            store.touch(memory, present)?;
        }
        Ok(Self { reader, private, store, slots })
    }

    /// Copies everything, with the guest stopped, and says where it is.
    ///
    /// # Errors
    ///
    /// The host's, the memory's or the embedder's; [`GuestMemfdError::OutOfRoom`], [`GuestMemfdError::Hidden`].
    pub(crate) fn complete(
        &mut self,
        port: &P,
        facts: &Facts,
        memory: &mut dyn Memory,
    ) -> Result<StoreNames, GuestMemfdError> {
        let Self { reader, private, store, slots } = self;
        if private.is_none() {
            crate::judge::refuse_hidden(facts)?;
        }
        let stretches = present(port, reader.as_ref(), private.as_deref_mut(), facts)?;
        let (present, reserved) = (count(&stretches), *slots);
        if present > reserved {
            return Err(GuestMemfdError::OutOfRoom { present, reserved });
        }
        let Some(store) = store else { return Ok(StoreNames::NONE) };
        let mut buffer = vec![0; ByteLen::new(BATCH_PAGES * FRAME_BYTES).as_usize()];
        let mut runs = vec![];
        let mut slot = 0;
        for Stretch { pages, private: is_private } in stretches {
            let count = pages.end - pages.start;
            runs.push(SlotRun { page: pages.start, slot, count });
            let mut page = pages.start;
            while page < pages.end {
                let batch = (pages.end - page).min(BATCH_PAGES);
                let bytes = ByteLen::new(batch * FRAME_BYTES).as_usize();
                let bytes = buffer.get_mut(..bytes).unwrap_or_default();
                match (is_private, reader.as_ref(), private.as_deref_mut()) {
                    (false, Some(reader), _) => port.read(reader, page, bytes)?,
                    (true, _, Some(private)) => export(private, page, bytes)?,
                    _ => unreachable!("a stretch was found by who can read it"),
                }
                store.write(memory, slot, bytes)?;
                page += batch;
                slot += batch;
            }
        }
        Ok(store.write_index(memory, runs.into_iter())?)
    }
}

fn export(private: &mut dyn PrivateMemory, first: u64, bytes: &mut [u8]) -> Result<(), GuestMemfdError> {
    for (page, bytes) in (first..).zip(bytes.chunks_exact_mut(luo_kho::FRAME_SIZE)) {
        private.export(page, bytes).map_err(|cause| GuestMemfdError::Export { page, cause })?;
    }
    Ok(())
}
