//! The files of guest memory: one for each region, of the sort that the user chose.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use luo_core::{Adopted, Identity, Luo, SessionName, Token};
use luo_guestmemfd::{Binding, Flags, GuestMemfd, Port as _, Vm};
use luo_hugetlb::{HugetlbFile, Loan, Port as _};
use luo_kho::FRAME_BYTES;
use luo_kho::process::ProcessKho;
use luo_memfd::{Memfd, Port as _};

use crate::guest::Layout;
use crate::huge::{self, HugeError};

/// What `/proc` calls the memfds.
const NAME: &str = "luo-vmm-guest";

/// What guest memory is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backing {
    /// Memfds of ordinary pages.
    #[default]
    Memfd,
    /// Memfds of huge pages of 2 MiB.
    Hugetlb,
    /// The memory that KVM makes for a virtual machine, shared with the host.
    #[value(name = "guest_memfd")]
    GuestMemfd,
}

/// What a successor makes of the guest_memfds that it gets. Files of other sorts are always used as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Retrieve {
    /// It maps them. The pause does not grow with memory; the first program's machine stays in the kernel with them.
    #[default]
    MapOld,
    /// It copies them into guest_memfds of its own machine, to which its slots are bound. The pause grows with memory,
    /// by about 1.2 ms for each MiB: from 1.5 GiB on, --blackout-ms has to be longer than it is by default.
    CopyIntoNew,
}

/// The file of a region.
#[derive(Clone, Debug)]
pub(crate) enum RegionFile {
    /// A memfd.
    Memfd(Memfd),
    /// A memfd of huge pages.
    Hugetlb(HugetlbFile),
    /// A guest_memfd, with the machine that it serves.
    GuestMemfd(GuestMemfd),
}

impl Retrieve {
    /// The handler's word for it.
    pub(crate) const fn of_handler(self) -> luo_guestmemfd::Retrieve {
        match self {
            Self::MapOld => luo_guestmemfd::Retrieve::MapOld,
            Self::CopyIntoNew => luo_guestmemfd::Retrieve::CopyIntoNew,
        }
    }
}

impl Backing {
    /// Whether the files that arrive are those that a successor goes on with: then it can make its machine beforehand.
    pub(crate) fn arrives_as_it_is(self, retrieve: Retrieve) -> bool {
        self != Self::GuestMemfd || retrieve == Retrieve::MapOld
    }

    /// A machine for the files: only some sorts are made by one.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(crate) fn vm(self) -> io::Result<Option<Vm>> {
        match self {
            Self::Memfd | Self::Hugetlb => Ok(None),
            Self::GuestMemfd => Vm::create().map(Some),
        }
    }

    /// Borrows from the host what memory of this sort and so many bytes takes and the host has set too little aside of.
    ///
    /// # Errors
    ///
    /// What is missing, in numbers.
    pub(crate) fn borrow(self, bytes: u64) -> Result<Option<Loan>, HugeError> {
        match self {
            Self::Memfd | Self::GuestMemfd => Ok(None),
            Self::Hugetlb => huge::borrow(bytes).map(Some),
        }
    }

    /// Fresh files for the regions of a guest, all holes; in `vm`, if it is of a sort that needs one.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(crate) fn create(self, layout: &Layout, vm: Option<&Vm>) -> io::Result<Vec<RegionFile>> {
        if self == Self::Hugetlb {
            huge::check(layout.bytes()).map_err(io::Error::other)?;
        }
        let file = |(slot, (start, bytes)): (u32, (u64, u64))| match (self, vm) {
            (Self::Memfd, _) => Memfd::create(NAME, bytes).map(RegionFile::Memfd),
            (Self::Hugetlb, _) => HugetlbFile::create(NAME, bytes, huge::PAGE).map(RegionFile::Hugetlb),
            (Self::GuestMemfd, None) => Err(io::Error::other("a guest_memfd is made by a virtual machine")),
            (Self::GuestMemfd, Some(vm)) => {
                let (frame, count) = (start / FRAME_BYTES, bytes / FRAME_BYTES);
                let file = GuestMemfd::create(vm, count, Flags::OPEN)?;
                let told = file.told().bind(Binding { slot, frame, page: 0, count });
                told.map_err(io::Error::other)?;
                Ok(RegionFile::GuestMemfd(file))
            }
        };
        (0..).zip(layout.regions()).map(file).collect()
    }

    /// What arrived by a descriptor, before anything else is known of it: to be mapped.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(crate) fn arrived(self, descriptor: OwnedFd) -> io::Result<RegionFile> {
        Ok(match self {
            Self::Memfd => RegionFile::Memfd(descriptor.into()),
            Self::Hugetlb => RegionFile::Hugetlb(descriptor.into()),
            Self::GuestMemfd => RegionFile::GuestMemfd(GuestMemfd::new(descriptor, Flags::OPEN, None)?),
        })
    }

    /// A file that a predecessor preserved.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) fn retrieve(
        self,
        adopted: &mut Adopted<ProcessKho>,
        (session, token): (SessionName, Token),
    ) -> anyhow::Result<RegionFile> {
        Ok(match self {
            Self::Memfd => RegionFile::Memfd(adopted.retrieve(session, token)?),
            Self::Hugetlb => RegionFile::Hugetlb(adopted.retrieve(session, token)?),
            Self::GuestMemfd => RegionFile::GuestMemfd(adopted.retrieve(session, token)?),
        })
    }
}

impl RegionFile {
    /// Puts it under the care of the orchestrator.
    ///
    /// # Errors
    ///
    /// Why it cannot be carried.
    pub(crate) fn preserve(
        self,
        luo: &mut Luo<ProcessKho>,
        (session, token): (SessionName, Token),
    ) -> anyhow::Result<()> {
        match self {
            Self::Memfd(file) => luo.preserve(session, token, file).map_err(|stuck| stuck.error)?,
            Self::Hugetlb(file) => luo.preserve(session, token, file).map_err(|stuck| stuck.error)?,
            Self::GuestMemfd(file) => luo.preserve(session, token, file).map_err(|stuck| stuck.error)?,
        }
        Ok(())
    }

    /// The file, if slots of this machine can be bound to it itself, and not only to a mapping.
    pub(super) fn native_to(&self, vm: &Vm) -> Option<&GuestMemfd> {
        match self {
            Self::Memfd(_) | Self::Hugetlb(_) => None,
            Self::GuestMemfd(file) => Some(file).filter(|file| file.is_native_to(vm)),
        }
    }

    /// Whether a mapping of it sets pages aside: huge pages cannot be had later if nobody did.
    pub(super) const fn sets_aside(&self) -> bool {
        matches!(self, Self::Hugetlb(_))
    }

    /// Another descriptor of it.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(super) fn to_file(&self) -> io::Result<File> {
        Ok(self.as_fd().try_clone_to_owned()?.into())
    }

    /// Which file it is, by whatever descriptor.
    pub(super) fn identity(&self) -> Identity {
        match self {
            Self::Memfd(file) => luo_memfd::Linux::new().identity(file),
            Self::Hugetlb(file) => luo_hugetlb::Linux::new().identity(file),
            Self::GuestMemfd(file) => luo_guestmemfd::Linux::new().identity(file),
        }
    }
}

impl AsFd for RegionFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Memfd(file) => file.as_fd(),
            Self::Hugetlb(file) => file.as_fd(),
            Self::GuestMemfd(file) => file.as_fd(),
        }
    }
}
