//! The port: the least that a host must lend, so that its files of huge pages can be carried.
//!
//! - A **file** is what users hold: a reference to an open file of huge pages.
//! - A **reader** is a way of one's own to a file's contents and holes. It moves nothing that users can see, and takes
//!   no huge page.
//! - A **draft** is a file that this side fills: a new one that nobody else knows, or one whose users are stopped.
//! - A **stand-in** is a file of ordinary pages that takes the contents in while their huge pages are freed.
//!
//! Pages are huge ones here, counted from the start of the file. [`linux`](crate::linux) is one adapter,
//! [`sim`](crate::sim) another. A method changes nothing unless it says so. Undoing is dropping: readers, drafts, files
//! and stand-ins give back what they took.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use luo_core::Identity;
use luo_kho::{FrameCount, FrameRange, KhoError, Memory};

use crate::pool::{NodeCount, Pool, Run};
use crate::{Attributes, HostError, HugetlbError, PageSize, Place};

/// What a file is to the handler of huge pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A file of huge pages.
    Huge,
    /// Something else.
    Other,
    /// A file of huge pages that cannot travel.
    Unfit {
        /// Why: lower case, no full stop.
        reason: Cow<'static, str>,
    },
}

/// A host with huge pages.
pub trait Port: Send + Sync + 'static {
    /// What users hold.
    type File: Clone + Send + Sync + 'static;
    /// A way to its contents.
    type Reader: Send + Sync + 'static;
    /// One that is being filled.
    type Draft: Send + Sync + 'static;
    /// Ordinary pages in its place.
    type StandIn: Clone + Send + Sync + 'static;

    /// What tells the file from others: the same for every reference to one inode.
    fn identity(&self, file: &Self::File) -> Identity;

    /// What the file is.
    ///
    /// # Errors
    ///
    /// The host's.
    fn sort(&self, file: &Self::File) -> Result<Sort, HostError>;

    /// All that a user can ask for.
    ///
    /// # Errors
    ///
    /// The host's.
    fn look(&self, file: &Self::File) -> Result<Attributes, HostError>;

    /// The size of its pages.
    ///
    /// # Errors
    ///
    /// The host's.
    fn page_size(&self, file: &Self::File) -> Result<PageSize, HostError>;

    /// Where it is.
    ///
    /// # Errors
    ///
    /// The host's.
    fn place(&self, file: &Self::File) -> Result<Place, HostError>;

    /// What users have put on the file that a copy cannot have: locks, extended attributes.
    ///
    /// # Errors
    ///
    /// The host's.
    fn bonds(&self, file: &Self::File) -> Result<Option<&'static str>, HostError>;

    /// The pools of this host, by page size, ascending.
    ///
    /// # Errors
    ///
    /// The host's.
    fn pools(&self) -> Result<Vec<Pool>, HostError>;

    /// The predecessor preserved so many pages of this size. A kernel's pool subtracts them at boot from what it was
    /// configured to have; on a host whose kernel has done so, nothing is left to do.
    fn reckon(&self, page_size: PageSize, preserved: &[NodeCount]);

    /// Attaches the file to preserved memory, as [`Memory::attach`] says.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::attach`].
    fn attach(
        &self,
        file: &Self::File,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError>;

    /// The file behind a segment, for its new user: with `wanted`'s access, fixed status flags and close-on-exec flag.
    /// Everything else of it is as it arrived. `place` is where it was.
    ///
    /// # Errors
    ///
    /// [`HugetlbError::Kho`], [`HugetlbError::Host`], [`HugetlbError::NotHuge`].
    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        wanted: &Attributes,
        place: &Place,
    ) -> Result<Self::File, HugetlbError>;

    /// What a file from [`attached`](Self::attached) looked like on its arrival; `None` for any other.
    fn arrival<'f>(&self, file: &'f Self::File) -> Option<&'f Attributes>;

    /// Changes mode, owner, position, changeable status flags and seals from what they are to what they shall be. What
    /// the host refuses stays as it is.
    fn amend(&self, file: &Self::File, is: &Attributes, shall: &Attributes);

    /// A way to the contents.
    ///
    /// # Errors
    ///
    /// The host's.
    fn open(&self, file: &Self::File) -> Result<Self::Reader, HostError>;

    /// The populated pages among the first `pages`, ascending and disjoint. `kept` is how many pages the host keeps for
    /// the file: no more are searched for.
    ///
    /// # Errors
    ///
    /// [`HugetlbError::Poisoned`], [`HugetlbError::Host`].
    fn scan(
        &self,
        reader: &Self::Reader,
        page_size: PageSize,
        pages: u64,
        kept: u64,
    ) -> Result<Vec<Run>, HugetlbError>;

    /// Reads from byte `at` on. Holes read as zeros.
    ///
    /// # Errors
    ///
    /// The host's; some of `bytes` may have been filled.
    fn read(&self, reader: &Self::Reader, at: u64, bytes: &mut [u8]) -> Result<(), HostError>;

    /// A new file for this place, of `wanted`'s size, all of it a hole. Of a place below a mount it has the mount, and
    /// no path yet.
    ///
    /// # Errors
    ///
    /// [`HugetlbError::NoMount`], [`HugetlbError::Host`].
    fn draft(
        &self,
        place: &Place,
        page_size: PageSize,
        wanted: &Attributes,
    ) -> Result<Self::Draft, HugetlbError>;

    /// The file itself as one that is filled.
    ///
    /// # Errors
    ///
    /// The host's.
    fn refill(&self, file: &Self::File, page_size: PageSize) -> Result<Self::Draft, HostError>;

    /// Takes a page of zeros for this hole of a draft: `near` is the node on which it had better lie. `false` if none
    /// can be had.
    ///
    /// # Errors
    ///
    /// The host's.
    fn populate(&self, draft: &Self::Draft, page: u64, near: Option<crate::Node>) -> Result<bool, HostError>;

    /// Writes from byte `at` on, within one populated page.
    ///
    /// # Errors
    ///
    /// The host's.
    fn write(&self, draft: &Self::Draft, at: u64, bytes: &[u8]) -> Result<(), HostError>;

    /// Makes a hole of a page: it goes back to its pool, and on to common memory if the pool shall `shrink`. Says
    /// whether the pool did shrink.
    ///
    /// # Errors
    ///
    /// The host's, for the hole; a pool that cannot shrink does not.
    fn free(&self, draft: &Self::Draft, run: &Run, shrink: bool) -> Result<bool, HostError>;

    /// Lets the pool grow by pages that had left it. What cannot be had is not.
    fn grow(&self, page_size: PageSize, pages: &[(crate::Node, u64)]);

    /// Gives the draft all other attributes of `wanted`, its seals last, and hands it out.
    ///
    /// # Errors
    ///
    /// The host's, also where it does not let this program give a file such an attribute.
    fn complete(&self, draft: Self::Draft, wanted: &Attributes) -> Result<Self::File, HostError>;

    /// After the commit: a copy of a file that had a path gets it, in place of the file that was copied. If something
    /// else has taken it, the copy has none.
    fn settle(&self, file: &Self::File, place: &Place);

    /// A new file of ordinary pages, all of it a hole.
    ///
    /// # Errors
    ///
    /// The host's.
    fn stand_in(&self, size: u64) -> Result<Self::StandIn, HostError>;

    /// As [`attach`](Self::attach), for a stand-in.
    ///
    /// # Errors
    ///
    /// Those of [`Memory::attach`].
    fn attach_stand_in(
        &self,
        stand_in: &Self::StandIn,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError>;

    /// The stand-in behind a segment.
    ///
    /// # Errors
    ///
    /// As [`attached`](Self::attached).
    fn attached_stand_in(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
    ) -> Result<Self::StandIn, HugetlbError>;

    /// Writes into a stand-in from byte `at` on.
    ///
    /// # Errors
    ///
    /// The host's.
    fn keep(&self, stand_in: &Self::StandIn, at: u64, bytes: &[u8]) -> Result<(), HostError>;

    /// Reads from a stand-in.
    ///
    /// # Errors
    ///
    /// The host's.
    fn recall(&self, stand_in: &Self::StandIn, at: u64, bytes: &mut [u8]) -> Result<(), HostError>;

    /// Bytes of ordinary memory that a stand-in has.
    ///
    /// # Errors
    ///
    /// The host's.
    fn kept(&self, stand_in: &Self::StandIn) -> Result<u64, HostError>;

    /// Makes all of a stand-in a hole again.
    fn empty(&self, stand_in: &Self::StandIn);
}
