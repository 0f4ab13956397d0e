//! A simulated file of huge pages, and what its users can do with it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::fmt;
use core::ops::{Deref, Range};

use luo_descriptor::sim::{self, refused};
use luo_kho::ByteLen;
use luo_kho::sim::SimFile;

use super::{ENOSPC, SimHost};
use crate::lock::Mutex;
use crate::{Access, Attributes, BLOCK_BYTES, HostError, Node, PageSize, Place, Run, Seals, Status};

/// A reference to a simulated file. Clones share the descriptor.
#[derive(Clone)]
pub struct SimHuge {
    file: SimFile,
    descriptor: Arc<Descriptor>,
}

/// What is the descriptor's own, and its way to what it shares.
struct Descriptor {
    state: sim::Descriptor,
    arrival: Option<Attributes>,
    _alive: Arc<()>,
}

/// What an opening has; the description of a [`SimFile`].
pub(super) struct Opening {
    inode: Arc<Inode>,
    state: Arc<sim::Opening>,
    _alive: Arc<()>,
}

/// What all references share.
pub(super) struct Inode {
    host: Mutex<SimHost>,
    place: Mutex<Place>,
    pub(super) page_size: PageSize,
    pub(super) guise: Guise,
    state: Arc<sim::Inode>,
    pages: Mutex<BTreeMap<u64, Node>>,
    poisoned: Mutex<BTreeSet<u64>>,
    _alive: Arc<()>,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guise {
    Huge,
    Pipe,
}

impl Inode {
    pub(super) fn of(file: &SimFile) -> Option<&Arc<Self>> {
        file.description::<Opening>().map(|opening| &opening.inode)
    }

    pub(super) fn place(&self) -> Place {
        self.place.lock().clone()
    }

    pub(super) fn set_place(&self, to: Place) {
        *self.place.lock() = to;
    }

    pub(super) fn unlink(&self) {
        if let Place::Mounted { path, .. } = &mut *self.place.lock() {
            *path = None;
        }
    }

    /// Its pages belong to this host from now on.
    pub(super) fn move_to(&self, host: &SimHost) {
        let before = core::mem::replace(&mut *self.host.lock(), host.clone());
        if Arc::ptr_eq(&before.0, &host.0) {
            return;
        }
        for node in self.pages.lock().values() {
            before.0.pools.lock().lose(self.page_size, *node);
            host.0.pools.lock().adopt(self.page_size, *node);
        }
    }

    /// A page for a hole. `false` if there is none.
    pub(super) fn populate(&self, page: u64, near: Option<Node>) -> bool {
        let mut pages = self.pages.lock();
        if pages.contains_key(&page) {
            return true;
        }
        let Some(node) = self.host.lock().0.pools.lock().take(self.page_size, near) else { return false };
        pages.insert(page, node);
        true
    }

    /// Makes holes.
    pub(super) fn free(&self, file: &SimFile, range: Range<u64>) {
        let frames = self.page_size.frames();
        let gone: BTreeMap<u64, Node> = self.pages.lock().extract_if(range.clone(), |_, _| true).collect();
        file.discard(range.start.saturating_mul(frames)..range.end.saturating_mul(frames));
        let host = self.host.lock();
        for (page, node) in gone {
            self.poisoned.lock().remove(&page);
            host.0.pools.lock().put(self.page_size, node);
        }
    }

    pub(super) fn runs(&self) -> alloc::vec::Vec<Run> {
        let pages = self.pages.lock();
        let mut runs: alloc::vec::Vec<Run> = alloc::vec::Vec::new();
        for (&page, &node) in pages.iter() {
            match runs.last_mut() {
                Some(run) if run.pages.end == page && run.node == node => run.pages.end += 1,
                _ => runs.push(Run { pages: page..page + 1, node }),
            }
        }
        runs
    }

    pub(super) fn first_poisoned(&self) -> Option<u64> {
        self.poisoned.lock().first().copied()
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        let host = self.host.lock();
        for node in core::mem::take(&mut *self.pages.lock()).into_values() {
            host.0.pools.lock().put(self.page_size, node);
        }
    }
}

impl SimHuge {
    pub(super) fn create(host: &SimHost, place: Place, page_size: PageSize, guise: Guise) -> Self {
        let linked = matches!(place, Place::Mounted { .. });
        let inode = Inode {
            host: Mutex::new(host.clone()),
            place: Mutex::new(place),
            page_size,
            guise,
            state: Arc::default(),
            pages: Mutex::default(),
            poisoned: Mutex::default(),
            _alive: host.token_of_life(),
        };
        let opening = Opening::new(host, Arc::new(inode), Access::ReadWrite, Status::NONE);
        let file = Self::of(SimFile::new(opening), true, None);
        if linked {
            // As on Linux: files below a mount take no seals.
            let _ = file.add_seals(Seals::SEAL);
        }
        file
    }

