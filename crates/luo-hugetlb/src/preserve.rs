//! Taking hold of a file: from here on it is **held**, first undecided, then on its way.
//!
//! The orchestrator keeps a reference to the file, which keeps its memory alive. Nothing else is taken before prepare.

use alloc::boxed::Box;
use core::fmt;

use luo_kho::FrameRange;

use crate::copy::{Freeing, Saving};
use crate::pool::Placement;
use crate::preserved::Share;
use crate::{HugetlbError, PageSize, Place, Port};

/// What the handler keeps of one file.
pub struct Held<P: Port> {
    pub(crate) page_size: PageSize,
    pub(crate) place: Place,
    pub(crate) way: Way<P>,
    /// Its part in the counts of its page size, if those are kept.
    pub(crate) share: Option<Share>,
}

/// How a file crosses. Prepare decides.
pub(crate) enum Way<P: Port> {
    Undecided,
    /// It is attached; its pages lay so when it was.
    Reference(FrameRange, Placement),
    /// Its contents are copied.
    Copy(Box<Saving<P>>),
    /// They are copied, and its pages freed.
    Free(Box<Freeing<P>>),
}

pub(crate) fn preserve<P: Port>(port: &P, file: &P::File) -> Result<Held<P>, HugetlbError> {
    let (page_size, place) = (port.page_size(file)?, port.place(file)?);
    Ok(Held { page_size, place, way: Way::Undecided, share: None })
}

impl<P: Port> fmt::Debug for Held<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::Undecided => "undecided",
            Way::Reference(..) => "by reference",
            Way::Copy(_) => "by copy",
            Way::Free(_) => "by copy, freeing",
        };
        let Self { page_size, place, .. } = self;
        f.debug_struct("Held")
            .field("page_size", page_size)
            .field("place", place)
            .field("way", &way)
            .finish_non_exhaustive()
    }
}
