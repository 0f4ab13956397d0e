//! The handler of memfds keeps every law: on simulated memfds and on real ones, by reference and by copy.

use luo_core::conformance::SimGround;
use luo_memfd::{CopyWhen, DESCRIPTOR};
use luo_tests::laws::{NO_FRAMES, keeps_every_law_but};
use luo_tests::memfd::SimFixture;

const NO_MEMFDS: &str = "memfds do not survive their kernel";

#[test]
fn simulated_memfds_by_reference() {
    keeps_every_law_but(NO_FRAMES, SimFixture::new(CopyWhen::Needed), &SimGround::exec());
}

#[test]
fn simulated_memfds_by_copy_because_the_carrier_cannot_take_them() {
    let ground = SimGround::kexec().refusing(DESCRIPTOR, NO_MEMFDS);
    keeps_every_law_but(&[], SimFixture::new(CopyWhen::Needed), &ground);
}

#[test]
fn simulated_memfds_by_copy_because_the_embedder_wants_it() {
    keeps_every_law_but(&[], SimFixture::new(CopyWhen::Always).first(2), &SimGround::exec());
}

#[test]
fn simulated_memfds_by_copy_with_a_dirty_log() {
    let ground = SimGround::kexec().refusing(DESCRIPTOR, NO_MEMFDS);
    keeps_every_law_but(&[], SimFixture::new(CopyWhen::Needed).logged().first(2), &ground);
}

#[cfg(target_os = "linux")]
mod real {
    use luo_tests::memfd::{ProcessGround, RealFixture};

    use super::*;

    #[test]
    fn real_memfds_by_reference() {
        keeps_every_law_but(NO_FRAMES, RealFixture::new(CopyWhen::Needed), &ProcessGround::new());
    }

    #[test]
    fn real_memfds_by_copy_into_memory_of_descriptors() {
        let ground = ProcessGround::new().refusing(NO_MEMFDS);
        keeps_every_law_but(&[], RealFixture::new(CopyWhen::Needed), &ground);
    }

    #[test]
    fn real_memfds_by_copy_with_a_dirty_log() {
        keeps_every_law_but(&[], RealFixture::new(CopyWhen::Always).logged().first(2), &ProcessGround::new());
    }

    #[test]
    fn real_memfds_by_copy_into_a_machine_that_has_no_segments_for_them() {
        keeps_every_law_but(&[], RealFixture::new(CopyWhen::Needed).first(3), &SimGround::kexec());
    }
}
