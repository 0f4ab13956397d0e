//! A simulated memfd, and what its users can do with it.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use luo_descriptor::sim::{self, refused};
use luo_kho::sim::SimFile;

use super::SimHost;
use crate::{Access, Attributes, BLOCK_BYTES, HostError, Name, Owner, Seals, Status};

/// A reference to a simulated memfd. Clones share the descriptor.
#[derive(Clone)]
pub struct SimMemfd {
    pub(super) file: SimFile,
    pub(super) descriptor: Arc<Descriptor>,
}

/// What is the descriptor's own.
pub(super) struct Descriptor {
    pub(super) close_on_exec: AtomicBool,
    pub(super) arrival: Option<Attributes>,
    _alive: Arc<()>,
}

/// What an opening has; the description of a [`SimFile`].
pub(super) struct Opening {
    pub(super) inode: Arc<Inode>,
    pub(super) state: sim::Opening,
    _alive: Arc<()>,
}

pub(super) struct Inode {
    pub(super) host: SimHost,
    pub(super) name: Name,
    pub(super) guise: Guise,
    pub(super) state: sim::Inode,
    _alive: Arc<()>,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guise {
    Memfd,
    Linked,
    Pipe,
}

const ORDER: Ordering = Ordering::Relaxed;

impl SimMemfd {
    pub(super) fn create(host: &SimHost, name: &str, guise: Guise) -> Self {
        let Some(name) = Name::new(name) else { panic!("no memfd can be called {name:?}") };
        Self::named(host, name, guise)
    }

    pub(super) fn named(host: &SimHost, name: Name, guise: Guise) -> Self {
        let inode = Inode {
            host: host.clone(),
            name,
            guise,
            state: sim::Inode::default(),
            _alive: host.token_of_life(),
        };
        let opening = Opening::new(Arc::new(inode), Access::ReadWrite, Status::NONE);
        Self::of(SimFile::new(opening), true, None)
    }

    /// A new descriptor of an opening.
    pub(super) fn of(file: SimFile, close_on_exec: bool, arrival: Option<Attributes>) -> Self {
        let opening = file.description::<Opening>();
        let Some(host) = opening.map(|opening| &opening.inode.host) else {
            panic!("every file of this host has an opening")
        };
        let close_on_exec = AtomicBool::new(close_on_exec);
        let descriptor = Descriptor { close_on_exec, arrival, _alive: host.token_of_life() };
        Self { file, descriptor: Arc::new(descriptor) }
    }

    pub(super) fn opening(&self) -> &Opening {
        let Some(opening) = self.file.description() else { unreachable!("every file of this host has one") };
        opening
    }

    fn inode(&self) -> &Inode {
        &self.opening().inode
    }

    /// All that a user can ask for.
    pub fn attributes(&self) -> Attributes {
        let blocks = self.file.pages() * (luo_kho::FRAME_BYTES / BLOCK_BYTES);
        let close_on_exec = self.descriptor.close_on_exec.load(ORDER);
        self.inode().state.attributes(&self.opening().state, self.file.size(), blocks, close_on_exec)
    }

    /// What it was called when it was made.
    pub fn name(&self) -> &Name {
        &self.inode().name
    }

    /// Its contents.
    pub const fn file(&self) -> &SimFile {
        &self.file
    }

    /// Another opening of the same file.
    #[must_use]
    pub fn reopen(&self, access: Access) -> Self {
        let opening = Opening::new(Arc::clone(&self.opening().inode), access, Status::NONE);
        Self::of(self.file.described(opening), true, None)
    }

    /// Another descriptor of the same opening.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::of(self.file.clone(), false, None)
    }

    /// Reads from byte `at` on, with zeros for holes and beyond the end.
    pub fn read_at(&self, at: u64, bytes: &mut [u8]) {
        self.file.read(at, bytes);
    }

    /// Writes from byte `at` on.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), HostError> {
        let end = at.saturating_add(luo_kho::ByteLen::of(bytes.len()).get());
        self.inode().state.may_write(&self.opening().state, "pwrite")?;
        if end > self.file.size() && self.inode().state.seals().contains(Seals::GROW) {
            return Err(refused("pwrite"));
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
        self.file.discard(pages);
        Ok(())
    }

    /// Cuts it off, or lets it grow.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn resize(&self, size: u64) -> Result<(), HostError> {
        self.inode().state.may_resize(&self.opening().state, self.file.size(), size)?;
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

    /// Whether somebody has locked it.
    pub fn is_locked(&self) -> bool {
        self.inode().state.is_locked()
    }
}

impl Opening {
    pub(super) fn new(inode: Arc<Inode>, access: Access, status: Status) -> Self {
        let life = inode.host.token_of_life();
        Self { inode, state: sim::Opening::new(access, status), _alive: life }
    }
}

impl fmt::Debug for SimMemfd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimMemfd")
            .field("name", self.name())
            .field("attributes", &self.attributes())
            .field("pages", &self.file.pages())
            .finish_non_exhaustive()
    }
}
