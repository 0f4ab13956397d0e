//! Taking hold of a file: from here on it is **held**, first undecided, then on its way.
//!
//! The orchestrator keeps a reference to the file, which keeps its memory alive. Nothing else is taken before prepare.

use core::fmt;

use luo_kho::FrameRange;

use crate::copy::Saving;
use crate::{MemfdError, Name, Port};

/// What the handler keeps of one file.
pub struct Held<P: Port> {
    pub(crate) name: Name,
    pub(crate) way: Way<P>,
}

/// How a file crosses. Prepare decides.
pub(crate) enum Way<P: Port> {
    Undecided,
    /// It is attached.
    Reference(FrameRange),
    /// Its contents are copied.
    Copy(alloc::boxed::Box<Saving<P>>),
}

pub(crate) fn preserve<P: Port>(port: &P, file: &P::File) -> Result<Held<P>, MemfdError> {
    Ok(Held { name: port.name(file)?, way: Way::Undecided })
}

impl<P: Port> fmt::Debug for Held<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::Undecided => "undecided",
            Way::Reference(_) => "by reference",
            Way::Copy(_) => "by copy",
        };
        f.debug_struct("Held").field("name", &self.name).field("way", &way).finish()
    }
}
