//! A simulated file of huge pages, and what its users can do with it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use luo_descriptor::sim::{self, refused};
use luo_kho::ByteLen;
use luo_kho::sim::SimFile;
use spin::Mutex;

use super::{ENOSPC, SimHost};
use crate::{Access, Attributes, BLOCK_BYTES, HostError, Node, Owner, PageSize, Place, Run, Seals, Status};

/// A reference to a simulated file. Clones share the descriptor.
#[derive(Clone)]
pub struct SimHuge {
    file: SimFile,
    descriptor: Arc<Descriptor>,
}

/// What is the descriptor's own.
struct Descriptor {
    close_on_exec: AtomicBool,
    arrival: Option<Attributes>,
    _alive: Arc<()>,
}

/// What an opening has; the description of a [`SimFile`].
pub(super) struct Opening {
    inode: Arc<Inode>,
    pub(super) state: sim::Opening,
    _alive: Arc<()>,
}

/// What all references share.
pub(super) struct Inode {
    host: Mutex<SimHost>,
    place: Mutex<Place>,
    pub(super) page_size: PageSize,
    pub(super) guise: Guise,
    pub(super) state: sim::Inode,
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

const ORDER: Ordering = Ordering::Relaxed;

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
            state: sim::Inode::default(),
            pages: Mutex::default(),
            poisoned: Mutex::default(),
            _alive: host.token_of_life(),
        };
        let opening = Opening::new(host, Arc::new(inode), Access::ReadWrite, Status::NONE);
        if linked {
            // As on Linux: files below a mount take no seals.
            let _ = opening.inode.state.add_seals(&opening.state, Seals::SEAL);
        }
        Self::of(SimFile::new(opening), true, None)
    }

    /// A new descriptor of an opening.
    pub(super) fn of(file: SimFile, close_on_exec: bool, arrival: Option<Attributes>) -> Self {
        let Some(inode) = Inode::of(&file) else { panic!("every file of this host has an opening") };
        let alive = inode.host.lock().token_of_life();
        let close_on_exec = AtomicBool::new(close_on_exec);
        Self { file, descriptor: Arc::new(Descriptor { close_on_exec, arrival, _alive: alive }) }
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
        let close_on_exec = self.descriptor.close_on_exec.load(ORDER);
        inode.state.attributes(&self.opening().state, self.file.size(), blocks, close_on_exec)
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
        inode.state.may_write(&self.opening().state, "store")?;
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
        self.inode().state.may_write(&self.opening().state, "fallocate")?;
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
        inode.state.may_resize(&self.opening().state, self.file.size(), size)?;
        inode.free(&self.file, inode.page_size.pages(size)..u64::MAX);
        self.file.resize(size);
        Ok(())
    }

    /// Adds seals.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn add_seals(&self, seals: Seals) -> Result<(), HostError> {
        self.inode().state.add_seals(&self.opening().state, seals)
    }

    /// Sets the mode.
    pub fn set_mode(&self, mode: u32) {
        self.inode().state.set_mode(mode);
    }

    /// Gives it to somebody.
    pub fn set_owner(&self, owner: Owner) {
        self.inode().state.set_owner(owner);
    }

    /// Moves the position.
    pub fn seek(&self, position: u64) {
        self.opening().state.seek(position);
    }

    /// Sets the status flags.
    pub fn set_status(&self, status: Status) {
        self.opening().state.set_status(status);
    }

    /// Sets the close-on-exec flag of this descriptor.
    pub fn set_close_on_exec(&self, close: bool) {
        self.descriptor.close_on_exec.store(close, ORDER);
    }

    /// Locks it, or lets it go.
    pub fn set_locked(&self, locked: bool) {
        self.inode().state.set_locked(locked);
    }

    /// The memory under a page breaks.
    pub fn poison(&self, page: u64) {
        self.inode().poisoned.lock().insert(page);
    }
}

impl Opening {
    pub(super) fn new(host: &SimHost, inode: Arc<Inode>, access: Access, status: Status) -> Self {
        Self { inode, state: sim::Opening::new(access, status), _alive: host.token_of_life() }
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
