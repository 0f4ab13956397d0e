//! The handlers of guest_memfds and of their virtual machines keep every law: on simulated ones and on real ones, by
//! reference and by copy.

use luo_core::conformance::{Law, SimGround};
use luo_guestmemfd::{DESCRIPTOR, Retrieve};
use luo_tests::guestmemfd::{SimFixture, VmFixture};
use luo_tests::laws::{NO_FRAMES, keeps_every_law_but};

const STAY: &str = "guest_memfds do not survive their kernel";

#[test]
fn simulated_files_that_are_mapped() {
    keeps_every_law_but(NO_FRAMES, SimFixture::new(Retrieve::MapOld), &SimGround::exec());
}

#[test]
fn simulated_files_that_are_copied_into_new_ones() {
    keeps_every_law_but(NO_FRAMES, SimFixture::new(Retrieve::CopyIntoNew), &SimGround::exec());
}

#[test]
fn simulated_files_by_copy_because_the_carrier_cannot_take_them() {
    let ground = SimGround::kexec().refusing(DESCRIPTOR, STAY);
    keeps_every_law_but(&[], SimFixture::new(Retrieve::MapOld), &ground);
}

#[test]
fn simulated_files_with_private_pages_that_are_exported() {
    keeps_every_law_but(&[], SimFixture::new(Retrieve::MapOld).exporting(), &SimGround::exec());
}

/// A machine takes nothing from memory, asks its host for nothing before it is made anew, and cannot be changed.
const ONLY_MADE_ANEW: &[Law] =
    &[Law::HostFaults, Law::ChangesWhilePrepared, Law::ChangesWhileThawed, Law::DamagedFrames];

#[test]
fn simulated_virtual_machines() {
    keeps_every_law_but(ONLY_MADE_ANEW, VmFixture::simulated(), &SimGround::exec());
}

#[cfg(target_os = "linux")]
mod real {
    use luo_tests::guestmemfd::{RealFixture, alone, unsupported};
    use luo_tests::memfd::ProcessGround;

    use super::*;

    #[test]
    fn real_files_that_are_mapped() {
        if unsupported("real_files_that_are_mapped") {
            return;
        }
        let _alone = alone();
        keeps_every_law_but(NO_FRAMES, RealFixture::new(Retrieve::MapOld), &ProcessGround::new());
    }

    #[test]
    fn real_files_that_are_copied_into_new_ones() {
        if unsupported("real_files_that_are_copied_into_new_ones") {
            return;
        }
        let _alone = alone();
        keeps_every_law_but(NO_FRAMES, RealFixture::new(Retrieve::CopyIntoNew), &ProcessGround::new());
    }

    #[test]
    fn real_files_by_copy_into_memory_of_descriptors() {
        if unsupported("real_files_by_copy_into_memory_of_descriptors") {
            return;
        }
        let _alone = alone();
        let ground = ProcessGround::new().refusing(STAY);
        keeps_every_law_but(&[], RealFixture::new(Retrieve::MapOld), &ground);
    }

    #[test]
    fn real_virtual_machines() {
        if unsupported("real_virtual_machines") {
            return;
        }
        let _alone = alone();
        // No call of this kernel's fails to order.
        let skipped = [&ONLY_MADE_ANEW[..3], &[Law::FailedRetrieve], &ONLY_MADE_ANEW[3..]].concat();
        keeps_every_law_but(&skipped, VmFixture::real(), &ProcessGround::new());
    }
}
