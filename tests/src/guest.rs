//! The oracle: who may run the guest. It holds the right to, and panics if two programs could.

use std::sync::Arc;

use luo_kho::Owned;
use luo_kho::sim::{Machine, Party};
use parking_lot::Mutex;

use crate::vcpus::Vcpus;

/// The guest of a host. Clones name the same guest.
#[derive(Clone, Debug, Default)]
pub struct Guest(Arc<Mutex<Option<Running>>>);

#[derive(Debug)]
struct Running {
    party: Party,
    owned: Owned,
    vcpus: Vec<Vcpus>,
}

impl Guest {
    /// A program enters the guest.
    ///
    /// # Panics
    ///
    /// If another program that lives is in it, or the right is worth nothing.
    pub fn enter(&self, machine: &Machine, party: Party, owned: Owned, vcpus: &[Vcpus]) {
        let mut running = self.0.lock();
        if let Some(other) = running.as_ref().filter(|other| machine.is_alive(other.party)) {
            panic!("two programs run the guest: {:?} enters, {:?} is in it", party, other.party);
        }
        assert!(machine.enter_guest(&owned), "the right to run the guest is worth nothing");
        for vcpu in vcpus {
            vcpu.set_running(true);
        }
        *running = Some(Running { party, owned, vcpus: vcpus.to_vec() });
    }

    /// A program leaves the guest, and has the right in its hand.
    ///
    /// # Panics
    ///
    /// If it is not in it.
    pub fn leave(&self, party: Party) -> Owned {
        let running = self.0.lock().take();
        let Some(Running { party: _, owned, vcpus }) = running.filter(|running| running.party == party)
        else {
            panic!("{party:?} leaves a guest that it is not in");
        };
        for vcpu in &vcpus {
            vcpu.set_running(false);
        }
        owned
    }

    /// Which living program runs the guest.
    pub fn runner(&self, machine: &Machine) -> Option<Party> {
        self.0.lock().as_ref().map(|running| running.party).filter(|party| machine.is_alive(*party))
    }
}
