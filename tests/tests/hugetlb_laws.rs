//! The handler of huge pages keeps every law: on simulated files and on real ones, by reference, by copy, and by a copy
//! that frees pages.

use luo_core::conformance::SimGround;
use luo_hugetlb::{CopyWhen, DESCRIPTOR, FreeTo};
use luo_tests::hugetlb::SimFixture;
use luo_tests::laws::{NO_FRAMES, keeps_every_law_but};

const HUGE_PAGES_STAY: &str = "huge pages stay in their kernel";

#[test]
fn simulated_files_by_reference() {
    keeps_every_law_but(NO_FRAMES, SimFixture::new(CopyWhen::Needed), &SimGround::exec());
}

#[test]
fn simulated_files_by_copy_because_the_carrier_cannot_take_them() {
    let ground = SimGround::kexec().refusing(DESCRIPTOR, HUGE_PAGES_STAY);
    keeps_every_law_but(&[], SimFixture::new(CopyWhen::Needed), &ground);
}

#[test]
fn simulated_files_by_copy_because_the_embedder_wants_it() {
    keeps_every_law_but(&[], SimFixture::new(CopyWhen::Always).first(2), &SimGround::exec());
}

#[test]
fn simulated_files_whose_pages_are_freed() {
    let ground = SimGround::exec().refusing(DESCRIPTOR, HUGE_PAGES_STAY);
    let fixture = SimFixture::new(CopyWhen::Needed).freeing(FreeTo::Pool).first(5);
    keeps_every_law_but(&[], fixture, &ground);
}

#[cfg(target_os = "linux")]
mod real {
    use luo_hugetlb::PageSize;
    use luo_tests::hugetlb::{RealFixture, borrow};
    use luo_tests::memfd::ProcessGround;

    use super::*;

    fn refusing() -> ProcessGround {
        ProcessGround::new().refusing_kind(DESCRIPTOR, HUGE_PAGES_STAY)
    }

    #[test]
    fn real_files_by_reference() {
        let Some(_pages) = borrow("real_files_by_reference", PageSize::MIB_2, RealFixture::PAGES) else {
            return;
        };
        keeps_every_law_but(NO_FRAMES, RealFixture::new(CopyWhen::Needed), &ProcessGround::new());
    }

    #[test]
    fn real_files_by_copy() {
        let Some(_pages) = borrow("real_files_by_copy", PageSize::MIB_2, RealFixture::PAGES) else { return };
        keeps_every_law_but(&[], RealFixture::new(CopyWhen::Needed).first(2), &refusing());
    }

    #[test]
    fn real_files_whose_pages_are_freed() {
        let test = "real_files_whose_pages_are_freed";
        let Some(_pages) = borrow(test, PageSize::MIB_2, RealFixture::PAGES) else { return };
        keeps_every_law_but(
            &[],
            RealFixture::new(CopyWhen::Needed).freeing(FreeTo::Pool).first(1),
            &refusing(),
        );
    }
}
