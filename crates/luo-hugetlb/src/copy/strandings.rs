//! Pages that were freed and cannot be had again yet.
//!
//! Their contents are in a stand-in, which is kept here until they are brought back. Until then the file has holes
//! where it had pages: nobody may use it.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use luo_core::Identity;
use luo_kho::ByteLen;

use super::{CHUNK_BYTES, chunks, count};
use crate::lock::Mutex;
use crate::pool::Run;
use crate::{HostError, PageSize, Place, Port};

/// One file with stranded pages.
pub(super) struct Stranding<P: Port> {
    pub(super) identity: Identity,
    pub(super) file: P::File,
    pub(super) place: Place,
    pub(super) page_size: PageSize,
    pub(super) stand_in: P::StandIn,
    /// One by one.
    pub(super) pages: Vec<Run>,
}

/// The stranded pages of all files of one handler. Clones are the same.
///
/// They are few and rare: there are some only if an update that freed pages was taken back, and somebody else had taken
/// the freed pages meanwhile. Whoever freezes with such a handler asks before it lets users go on.
pub struct Strandings<P: Port> {
    port: Arc<P>,
    list: Arc<Mutex<Vec<Stranding<P>>>>,
}

impl<P: Port> Stranding<P> {
    /// Copies back, as far as pages can be had. How many cannot.
    pub(super) fn bring_back(&mut self, port: &P, draft: &P::Draft) -> u64 {
        let page_size = self.page_size;
        let mut buffer = vec![0; ByteLen::new(CHUNK_BYTES.min(page_size.bytes())).as_usize()];
        let mut bring = |run: &Run| -> Result<bool, HostError> {
            let page = run.pages.start;
            if !port.populate(draft, page, Some(run.node))? {
                return Ok(false);
            }
            let from = page * page_size.bytes();
            for (at, len) in chunks(from, from + page_size.bytes(), page_size) {
                let chunk = buffer.get_mut(..len).unwrap_or_default();
                port.recall(&self.stand_in, at, chunk)?;
                port.write(draft, at, chunk)?;
            }
            Ok(true)
        };
        self.pages.retain(|run| bring(run) != Ok(true));
        count(&self.pages)
    }
}

impl<P: Port> Strandings<P> {
    pub(crate) fn new(port: Arc<P>) -> Self {
        Self { port, list: Arc::default() }
    }

    /// Pages that wait to be brought back, by file.
    pub fn pages(&self) -> Vec<(Place, u64)> {
        self.list.lock().iter().map(|one| (one.place.clone(), count(&one.pages))).collect()
    }

    /// Tries again. How many pages still wait.
    pub fn bring_back(&self) -> u64 {
        let mut list = self.list.lock();
        list.retain_mut(|one| match self.port.refill(&one.file, one.page_size) {
            Ok(draft) => one.bring_back(&self.port, &draft) > 0,
            Err(_) => true,
        });
        list.iter().map(|one| count(&one.pages)).sum()
    }

    pub(super) fn remember(&self, stranding: Stranding<P>) {
        self.list.lock().push(stranding);
    }

    /// Pages of this file that wait, after one more attempt.
    pub(crate) fn of(&self, identity: Identity) -> u64 {
        if self.list.lock().is_empty() {
            return 0;
        }
        self.bring_back();
        let list = self.list.lock();
        list.iter().filter(|one| one.identity == identity).map(|one| count(&one.pages)).sum()
    }
}

impl<P: Port> Clone for Strandings<P> {
    fn clone(&self) -> Self {
        Self { port: Arc::clone(&self.port), list: Arc::clone(&self.list) }
    }
}

impl<P: Port> fmt::Debug for Strandings<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strandings").field("pages", &self.pages()).finish_non_exhaustive()
    }
}
