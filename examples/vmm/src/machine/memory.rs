//! Guest memory as this program reaches it: memfds, mapped.

use std::io;

use luo_core::Identity;
use luo_memfd::linux::GuestError;
use luo_memfd::{Linux, Memfd, Port as _};
use vm_memory::mmap::MmapRegionError;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionCollectionError, GuestRegionMmap, MmapRegion};

use crate::guest::Layout;

/// The regions of a guest, mapped shared. Clones share the mappings.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    guest: GuestMemoryMmap,
    /// Which files they are of, in the order of the regions.
    files: Vec<Identity>,
}

/// Whether mapping puts the pages in place too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Populate {
    /// All of them, now: it takes time, and nobody waits.
    Now,
    /// Each when it is touched.
    Later,
}

/// Why there is no guest memory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MapError {
    /// The host gave none.
    #[error("the host gives no memory: {0}")]
    Host(#[from] io::Error),
    /// It cannot be mapped.
    #[error("guest memory cannot be mapped: {0}")]
    Map(#[from] MmapRegionError),
    /// The regions do not make up a guest's memory.
    #[error("guest memory is not in order: {0}")]
    Regions(#[from] GuestRegionCollectionError),
    /// Its files cannot be told.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The files are not those of this layout.
    #[error("{found} files cannot be the {wanted} regions of the guest")]
    Files {
        /// How many there are.
        found: usize,
        /// How many there have to be.
        wanted: usize,
    },
}

/// What `/proc` calls the memfds.
const NAME: &str = "luo-vmm-guest";

/// Fresh memfds for the regions of a guest, all holes.
///
/// # Errors
///
/// [`MapError::Host`].
pub(crate) fn create(layout: &Layout) -> Result<Vec<Memfd>, MapError> {
    let memfd = |(_, bytes): (u64, u64)| Memfd::create(NAME, bytes);
    layout.regions().into_iter().map(memfd).collect::<io::Result<_>>().map_err(MapError::Host)
}

impl Mapped {
    /// Maps the regions of a guest, each from its memfd.
    ///
    /// # Errors
    ///
    /// [`MapError`].
    pub(crate) fn new(layout: &Layout, memfds: &[Memfd], populate: Populate) -> Result<Self, MapError> {
        let regions = layout.regions();
        if memfds.len() != regions.len() {
            return Err(MapError::Files { found: memfds.len(), wanted: regions.len() });
        }
        let more = if populate == Populate::Now { libc::MAP_POPULATE } else { libc::MAP_NORESERVE };
        let region = |((start, bytes), memfd): ((u64, u64), &Memfd)| {
            let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let mapping = MmapRegion::build(Some(memfd.at(0)?), bytes, access, libc::MAP_SHARED | more)?;
            let region = GuestRegionMmap::new(mapping, GuestAddress(start));
            Ok(region.ok_or(GuestRegionCollectionError::UnsortedMemoryRegions)?)
        };
        let mapped = regions.into_iter().zip(memfds).map(region).collect::<Result<Vec<_>, MapError>>()?;
        Ok(Self { guest: GuestMemoryMmap::from_regions(mapped)?, files: identities(memfds) })
    }

    /// The memory, by guest addresses.
    pub(crate) const fn guest(&self) -> &GuestMemoryMmap {
        &self.guest
    }

    /// Whether it is mapped from these memfds, in this order.
    pub(super) fn is_in(&self, memfds: &[Memfd]) -> bool {
        self.files == identities(memfds)
    }
}

fn identities(memfds: &[Memfd]) -> Vec<Identity> {
    let port = Linux::new();
    memfds.iter().map(|memfd| port.identity(memfd)).collect()
}