    /// A new descriptor of an opening.
    pub(super) fn of(file: SimFile, close_on_exec: bool, arrival: Option<Attributes>) -> Self {
        let Some(Opening { inode, state, .. }) = file.description() else {
            panic!("every file of this host has an opening")
        };
        let state = sim::Descriptor::new(Arc::clone(&inode.state), Arc::clone(state), close_on_exec);
        let descriptor = Descriptor { state, arrival, _alive: inode.host.lock().token_of_life() };
        Self { file, descriptor: Arc::new(descriptor) }
    }

    pub(super) fn opening(&self) -> &Opening {
        let Some(opening) = self.file.description() else { unreachable!("every file of this host has one") };
        opening
    }

    pub(super) fn inode(&self) -> &Arc<Inode> {
        &self.opening().inode
    }

    pub(super) fn arrival(&self) -> Option<&Attributes> {
        self.descriptor.arrival.as_ref()
    }

    /// All that a user can ask for.
    pub fn attributes(&self) -> Attributes {
        let inode = self.inode();
        let pages = ByteLen::of(inode.pages.lock().len()).get();
        let blocks = pages * (inode.page_size.bytes() / BLOCK_BYTES);
        self.attributes_of(self.file.size(), blocks)
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.inode().place()
    }

    /// The size of its pages.
    pub fn page_size(&self) -> PageSize {
        self.inode().page_size
    }

    /// Its populated pages, with their nodes.
    pub fn runs(&self) -> alloc::vec::Vec<Run> {
        self.inode().runs()
    }

    /// Its contents.
    pub const fn file(&self) -> &SimFile {
        &self.file
    }

    /// Another opening of the same file.
    #[must_use]
    pub fn reopen(&self, access: Access) -> Self {
        let inode = Arc::clone(self.inode());
        let host = inode.host.lock().clone();
        let opening = Opening::new(&host, inode, access, Status::NONE);
        Self::of(self.file.described(opening), true, None)
    }

    /// Reads from byte `at` on, with zeros for holes and beyond the end.
    pub fn read_at(&self, at: u64, bytes: &mut [u8]) {
        self.file.read(at, bytes);
    }

    /// Writes from byte `at` on, as through a mapping: within the size. Holes become pages.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it, it would end beyond the size, or no page can be had.
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        let inode = self.inode();
        self.may_write("store")?;
        let end = at.saturating_add(ByteLen::of(bytes.len()).get());
        if end > self.file.size() {
            return Err(refused("store"));
        }
        let page = inode.page_size.bytes();
        for number in at / page..end.div_ceil(page) {
            if !inode.populate(number, None) {
                return Err(HostError { call: "store", errno: ENOSPC });
            }
        }
        self.file.write(at, bytes);
        Ok(())
    }

    /// Makes holes of pages.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn discard(&self, pages: Range<u64>) -> Result<(), HostError> {
        self.may_write("fallocate")?;
        self.inode().free(&self.file, pages);
        Ok(())
    }

    /// Cuts it off, or lets it grow: to a multiple of its page size.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    ///
    /// # Panics
    ///
    /// If it is no multiple.
    pub fn resize(&self, size: u64) -> Result<(), HostError> {
        let inode = self.inode();
        assert!(size.is_multiple_of(inode.page_size.bytes()), "no file has a part of a huge page");
        self.may_resize(self.file.size(), size)?;
        inode.free(&self.file, inode.page_size.pages(size)..u64::MAX);
        self.file.resize(size);
        Ok(())
    }

    /// The memory under a page breaks.
    pub fn poison(&self, page: u64) {
        self.inode().poisoned.lock().insert(page);
    }
}

impl Opening {
    pub(super) fn new(host: &SimHost, inode: Arc<Inode>, access: Access, status: Status) -> Self {
        Self { inode, state: Arc::new(sim::Opening::new(access, status)), _alive: host.token_of_life() }
    }
}

/// What users do besides reading and writing is the descriptor's.
impl Deref for SimHuge {
    type Target = sim::Descriptor;

    fn deref(&self) -> &sim::Descriptor {
        &self.descriptor.state
    }
}

impl fmt::Debug for SimHuge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimHuge")
            .field("place", &self.place())
            .field("page_size", &self.page_size())
            .field("attributes", &self.attributes())
            .field("runs", &self.runs())
            .finish_non_exhaustive()
    }
}
