//! What a participant may do in each step, and no more.
//!
//! - [`PrepareScope`]: take preserved memory, write, reserve and fill payload slots, look up neighbours.
//! - [`FreezeScope`]: write into what prepare took. Nothing can be allocated.
//! - [`RetrieveScope`]: read what was handed over, reclaim it, ask for files and shared objects.
//!
//! Each lends a [`Memory`], so that preserved arrays and boxes work on it; it does no more than the step allows. Taking
//! and giving back are accounted for; writes are not fenced: a participant keeps to the frames that it took.

use alloc::vec::Vec;
use core::any::Any;

use luo_kho::carrier::{Conveyance, DescriptorKind};
use luo_kho::{FrameRange, KhoError, Memory};

use crate::incoming::Desk;
use crate::outgoing::Neighbours;
use crate::shared_table::SharedTable;
use crate::slots::{SlotError, Slots};
use crate::view::View;
use crate::{Kind, Refusal, SessionName, Token, Version};

/// The step in which a participant writes while guests run.
pub struct PrepareScope<'a> {
    pub(crate) view: View<'a>,
    pub(crate) slots: &'a mut Slots,
    pub(crate) conveys: &'a dyn Fn(DescriptorKind) -> Conveyance,
    pub(crate) conveyances: &'a mut Vec<(DescriptorKind, Conveyance)>,
    pub(crate) neighbours: Neighbours<'a>,
    pub(crate) shared: &'a mut SharedTable,
    pub(crate) leans_on: &'a [Kind],
}

/// The step in which a participant writes the last changes, with guests stopped.
pub struct FreezeScope<'a> {
    pub(crate) view: View<'a>,
    pub(crate) slots: &'a mut Slots,
    pub(crate) neighbours: Neighbours<'a>,
    pub(crate) shared: &'a mut SharedTable,
    pub(crate) leans_on: &'a [Kind],
}

/// The step in which a participant is made again on the far side.
pub struct RetrieveScope<'a> {
    pub(crate) view: View<'a>,
    pub(crate) desk: Desk<'a>,
    pub(crate) session: Option<SessionName>,
    pub(crate) leans_on: &'a [Kind],
}

fn leaned_on<'s, O: Any>(
    shared: &'s mut SharedTable,
    leans_on: &[Kind],
    kind: Kind,
) -> Result<&'s mut O, SlotError> {
    let object = if leans_on.contains(&kind) { shared.object(kind) } else { None };
    object.and_then(|object| object.downcast_mut()).ok_or(SlotError::NoSuchShared { kind })
}

impl PrepareScope<'_> {
    /// Preserved memory. What is taken through it is given back when the step is undone; what belongs to others
    /// cannot be freed through it.
    pub fn memory(&mut self) -> &mut dyn Memory {
        &mut self.view
    }

    /// The versions to write, newest first; never empty. The policy of the caller chose them.
    pub fn versions(&self) -> &[Version] {
        self.slots.versions()
    }

    /// States the largest payload, in bytes, that this step and freeze will put down for `version`.
    ///
    /// # Errors
    ///
    /// [`SlotError::NotWritten`], or [`SlotError::TooLong`] above [`PAYLOAD_MAX`](crate::PAYLOAD_MAX).
    pub fn reserve(&mut self, version: Version, max: luo_kho::ByteLen) -> Result<(), SlotError> {
        self.slots.reserve(version, max)
    }

    /// Puts the payload of one version down. Without a [`reserve`](Self::reserve) before it, freeze can write as
    /// much and no more.
    ///
    /// # Errors
    ///
    /// [`SlotError`].
    pub fn put(&mut self, version: Version, payload: &[u8]) -> Result<(), SlotError> {
        self.slots.put_prepared(version, payload)
    }

    /// Whether the carrier of this update takes descriptors of this kind across. The answer is remembered: what was
    /// prepared ahead of time is prepared again for a carrier that answers otherwise.
    pub fn conveys(&mut self, kind: DescriptorKind) -> Conveyance {
        let answer = (self.conveys)(kind);
        if !self.conveyances.iter().any(|(asked, _)| *asked == kind) {
            self.conveyances.push((kind, answer.clone()));
        }
        answer
    }

    /// The token under which `file` is preserved in this participant's session. The dependency is recorded:
    /// circles are refused when everything is prepared.
    ///
    /// # Errors
    ///
    /// [`DependencyError`](crate::DependencyError), if it is not preserved in this session.
    pub fn token_of<F: Clone + Send + Sync + 'static>(&mut self, file: &F) -> Result<Token, Refusal> {
        Ok(self.neighbours.token_of(file)?)
    }

    /// The shared object of this kind, which the participant leans on.
    ///
    /// # Errors
    ///
    /// [`SlotError::NoSuchShared`].
    pub fn shared<O: Any>(&mut self, kind: Kind) -> Result<&mut O, SlotError> {
        leaned_on(self.shared, self.leans_on, kind)
    }
}

