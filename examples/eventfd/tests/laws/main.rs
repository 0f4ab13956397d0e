//! The handler of eventfd files keeps every law.

use luo_core::conformance::{self, Fixture, Law, SimGround};
mod simulated;
#[cfg(target_os = "linux")]
mod real;

use simulated::SimFixture;

/// It uses no preserved memory, so that no frame can be damaged.
const NO_FRAMES: &[Law] = &[Law::DamagedFrames];

#[track_caller]
fn keeps_every_law(mut fixture: impl Fixture) {
    for ground in [SimGround::exec(), SimGround::kexec()] {
        let report = conformance::check_on(&mut fixture, &ground);
        println!("{report}");
        assert_eq!((&*report.skipped(), report.findings().len()), (NO_FRAMES, Law::ALL.len()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn real_eventfds() {
    keeps_every_law(real::RealFixture::default());
}

#[test]
fn simulated_eventfd_files() {
    keeps_every_law(SimFixture::default());
}
