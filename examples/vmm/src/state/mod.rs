//! The state of a machine that is not in its memory: what vCPUs have in their registers, and what the chips around them
//! are about to do.
//!
//! - [`MachineState`] is the live form, which every build understands.
//! - A **format** is a layout of bytes for it. [`v1`] and [`v2`] carry the same and look nothing alike, so that an
//!   update from the one to the other, and back, means something.
//!
//! What the kernel calls `struct kvm_*` is part of its interface to programs and never changes; where a format takes
//! one of those as it is, it says so.

mod bytes;
mod v1;
mod v2;
#[cfg(test)]
mod tests;

use kvm_bindings::{
    kvm_clock_data, kvm_debugregs, kvm_irqchip, kvm_lapic_state, kvm_mp_state, kvm_msr_entry, kvm_regs,
    kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use luo_core::Version;

use crate::guest::{Layout, LayoutError};

pub(crate) use v1::V1;
pub(crate) use v2::V2;

/// Model-specific registers of one vCPU, at most: KVM takes fewer than 256 in one call.
pub(crate) const MSRS_MAX: usize = 255;
/// Interrupt controllers of a machine: two of the old sort, and the I/O APIC.
pub(crate) const CHIPS: usize = 3;

/// A machine that lies still.
#[derive(Debug)]
pub(crate) struct MachineState {
    /// What machine it is.
    pub(crate) layout: Layout,
    /// What executes the guest, and how far it is.
    pub(crate) guest: GuestState,
}

/// The part that depends on what executes the guest.
#[derive(Debug)]
pub(crate) enum GuestState {
    /// The processor, by way of `/dev/kvm`.
    Kvm {
        /// What all vCPUs share.
        platform: Box<KvmPlatform>,
        /// In the order of their numbers.
        vcpus: Vec<Box<KvmVcpu>>,
    },
    /// Threads of this program, which do the guest's steps in Rust.
    Threads {
        /// In the order of their numbers.
        vcpus: Vec<ThreadVcpu>,
    },
}

/// What all vCPUs of a KVM guest share.
pub(crate) struct KvmPlatform {
    /// The guest's clock, in nanoseconds.
    pub(crate) clock: kvm_clock_data,
    /// The interrupt controllers.
    pub(crate) chips: [kvm_irqchip; CHIPS],
}

/// One vCPU of a KVM guest.
#[derive(Debug)]
pub(crate) struct KvmVcpu {
    pub(crate) regs: kvm_regs,
    pub(crate) sregs: kvm_sregs,
    pub(crate) xsave: kvm_xsave,
    pub(crate) xcrs: kvm_xcrs,
    pub(crate) debug: kvm_debugregs,
    pub(crate) lapic: kvm_lapic_state,
    pub(crate) events: kvm_vcpu_events,
    pub(crate) mp: kvm_mp_state,
    /// All that the kernel lists, but for the time stamp counter.
    pub(crate) msrs: Vec<kvm_msr_entry>,
    /// What is added to the host's time stamp counter.
    pub(crate) tsc_offset: i64,
    /// Its frequency; a format that does not carry it leaves the host's.
    pub(crate) tsc_khz: Option<u32>,
}

/// One vCPU of a thread guest: the registers of the step function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadVcpu {
    /// Steps so far.
    pub(crate) counter: u64,
    /// Which page of the share was visited last.
    pub(crate) page: u64,
    /// At which word of it, in bytes.
    pub(crate) word: u64,
    /// Steps left in the lap.
    pub(crate) left: u64,
    /// Characters of the current line that are not printed yet.
    pub(crate) unprinted: u64,
    /// Whether the doorbell was rung and not answered.
    pub(crate) rung: bool,
}

/// Why bytes are not the state of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    /// No format has this number.
    #[error("machine state of version {version} is not known")]
    Version {
        /// What the record says.
        version: u16,
    },
    /// They end too early.
    #[error("machine state ends where {wanted} should begin")]
    Short {
        /// What is missing.
        wanted: &'static str,
    },
    /// They go on.
    #[error("machine state has {bytes} bytes too many")]
    Long {
        /// How many.
        bytes: usize,
    },
    /// They say what cannot be.
    #[error("machine state is impossible: {what}")]
    Impossible {
        /// What is.
        what: &'static str,
    },
    /// No machine looks like this.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl MachineState {
    /// The state in a format.
    ///
    /// # Errors
    ///
    /// [`StateError::Version`].
    pub(crate) fn write(&self, version: Version) -> Result<Vec<u8>, StateError> {
        match version {
            V1 => Ok(v1::write(self)),
            V2 => Ok(v2::write(self)),
            Version(version) => Err(StateError::Version { version }),
        }
    }

    /// The state from its bytes.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub(crate) fn read(version: Version, bytes: &[u8]) -> Result<Self, StateError> {
        match version {
            V1 => v1::read(bytes),
            V2 => v2::read(bytes),
            Version(version) => Err(StateError::Version { version }),
        }
    }

    /// The longest that any format can be, for so many vCPUs.
    pub(crate) const fn bytes_max(vcpus: u32) -> u64 {
        // A machine's header and its chips have less than 4 KiB. A vCPU has at most its records, of which the largest
        // is the floating-point area of 4 KiB, and 16 bytes for each of its model-specific registers.
        (4 << 10) + vcpus as u64 * ((12 << 10) + 16 * MSRS_MAX as u64)
    }
}

impl core::fmt::Debug for KvmPlatform {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The chips are unions of the kernel's.
        f.debug_struct("KvmPlatform").field("clock", &self.clock).finish_non_exhaustive()
    }
}