impl FreezeScope<'_> {
    /// Preserved memory, to be read and written. Nothing can be allocated or given back through it.
    pub fn memory(&mut self) -> &mut dyn Memory {
        &mut self.view
    }

    /// The versions to write, newest first; never empty.
    pub fn versions(&self) -> &[Version] {
        self.slots.versions()
    }

    /// Replaces the payload of one version. What prepare put down stands where freeze puts nothing.
    ///
    /// # Errors
    ///
    /// [`SlotError::TooLong`] beyond what prepare reserved.
    pub fn put(&mut self, version: Version, payload: &[u8]) -> Result<(), SlotError> {
        self.slots.put_frozen(version, payload)
    }

    /// As [`PrepareScope::token_of`].
    ///
    /// # Errors
    ///
    /// As [`PrepareScope::token_of`].
    pub fn token_of<F: Clone + Send + Sync + 'static>(&mut self, file: &F) -> Result<Token, Refusal> {
        Ok(self.neighbours.token_of(file)?)
    }

    /// As [`PrepareScope::shared`].
    ///
    /// # Errors
    ///
    /// As [`PrepareScope::shared`].
    pub fn shared<O: Any>(&mut self, kind: Kind) -> Result<&mut O, SlotError> {
        leaned_on(self.shared, self.leans_on, kind)
    }
}

impl RetrieveScope<'_> {
    /// What was handed over, to be read and reclaimed; nothing can be changed through it. Frames reclaimed through
    /// it are freed by finish.
    pub fn memory(&mut self) -> &mut dyn Memory {
        &mut self.view
    }

    /// Reclaims frames that belong to the retrieved object from now on: finish withdraws their preservation and
    /// does not free them. Frames reclaimed through [`memory`](Self::memory) are freed by finish. A segment's frames
    /// are its file's either way: finish detaches it.
    ///
    /// # Errors
    ///
    /// As [`Memory::reclaim`].
    pub fn keep(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.view.keep(range)
    }

    /// The file with this token in the participant's own session, retrieved first if nobody did so before. Its
    /// user still retrieves it under its token.
    ///
    /// # Errors
    ///
    /// [`RetrieveError`](crate::RetrieveError) as the cause: unknown, unreadable, of another type, or depending on
    /// the file that asks.
    pub fn file<F: Clone + Send + Sync + 'static>(&mut self, token: Token) -> Result<F, Refusal> {
        let Some(session) = self.session else {
            return Err(Refusal::because("a subsystem is in no session: name one with file_in"));
        };
        self.file_in(session, token)
    }

    /// As [`file`](Self::file), in any session.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn file_in<F: Clone + Send + Sync + 'static>(
        &mut self,
        session: SessionName,
        token: Token,
    ) -> Result<F, Refusal> {
        self.desk.depend::<F>(self.view.memory(), session, token).map_err(Refusal::new)
    }

    /// The shared object of this kind, which the participant leaned on when it was written; retrieved first if nobody
    /// did so before.
    ///
    /// # Errors
    ///
    /// [`SlotError::NoSuchShared`] as the cause, or what its retrieve answered, now or the first time.
    pub fn shared<O: Any>(&mut self, kind: Kind) -> Result<&mut O, Refusal> {
        if !self.leans_on.contains(&kind) {
            return Err(SlotError::NoSuchShared { kind }.into());
        }
        let object = self.desk.shared(self.view.memory(), kind)?;
        object.downcast_mut().ok_or_else(|| SlotError::NoSuchShared { kind }.into())
    }
}

impl core::fmt::Debug for PrepareScope<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PrepareScope").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for FreezeScope<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FreezeScope").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for RetrieveScope<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RetrieveScope").field("session", &self.session).finish_non_exhaustive()
    }
}
