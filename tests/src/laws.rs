//! The law suite, as the tests of all handlers run it.

use luo_core::conformance::{self, Fixture, Ground, Law};

/// By reference no frame is taken, so none can be damaged.
pub const NO_FRAMES: &[Law] = &[Law::DamagedFrames];

/// Every law has cases but those that have none by nature.
///
/// # Panics
///
/// If a law is broken, or has cases where it was said to have none, or the other way round.
#[track_caller]
pub fn keeps_every_law_but<F: Fixture, G: Ground>(skipped: &[Law], mut fixture: F, ground: &G) {
    let report = conformance::check_on(&mut fixture, ground);
    println!("{report}");
    assert_eq!((&*report.skipped(), report.findings().len()), (skipped, Law::ALL.len()));
}
