//! Taking hold of a file: from here on it is **held**, first undecided, then on its way.
//!
//! The orchestrator keeps a reference to the file, which keeps its memory alive. Nothing else is taken before prepare.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use luo_kho::FrameRange;

use crate::copy::Saving;
use crate::{Facts, Port};

/// What the handler keeps of one file.
pub struct Held<P: Port> {
    pub(crate) way: Way<P>,
    /// The facts that prepare saw, with their map of shared and private frames as it is written down: as long as they
    /// are the same, freeze need not write it anew.
    pub(crate) encoded: Option<(Arc<Facts>, Vec<u8>)>,
}

/// How a file crosses. Prepare decides.
pub(crate) enum Way<P: Port> {
    Undecided,
    /// It is attached.
    Reference(FrameRange),
    /// Its contents are copied.
    Copy(Box<Saving<P>>),
}

impl<P: Port> Held<P> {
    pub(crate) const fn new() -> Self {
        Self { way: Way::Undecided, encoded: None }
    }
}

impl<P: Port> fmt::Debug for Held<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::Undecided => "undecided",
            Way::Reference(_) => "by reference",
            Way::Copy(_) => "by copy",
        };
        f.debug_struct("Held").field("way", &way).finish_non_exhaustive()
    }
}
