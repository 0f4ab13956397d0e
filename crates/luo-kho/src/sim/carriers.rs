//! The carriers of the simulated machine.
//!
//! Both are given the **far side** as a function. It plays whatever runs on the other side of the gap, on the machine
//! that it is handed: it opens the offer with [`Machine::successor`], commits or refuses or dies, and keeps what it
//! wants to keep in variables of its own. It runs inside `hand_over`; what it does not do there can still be done
//! later, by whoever holds the machine.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::faults::Call;
use super::machine::Machine;
use super::oracle::Violation;
use super::view::SimKho;
use crate::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};
use crate::{Departed, Kho, KhoError, Offer};

/// Replaces the program in place; also stands for a successor that was started beforehand.
///
/// The kernel stays, and with it the party that made the offer, until it is killed: `hand_over` returns `Departed` if
/// the far side committed, whatever it said; its refusal if it refused; and a missed deadline if it said nothing.
#[derive(Debug)]
pub struct SimExec<F> {
    far_side: F,
    gate: Gate,
}

/// Replaces the kernel. No file survives that: it does not prepare while some are attached.
///
/// `hand_over` reboots the machine and then runs the far side on it. The party that made the offer dies in the reboot.
/// That `hand_over` returns all the same is for the test's sake: `Departed` if the far side committed, and otherwise
/// [`KhoError::Crashed`], which is what every further call of that party returns.
#[derive(Debug)]
pub struct SimKexec<F> {
    far_side: F,
    gate: Gate,
    reboot_errno: Option<i32>,
}

/// What both have in common: what cannot cross, and whether the carrier is prepared.
#[derive(Debug, Default)]
struct Gate {
    refused: Vec<(DescriptorKind, Cow<'static, str>)>,
    prepared: bool,
}

impl Gate {
    fn conveys(&self, kind: DescriptorKind) -> Conveyance {
        match self.refused.iter().find(|(refused, _)| *refused == kind) {
            Some((_, reason)) => Conveyance::Refused { reason: reason.clone() },
            None => Conveyance::ByReference,
        }
    }

    fn pass(&self, kho: &SimKho, call: Call, prepared: bool) -> Result<(), KhoError> {
        let mut state = kho.machine().lock();
        state.call(kho.party(), call)?;
        if self.prepared != prepared {
            state.violations.push(Violation::Carrier { call });
        }
        Ok(())
    }
}

impl<F: FnMut(&Machine) -> Result<(), CarrierError>> SimExec<F> {
    /// Every kind of descriptor crosses, unless [`refusing`](Self::refusing) says otherwise.
    pub fn new(far_side: F) -> Self {
        Self { far_side, gate: Gate::default() }
    }

    /// Descriptors of this kind cannot cross.
    #[must_use]
    pub fn refusing(mut self, kind: DescriptorKind, reason: impl Into<Cow<'static, str>>) -> Self {
        self.gate.refused.push((kind, reason.into()));
        self
    }

    /// Whether it was prepared, and neither cancelled nor used up since.
    pub fn is_prepared(&self) -> bool {
        self.gate.prepared
    }
}

impl<F: FnMut(&Machine) -> Result<(), CarrierError>> SimKexec<F> {
    /// Every kind of descriptor crosses, unless [`refusing`](Self::refusing) says otherwise.
    pub fn new(far_side: F) -> Self {
        Self { far_side, gate: Gate::default(), reboot_errno: None }
    }

    /// Descriptors of this kind cannot cross.
    #[must_use]
    pub fn refusing(mut self, kind: DescriptorKind, reason: impl Into<Cow<'static, str>>) -> Self {
        self.gate.refused.push((kind, reason.into()));
        self
    }

    /// The reboot fails with this errno, every time; the kernel stays, and nobody dies.
    #[must_use]
    pub fn failing(mut self, errno: i32) -> Self {
        self.reboot_errno = Some(errno);
        self
    }

    /// Whether it was prepared, and neither cancelled nor used up since.
    pub fn is_prepared(&self) -> bool {
        self.gate.prepared
    }
}

impl<F: FnMut(&Machine) -> Result<(), CarrierError>> Carrier<SimKho> for SimExec<F> {
    fn name(&self) -> &'static str {
        "sim-exec"
    }

    fn conveys(&self, kind: DescriptorKind) -> Conveyance {
        self.gate.conveys(kind)
    }

    fn prepare(&mut self, kho: &mut SimKho) -> Result<(), CarrierError> {
        self.gate.pass(kho, Call::Prepare, false)?;
        self.gate.prepared = true;
        Ok(())
    }

    fn cancel(&mut self, _kho: &mut SimKho) {
        self.gate.prepared = false;
    }

    fn hand_over(&mut self, kho: &mut SimKho, offer: Offer) -> Result<Departed, CarrierError> {
        self.gate.pass(kho, Call::HandOver, true)?;
        let answer = (self.far_side)(kho.machine());
        match (Departed::witness(kho, offer)?, answer) {
            (Some(departed), _) => {
                self.gate.prepared = false;
                Ok(departed)
            }
            (None, Err(refusal)) => Err(refusal),
            (None, Ok(())) => Err(CarrierError::Deadline { awaited: "commit" }),
        }
    }
}

impl<F: FnMut(&Machine) -> Result<(), CarrierError>> Carrier<SimKho> for SimKexec<F> {
    fn name(&self) -> &'static str {
        "sim-kexec"
    }

    fn conveys(&self, kind: DescriptorKind) -> Conveyance {
        self.gate.conveys(kind)
    }

    fn prepare(&mut self, kho: &mut SimKho) -> Result<(), CarrierError> {
        self.gate.pass(kho, Call::Prepare, false)?;
        if let Some(segment) = kho.segments().first() {
            let reason = alloc::format!("the file at {segment} does not survive its kernel");
            return Err(CarrierError::Refused { reason });
        }
        self.gate.prepared = true;
        Ok(())
    }

    fn cancel(&mut self, _kho: &mut SimKho) {
        self.gate.prepared = false;
    }

    fn hand_over(&mut self, kho: &mut SimKho, offer: Offer) -> Result<Departed, CarrierError> {
        self.gate.pass(kho, Call::HandOver, true)?;
        if let Some(errno) = self.reboot_errno {
            return Err(CarrierError::Host { call: "reboot", errno });
        }
        let machine = kho.machine();
        machine.kexec();
        self.gate.prepared = false;
        // Nobody is left on this side to hear what the far side says: only the word counts.
        let _unheard = (self.far_side)(machine);
        Departed::witness(&machine.guardian(), offer)?.ok_or(CarrierError::Kho(KhoError::Crashed))
    }
}
