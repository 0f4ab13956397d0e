//! A simulated memfd, and what its users can do with it.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use luo_kho::sim::SimFile;

use super::{EPERM, SimHost};
use crate::{Access, Attributes, BLOCK_BYTES, HostError, Name, Owner, Seals, Status, Times};

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
    position: AtomicU64,
    status: AtomicU32,
    access: Access,
    _alive: Arc<()>,
}

pub(super) struct Inode {
    pub(super) host: SimHost,
    pub(super) name: Name,
    pub(super) guise: Guise,
    seals: AtomicU32,
    mode: AtomicU32,
    user: AtomicU32,
    group: AtomicU32,
    locked: AtomicBool,
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

fn refused(call: &'static str) -> HostError {
    HostError { call, errno: EPERM }
}

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
            seals: AtomicU32::new(0),
            mode: AtomicU32::new(0o777),
            user: AtomicU32::new(0),
            group: AtomicU32::new(0),
            locked: AtomicBool::new(false),
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
        let (opening, inode) = (self.opening(), self.inode());
        Attributes {
            size: self.file.size(),
            blocks: self.file.pages() * (luo_kho::FRAME_BYTES / BLOCK_BYTES),
            position: opening.position.load(ORDER),
            seals: Seals::from_bits(inode.seals.load(ORDER)),
            mode: inode.mode.load(ORDER),
            owner: Owner { user: inode.user.load(ORDER), group: inode.group.load(ORDER) },
            times: Times::default(),
            access: opening.access,
            status: Status::from_bits(opening.status.load(ORDER)).unwrap_or(Status::UNKNOWN),
            close_on_exec: self.descriptor.close_on_exec.load(ORDER),
        }
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
        let attributes = self.attributes();
        let end = at.saturating_add(luo_kho::ByteLen::of(bytes.len()).get());
        let grows = end > attributes.size && attributes.seals.contains(Seals::GROW);
        if attributes.access == Access::Read || self.is_write_sealed() || grows {
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
        if self.opening().access == Access::Read || self.is_write_sealed() {
            return Err(refused("fallocate"));
        }
        self.file.discard(pages);
        Ok(())
    }

    /// Cuts it off, or lets it grow.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn resize(&self, size: u64) -> Result<(), HostError> {
        let Attributes { size: now, seals, access, .. } = self.attributes();
        let sealed = size < now && seals.contains(Seals::SHRINK) || size > now && seals.contains(Seals::GROW);
        if access == Access::Read || sealed {
            return Err(refused("ftruncate"));
        }
        self.file.resize(size);
        Ok(())
    }

    /// Adds seals.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn add_seals(&self, seals: Seals) -> Result<(), HostError> {
        let now = Seals::from_bits(self.inode().seals.load(ORDER));
        if self.opening().access == Access::Read || now.contains(Seals::SEAL) {
            return Err(refused("fcntl(F_ADD_SEALS)"));
        }
        self.inode().seals.store((now | seals).bits(), ORDER);
        Ok(())
    }

    /// Sets the mode.
    pub fn set_mode(&self, mode: u32) {
        self.inode().mode.store(mode, ORDER);
    }

    /// Gives it to somebody.
    pub fn set_owner(&self, owner: Owner) {
        self.inode().user.store(owner.user, ORDER);
        self.inode().group.store(owner.group, ORDER);
    }

    /// Moves the position.
    pub fn seek(&self, position: u64) {
        self.opening().position.store(position, ORDER);
    }

    /// Sets the status flags.
    pub fn set_status(&self, status: Status) {
        self.opening().status.store(status.bits(), ORDER);
    }

    /// Sets the close-on-exec flag of this descriptor.
    pub fn set_close_on_exec(&self, close: bool) {
        self.descriptor.close_on_exec.store(close, ORDER);
    }

    /// Locks it, or lets it go.
    pub fn set_locked(&self, locked: bool) {
        self.inode().locked.store(locked, ORDER);
    }

    /// Whether somebody has locked it.
    pub fn is_locked(&self) -> bool {
        self.inode().locked.load(ORDER)
    }

    fn is_write_sealed(&self) -> bool {
        let seals = Seals::from_bits(self.inode().seals.load(ORDER));
        seals.contains(Seals::WRITE) || seals.contains(Seals::FUTURE_WRITE)
    }
}

impl Opening {
    pub(super) fn new(inode: Arc<Inode>, access: Access, status: Status) -> Self {
        let life = inode.host.token_of_life();
        let (position, status) = (AtomicU64::new(0), AtomicU32::new(status.bits()));
        Self { inode, position, status, access, _alive: life }
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
