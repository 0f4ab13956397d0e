//! The successor's side: what arrived, and how it becomes memory.
//!
//! An [`Arrival`] holds the descriptors that a carrier brought. While the guest still runs on the other side, the
//! successor may look at them and warm up. [`adopt`](Arrival::adopt) then waits for the offer and gives the memory, for
//! `luo_core::Luo::adopt`, and an [`Answer`], by which it can still say no.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::error::OpenError;
use super::kho::Unopened;
use super::line::packet::Kind;
use super::line::{Deadline, Line, LineError, wait_readable};
use super::waybill::Cargo;
use super::{Carried, ProcessKho, Terms, exec};
use crate::FrameRange;

/// Bytes of the word in an offer.
const WORD: usize = 8;
/// How often a successor that waits for the offer looks at the word without being told.
const GLANCE: Duration = Duration::from_millis(20);

/// What a carrier brought.
#[derive(Debug)]
pub struct Arrival {
    cargo: Cargo,
    way: Way,
}

/// How to say no, until the commit. Dropping it says nothing; a predecessor on the line notices when the memory is
/// dropped as well.
#[derive(Debug)]
pub struct Answer {
    way: Arc<Way>,
}

/// The carrier, as the successor sees it.
#[derive(Debug)]
pub(super) enum Way {
    /// The predecessor is on the line, and has not made its offer yet.
    Line { line: Line, terms: Terms },
    /// There is no predecessor any more: the offer stands, and the guardian waits. Here is what it will read.
    Exec { note: OwnedFd, back: Option<WayBack> },
}

/// Why the old program was started again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WayBack {
    /// The successor refused.
    Refused {
        /// Why.
        reason: String,
    },
    /// The process died before anybody committed.
    Died,
    /// The successor did not commit in time, and was killed.
    Late,
}

/// Why what arrived did not become memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrivalError {
    /// The predecessor said no, went away, or cannot be understood.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The memory cannot be opened. The predecessor has been told.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Arrival {
    pub(super) fn new(cargo: Cargo, way: Way) -> Self {
        Self { cargo, way }
    }

    /// Takes the descriptor that the predecessor's embedder carried under this name.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        self.cargo.named.remove(name)
    }

    /// The names that nobody took yet, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.cargo.named.keys().map(String::as_str)
    }

    /// The segments, ascending, each with its file: what is to be mapped and populated. What is in them belongs to the
    /// predecessor until the commit.
    pub fn segments(&self) -> impl Iterator<Item = (FrameRange, BorrowedFd<'_>)> {
        self.cargo.segments.iter().map(|(range, file)| (*range, file.as_fd()))
    }

    /// Why this program was started again by the guardian, in a process of its own, and has to take the guest back;
    /// `None` for a successor on its way forth. It adopts and commits like any successor.
    pub fn way_back(&self) -> Option<&WayBack> {
        match &self.way {
            Way::Exec { back, .. } => back.as_ref(),
            Way::Line { .. } => None,
        }
    }

    /// Says that this program is ready, waits for the offer, and opens what is on offer. Reads nothing before.
    /// Descriptors that nobody took are closed.
    ///
    /// # Errors
    ///
    /// [`ArrivalError`]. A predecessor that can be told is told.
    pub fn adopt(self) -> Result<(ProcessKho, Answer), ArrivalError> {
        let Self { cargo, way } = self;
        let Cargo { arena, capacity, word, bell, guardian, segments, named: _ } = cargo;
        let segments: Vec<_> = segments.into_iter().map(|(_, file)| file).collect();
        let time = matches!(way, Way::Line { .. });
        let opened = Unopened::map(Carried { arena, word, segments }, Some(capacity), time);
        let opened = opened.map_err(ArrivalError::from).and_then(|unopened| {
            way.await_offer(&unopened)?;
            Ok(unopened.open()?)
        });
        match opened {
            Ok(mut kho) => {
                kho.hang_bell(bell);
                kho.expect_guardian(guardian);
                let way = Arc::new(way);
                kho.hold_line(Arc::clone(&way));
                Ok((kho, Answer { way }))
            }
            Err(error) => {
                way.refuse(&error.to_string());
                Err(error)
            }
        }
    }

    /// Says no, and why. After an exec this program must then exit: the guardian starts the old one.
    pub fn refuse(self, reason: &str) {
        self.way.refuse(reason);
    }
}

impl Answer {
    /// Says no, and why. The predecessor takes the guest back unless this program has committed. After an exec this
    /// program must then exit: the guardian starts the old one.
    pub fn refuse(self, reason: &str) {
        self.way.refuse(reason);
    }
}

impl Way {
    /// Returns when an offer stands. What the predecessor says is a hint: it may die or hang after it has made its
    /// offer, and before it says so; so the word is looked at from time to time, and whatever was heard.
    fn await_offer(&self, unopened: &Unopened) -> Result<(), LineError> {
        const AWAITED: &str = "make its offer";
        let Self::Line { line, terms } = self else { return Ok(()) };
        line.say(Kind::Ready, &[], Deadline::after(terms.message))?;
        let deadline = Deadline::after(terms.offer);
        loop {
            let [spoken] = wait_readable([line.as_fd()], deadline.or_after(GLANCE))?;
            if spoken {
                return match line.hear(Kind::Offered, WORD, AWAITED, deadline) {
                    Err(_) if unopened.is_offered() => Ok(()),
                    heard => heard.map(drop),
                };
            }
            if unopened.is_offered() {
                return Ok(());
            }
            if deadline.is_over() {
                return Err(LineError::Deadline { awaited: AWAITED });
            }
        }
    }

    fn refuse(&self, reason: &str) {
        match self {
            Self::Line { line, .. } => line.refuse(reason),
            Self::Exec { note, .. } => exec::refuse(note.as_fd(), reason),
        }
    }
}
