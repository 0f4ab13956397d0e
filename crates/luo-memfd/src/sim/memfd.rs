//! A simulated memfd, and what its users can do with it.

use alloc::sync::Arc;
use core::fmt;
use core::ops::{Deref, Range};

use luo_descriptor::sim::{self, refused};
use luo_kho::sim::SimFile;

use super::SimHost;
use crate::{Access, Attributes, BLOCK_BYTES, HostError, Name, Seals, Status};

/// A reference to a simulated memfd. Clones share the descriptor.
#[derive(Clone)]
pub struct SimMemfd {
    pub(super) file: SimFile,
    pub(super) descriptor: Arc<Descriptor>,
}

/// What is the descriptor's own, and its way to what it shares.
pub(super) struct Descriptor {
    state: sim::Descriptor,
    pub(super) arrival: Option<Attributes>,
    _alive: Arc<()>,
}

/// What an opening has; the description of a [`SimFile`].
pub(super) struct Opening {
    pub(super) inode: Arc<Inode>,
    state: Arc<sim::Opening>,
    _alive: Arc<()>,
}

pub(super) struct Inode {
    pub(super) host: SimHost,
    pub(super) name: Name,
    pub(super) guise: Guise,
    state: Arc<sim::Inode>,
    _alive: Arc<()>,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guise {
    Memfd,
    Linked,
    Pipe,
}

impl SimMemfd {
    pub(super) fn create(host: &SimHost, name: &str, guise: Guise) -> Self {
        let Some(name) = Name::new(name) else { panic!("no memfd can be called {name:?}") };
        Self::named(host, name, guise)
    }

    pub(super) fn named(host: &SimHost, name: Name, guise: Guise) -> Self {
        let inode =
            Inode { host: host.clone(), name, guise, state: Arc::default(), _alive: host.token_of_life() };
        let opening = Opening::new(Arc::new(inode), Access::ReadWrite, Status::NONE);
        Self::of(SimFile::new(opening), true, None)
    }

    /// A new descriptor of an opening.
    pub(super) fn of(file: SimFile, close_on_exec: bool, arrival: Option<Attributes>) -> Self {
        let Some(Opening { inode, state, .. }) = file.description() else {
            panic!("every file of this host has an opening")
        };
        let state = sim::Descriptor::new(Arc::clone(&inode.state), Arc::clone(state), close_on_exec);
        let descriptor = Descriptor { state, arrival, _alive: inode.host.token_of_life() };
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
        self.attributes_of(self.file.size(), blocks)
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
        self.may_write("pwrite")?;
        if end > self.file.size() && self.seals().contains(Seals::GROW) {
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
        self.may_write("fallocate")?;
        self.file.discard(pages);
        Ok(())
    }

    /// Cuts it off, or lets it grow.
    ///
    /// # Errors
    ///
    /// A seal or the access forbids it.
    pub fn resize(&self, size: u64) -> Result<(), HostError> {
        self.may_resize(self.file.size(), size)?;
        self.file.resize(size);
        Ok(())
    }
}

impl Opening {
    pub(super) fn new(inode: Arc<Inode>, access: Access, status: Status) -> Self {
        let life = inode.host.token_of_life();
        Self { inode, state: Arc::new(sim::Opening::new(access, status)), _alive: life }
    }
}

/// What users do besides reading and writing is the descriptor's.
impl Deref for SimMemfd {
    type Target = sim::Descriptor;

    fn deref(&self) -> &sim::Descriptor {
        &self.descriptor.state
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
