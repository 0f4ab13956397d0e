//! From and to the guest memory of rust-vmm's `vm-memory`.
//!
//! A guest's memory is regions, with gaps between them, each a mapping of a part of some file. The files are what
//! crosses; the **layout** says which part of which file lies where in the guest, and is the VMM's to remember: it is a
//! part of its machine's state.

use alloc::vec::Vec;
use std::io;
use std::os::fd::AsFd;

use luo_core::Identity;
use vm_memory::bitmap::{Bitmap, NewBitmap};
use vm_memory::mmap::FromRangesError;
use vm_memory::{
    Address, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
    GuestRegionMmap,
};

use super::{Linux, Memfd};
use crate::Port;

/// `MAP_PRIVATE` in `mmap(2)`, the same number on every architecture.
const MAP_PRIVATE: i32 = 2;

/// One region of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Where the guest sees it.
    pub guest: GuestAddress,
    /// Bytes.
    pub len: usize,
    /// Which of the files.
    pub file: usize,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
}

/// Which part of which file lies where in the guest.
///
/// ```
/// use luo_memfd::Memfd;
/// use luo_memfd::linux::GuestLayout;
/// use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A guest with 1 MiB below 1 GiB and 2 MiB above 4 GiB, both in one memfd.
/// let memfd = Memfd::create("guest", 3 << 20)?;
/// let memory = GuestMemoryMmap::<()>::from_ranges_with_files([
///     (GuestAddress(0), 1 << 20, Some(memfd.at(0)?)),
///     (GuestAddress(4 << 30), 2 << 20, Some(memfd.at(1 << 20)?)),
/// ])?;
/// memory.write_obj(42u64, GuestAddress(4 << 30))?;
///
/// // The old side: each file is preserved under a token; the layout goes with the VMM's own state.
/// let (files, layout) = GuestLayout::take_apart(&memory)?;
/// assert_eq!((files.len(), layout.regions().len()), (1, 2));
///
/// // The new side, with the files that it retrieved.
/// let memory: GuestMemoryMmap = layout.map(&files)?;
/// assert_eq!(memory.read_obj::<u64>(GuestAddress(4 << 30))?, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestLayout(Vec<Placed>);

/// Why guest memory could not be taken apart, or put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// A region of memory that is in no file, so that nothing could carry it.
    #[error("the region at {:#x} is in no file", .guest.raw_value())]
    NoFile {
        /// Where the guest sees it.
        guest: GuestAddress,
    },
    /// A region whose changes are not in its file.
    #[error("the region at {:#x} is mapped privately: what the guest writes does not reach the file", .guest.raw_value())]
    Private {
        /// Where the guest sees it.
        guest: GuestAddress,
    },
    /// The layout names a file that is not among those given.
    #[error("the region at {:#x} is in file {file}, there are {files}", .guest.raw_value())]
    NoSuchFile {
        /// Where the guest sees it.
        guest: GuestAddress,
        /// Its file.
        file: usize,
        /// How many there are.
        files: usize,
    },
    /// The file is too short: touching the rest would be a bus error.
    #[error("the region at {:#x} needs {needed} bytes of its file, which has {size}", .guest.raw_value())]
    TooShort {
        /// Where the guest sees it.
        guest: GuestAddress,
        /// Where it ends in the file; `u64::MAX` also for beyond.
        needed: u64,
        /// The file's size.
        size: u64,
    },
    /// The kernel refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The regions cannot be mapped, or not together.
    #[error(transparent)]
    Map(#[from] FromRangesError),
}

impl Memfd {
    /// A part of the file, from byte `start` on, as `vm-memory` wants it.
    ///
    /// # Errors
    ///
    /// The kernel's: the descriptor is duplicated.
    pub fn at(&self, start: u64) -> io::Result<FileOffset> {
        Ok(FileOffset::new(self.to_file()?, start))
    }
}

/// A duplicate of the descriptor, closed on exec.
impl TryFrom<&FileOffset> for Memfd {
    type Error = io::Error;

    fn try_from(part: &FileOffset) -> io::Result<Self> {
        Ok(part.file().as_fd().try_clone_to_owned()?.into())
    }
}

impl GuestLayout {
    /// Regions in ascending order, as [`regions`](Self::regions) gave them to whoever wrote them down.
    pub const fn new(regions: Vec<Placed>) -> Self {
        Self(regions)
    }

    /// The regions.
    pub fn regions(&self) -> &[Placed] {
        &self.0
    }

    /// The files of a guest's memory, each once, and how they make it up. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`GuestError::NoFile`], [`GuestError::Private`], [`GuestError::Io`].
    pub fn take_apart<B: Bitmap>(memory: &GuestMemoryMmap<B>) -> Result<(Vec<Memfd>, Self), GuestError> {
        let port = Linux::new();
        let mut files: Vec<(Identity, Memfd)> = Vec::new();
        let mut regions = Vec::with_capacity(memory.num_regions());
        for region in memory.iter() {
            let guest = region.start_addr();
            let part = region.file_offset().ok_or(GuestError::NoFile { guest })?;
            if region.flags() & MAP_PRIVATE != 0 {
                return Err(GuestError::Private { guest });
            }
            let memfd = Memfd::try_from(part)?;
            let identity = port.identity(&memfd);
            let known = files.iter().position(|(known, _)| *known == identity);
            let file = known.unwrap_or(files.len());
            if known.is_none() {
                files.push((identity, memfd));
            }
            regions.push(Placed { guest, len: region.size(), file, offset: part.start() });
        }
        Ok((files.into_iter().map(|(_, memfd)| memfd).collect(), Self(regions)))
    }

