//! Prepare: everything is written that can be written while guests run.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use luo_kho::carrier::Carrier;
use luo_kho::{Kho, Owned};

use super::INSIDE;
use super::freeze::Frozen;
use super::records::Records;
use crate::events::{State, Transition};
use crate::luo::{Luo, Step};
use crate::{Cause, Participant, Phase, PhaseError, Stuck};

/// An update that is prepared: guests still run. Dropping it cancels.
#[must_use = "dropping the guard cancels the update"]
pub struct Prepared<'l, K: Kho> {
    // `None` only while a door is being crossed.
    work: Option<Work<'l, K>>,
}

/// What the guards of the near side hold.
pub(crate) struct Work<'l, K: Kho> {
    pub(crate) luo: &'l mut Luo<K>,
    pub(crate) carrier: &'l mut dyn Carrier<K>,
    /// Who was prepared by this update, in order. Who was prepared before it stays so when it is cancelled.
    pub(crate) prepared: Vec<Step>,
    pub(crate) records: Records,
}

impl<K: Kho> Luo<K> {
    /// Prepares everything for this carrier: surveys, subsystems, files, shared objects, records, and then the carrier
    /// itself, which sees every segment and every frame that it will take across. Participants that are prepared
    /// already are skipped, unless that was for another carrier or in other versions: those are cancelled and prepared
    /// again.
    ///
    /// # Errors
    ///
    /// One [`PhaseError`] that names who failed and why. Everything is as before the call, except that files which were
    /// prepared for somebody else are no longer prepared.
    pub fn prepare<'l>(
        &'l mut self,
        carrier: &'l mut dyn Carrier<K>,
    ) -> Result<Prepared<'l, K>, Box<PhaseError>> {
        self.not_updated(Phase::Prepare)?;
        self.cancel_stale(&|kind| carrier.conveys(kind));
        self.survey_all()?;
        let mut prepared = Vec::new();
        let records = match self.prepare_all(carrier, &mut prepared) {
            Ok(records) => records,
            Err(error) => {
                self.cancel_steps(&mut prepared);
                return Err(error);
            }
        };
        let named = Participant::Carrier(carrier.name());
        if let Err(error) = carrier.prepare(&mut self.kho) {
            self.release(records);
            self.cancel_steps(&mut prepared);
            return Err(Cause::from(error).by(named, Phase::Prepare));
        }
        self.bulletin.set(State::Prepared, Some(Transition::Prepare));
        Ok(Prepared { work: Some(Work { luo: self, carrier, prepared, records }) })
    }

    /// The part of prepare that is undone through `prepared` if it fails.
    fn prepare_all(
        &mut self,
        carrier: &dyn Carrier<K>,
        prepared: &mut Vec<Step>,
    ) -> Result<Records, Box<PhaseError>> {
        let steps = self.steps();
        let of = steps.len();
        for (nth, step) in (1..).zip(steps) {
            if self.prepare_surveyed(step, &|kind| carrier.conveys(kind))? {
                prepared.push(step);
            }
            self.done(step, Phase::Prepare, nth, of);
        }
        self.check_dependencies(Phase::Prepare)?;
        self.take_records().map_err(|cause| cause.by(Participant::Records, Phase::Prepare))
    }
}

impl<K: Kho> Work<'_, K> {
    /// Undoes prepare, in reverse order.
    pub(crate) fn cancel(mut self) {
        self.carrier.cancel(self.luo.memory_mut());
        self.luo.release(self.records);
        self.luo.cancel_steps(&mut self.prepared);
        self.luo.bulletin.set(State::Normal, Some(Transition::Cancel));
    }
}

impl<'l, K: Kho> Prepared<'l, K> {
    pub(crate) fn from_work(work: Work<'l, K>) -> Self {
        Self { work: Some(work) }
    }

    fn into_work(mut self) -> Work<'l, K> {
        self.work.take().expect(INSIDE)
    }

    /// The orchestrator, to be looked at.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the work leaves only through a door that consumes the guard"
    )]
    pub fn luo(&self) -> &Luo<K> {
        self.work.as_ref().expect(INSIDE).luo
    }

    /// Cancels: the same as dropping it, said out loud.
    pub fn cancel(self) {
        drop(self);
    }

    /// Writes the last changes. The right to run the guest is given up: whoever entered vCPUs has stopped them, or a
    /// subsystem does so in its freeze.
    ///
    /// # Errors
    ///
    /// One [`PhaseError`] that names who failed and why. The guard and the right come back; everything is prepared,
    /// as before the call.
    #[expect(clippy::type_complexity, reason = "what was given comes back")]
    pub fn freeze(self, owned: Owned) -> Result<Frozen<'l, K>, Stuck<(Self, Owned), Box<PhaseError>>> {
        let work = self.into_work();
        let steps = work.luo.steps();
        let of = steps.len();
        let mut frozen = Vec::with_capacity(of);
        for (nth, step) in (1..).zip(steps) {
            if let Err(error) = work.luo.freeze_one(step) {
                work.luo.unfreeze_steps(&mut frozen);
                return Err(Stuck::new((Self::from_work(work), owned), error));
            }
            frozen.push(step);
            work.luo.done(step, Phase::Freeze, nth, of);
        }
        if let Err(error) = work.luo.check_dependencies(Phase::Freeze) {
            work.luo.unfreeze_steps(&mut frozen);
            return Err(Stuck::new((Self::from_work(work), owned), error));
        }
        work.luo.bulletin.set(State::Frozen, Some(Transition::Freeze));
        Ok(Frozen::new(work, frozen, owned))
    }
}

impl<K: Kho> Drop for Prepared<'_, K> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            work.cancel();
        }
    }
}

impl<K: Kho> fmt::Debug for Prepared<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("luo", &self.work.as_ref().map(|work| &*work.luo)).finish()
    }
}
