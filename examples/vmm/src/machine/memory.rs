//! Guest memory as this program reaches it: files, mapped.

use std::io;
use std::sync::Arc;

use luo_core::Identity;
use luo_guestmemfd::Vm;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionCollectionError, GuestRegionMmap, MmapRegion,
};

use super::region::RegionFile;
use crate::guest::Layout;

/// The regions of a guest, mapped shared. Clones share the mappings.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    guest: GuestMemoryMmap,
    files: Arc<[RegionFile]>,
    /// Which they are.
    identities: Vec<Identity>,
    /// The machine that is to have them, if somebody made one beforehand.
    vm: Option<Vm>,
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
    /// The files are not those of this layout.
    #[error("{found} files cannot be the {wanted} regions of the guest")]
    Files {
        /// How many there are.
        found: usize,
        /// How many there have to be.
        wanted: usize,
    },
}

impl Mapped {
    /// Maps the regions of a guest, each from its file, for `vm` if there is one already.
    ///
    /// # Errors
    ///
    /// [`MapError`].
    pub(crate) fn new(
        layout: &Layout,
        files: &[RegionFile],
        vm: Option<&Vm>,
        populate: Populate,
    ) -> Result<Self, MapError> {
        let regions = layout.regions();
        if files.len() != regions.len() {
            return Err(MapError::Files { found: files.len(), wanted: regions.len() });
        }
        let more = |file: &RegionFile| match populate {
            Populate::Now => libc::MAP_POPULATE,
            Populate::Later if file.sets_aside() => 0,
            Populate::Later => libc::MAP_NORESERVE,
        };
        let region = |((start, bytes), file): ((u64, u64), &RegionFile)| {
            let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let whole = FileOffset::new(file.to_file()?, 0);
            let mapping = MmapRegion::build(Some(whole), bytes, access, libc::MAP_SHARED | more(file))?;
            let region = GuestRegionMmap::new(mapping, GuestAddress(start));
            Ok(region.ok_or(GuestRegionCollectionError::UnsortedMemoryRegions)?)
        };
        let mapped = regions.into_iter().zip(files).map(region).collect::<Result<Vec<_>, MapError>>()?;
        let guest = GuestMemoryMmap::from_regions(mapped)?;
        Ok(Self { guest, files: files.into(), identities: identities(files), vm: vm.cloned() })
    }

    /// The memory, by guest addresses.
    pub(crate) const fn guest(&self) -> &GuestMemoryMmap {
        &self.guest
    }

    /// Its files, in the order of the regions.
    pub(super) fn files(&self) -> &[RegionFile] {
        &self.files
    }

    /// The machine that is to have it, if somebody made one beforehand.
    pub(super) const fn vm(&self) -> Option<&Vm> {
        self.vm.as_ref()
    }

    /// Whether it is mapped from these files, in this order.
    pub(super) fn is_in(&self, files: &[RegionFile]) -> bool {
        self.identities == identities(files)
    }
}

fn identities(files: &[RegionFile]) -> Vec<Identity> {
    files.iter().map(RegionFile::identity).collect()
}