    /// Maps the regions, to be read and written. Neither contents nor positions of the files change.
    ///
    /// # Errors
    ///
    /// [`GuestError`] of every sort but [`GuestError::NoFile`] and [`GuestError::Private`].
    pub fn map<B: NewBitmap>(&self, files: &[Memfd]) -> Result<GuestMemoryMmap<B>, GuestError> {
        let mut regions = Vec::with_capacity(self.0.len());
        for &Placed { guest, len, file, offset } in &self.0 {
            let no_such_file = GuestError::NoSuchFile { guest, file, files: files.len() };
            let part = files.get(file).ok_or(no_such_file)?.at(offset)?;
            let size = part.file().metadata()?.len();
            let needed = offset.saturating_add(luo_kho::ByteLen::of(len).get());
            if needed > size {
                return Err(GuestError::TooShort { guest, needed, size });
            }
            regions.push(GuestRegionMmap::from_range(guest, len, Some(part))?);
        }
        Ok(GuestMemoryMmap::from_regions(regions).map_err(FromRangesError::from)?)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use vm_memory::mmap::MmapRegionBuilder;
    use vm_memory::{Bytes, MmapRegion};

    use super::*;

    fn guest(memfds: [&Memfd; 2]) -> GuestMemoryMmap {
        let [low, high] = memfds;
        let parts = [
            (GuestAddress(0), 0x1000, Some(low.at(0x3000).unwrap())),
            (GuestAddress(0x2000), 0x2000, Some(high.at(0).unwrap())),
            (GuestAddress(1 << 32), 0x1000, Some(low.at(0).unwrap())),
        ];
        GuestMemoryMmap::from_ranges_with_files(parts).unwrap()
    }

    #[test]
    fn regions_with_gaps_in_two_files_come_back() {
        let [low, high] = ["low", "high"].map(|name| Memfd::create(name, 0x4000).unwrap());
        let memory = guest([&low, &high]);
        for (value, at) in [(1u8, 0), (2, 0x2000), (3, 0x3FFF), (4, 1 << 32)] {
            memory.write_obj(value, GuestAddress(at)).unwrap();
        }
        let (files, layout) = GuestLayout::take_apart(&memory).unwrap();
        let port = Linux::new();
        let identities = |files: &[Memfd]| files.iter().map(|file| port.identity(file)).collect::<Vec<_>>();
        assert_eq!(identities(&files), identities(&[low.clone(), high]), "each file once, in order");
        drop(memory);

        let again: GuestMemoryMmap = GuestLayout::new(layout.regions().to_vec()).map(&files).unwrap();
        for (value, at) in [(1u8, 0), (2, 0x2000), (3, 0x3FFF), (4, 1 << 32)] {
            assert_eq!(again.read_obj::<u8>(GuestAddress(at)).unwrap(), value);
        }
        assert!(again.read_obj::<u8>(GuestAddress(0x1000)).is_err(), "a gap");
        assert_eq!(GuestLayout::take_apart(&again).unwrap().1, layout);
        assert_eq!(port.look(&low).unwrap().position, 0);
    }

    #[test]
    fn memory_that_nothing_could_carry_is_refused() {
        let anonymous = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0x5000), 0x1000)]).unwrap();
        let error = GuestLayout::take_apart(&anonymous).unwrap_err();
        assert_eq!(format!("{error}"), "the region at 0x5000 is in no file");

        let memfd = Memfd::create("guest", 0x1000).unwrap();
        let private: MmapRegion = MmapRegionBuilder::new(0x1000)
            .with_file_offset(memfd.at(0).unwrap())
            .with_mmap_prot(1)
            .with_mmap_flags(MAP_PRIVATE)
            .build()
            .unwrap();
        let region = GuestRegionMmap::new(private, GuestAddress(0)).unwrap();
        let private = GuestMemoryMmap::from_regions(vec![region]).unwrap();
        assert!(matches!(GuestLayout::take_apart(&private), Err(GuestError::Private { .. })));
    }

    #[test]
    fn files_that_are_missing_or_too_short_are_not_mapped() {
        let [low, high] = ["low", "high"].map(|name| Memfd::create(name, 0x4000).unwrap());
        let (files, layout) = GuestLayout::take_apart(&guest([&low, &high])).unwrap();
        let error = layout.map::<()>(&files[..1]).unwrap_err();
        assert!(matches!(error, GuestError::NoSuchFile { file: 1, files: 1, .. }), "{error}");
        rustix::fs::ftruncate(&low, 0x3800).unwrap();
        let error = layout.map::<()>(&files).unwrap_err();
        assert!(matches!(error, GuestError::TooShort { needed: 0x4000, size: 0x3800, .. }), "{error}");
        let twice = GuestLayout::new([layout.regions()[1], layout.regions()[1]].to_vec());
        assert!(matches!(twice.map::<()>(&files), Err(GuestError::Map(_))), "two regions at one place");
    }
}
