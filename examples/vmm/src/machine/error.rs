//! What can go wrong with a machine.

use crate::guest::LookError;
use crate::state::StateError;

/// What went wrong with a machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    /// A call of KVM's failed.
    #[error("{call} failed: {errno}")]
    Kvm {
        /// The call.
        call: &'static str,
        /// Why.
        errno: kvm_ioctls::Error,
    },
    /// The kernel stopped in the middle of a list of registers.
    #[error("{call} did {done} of {all} model-specific registers; the next is {next:#x}")]
    Msrs {
        /// The call.
        call: &'static str,
        /// How many it did.
        done: usize,
        /// Of how many.
        all: usize,
        /// The one at which it stopped.
        next: u32,
    },
    /// The guest did something that it does not do.
    #[error("vcpu {vcpu} left the guest for an unknown reason: {exit}")]
    Exit {
        /// Which vCPU.
        vcpu: u32,
        /// What it was.
        exit: String,
    },
    /// The state is that of another machine.
    #[error("the state is that of another machine: {what}")]
    Other {
        /// What differs.
        what: &'static str,
    },
    /// Its state cannot be written or read.
    #[error(transparent)]
    State(#[from] StateError),
    /// Guest memory could not be read or written.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The host gave no thread.
    #[error("a vCPU's thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The thread of a vCPU is gone.
    #[error("the thread of vcpu {vcpu} is gone")]
    Gone {
        /// Whose.
        vcpu: u32,
    },
    /// Vcpus are not where they have to be.
    #[error("the machine {0}")]
    NotNow(&'static str),
}
