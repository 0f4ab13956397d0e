//! A handler that keeps all laws passes the conformance kit: every law has cases, on every ground.

use luo_core::conformance::{self, Law, Outcome, SimGround};
use luo_kho::carrier::DescriptorKind;
use luo_kho::sim::{Fragmentation, MachineConfig};
use luo_kho::{FrameCount, FrameRange, Pfn};
use luo_tests::echo::{Echo, EchoFixture};

#[test]
fn echo_keeps_every_law() {
    let report = conformance::check(&mut EchoFixture::new(Echo::new));
    println!("{report}");
    assert_eq!(report.skipped(), []);
    assert_eq!(report.findings().len(), 2 * Law::ALL.len());
    for finding in report.findings() {
        assert_eq!(finding.outcome, Outcome::Holds);
        assert!(finding.cases > 0, "{finding}");
    }
}

#[test]
fn echo_keeps_every_law_on_other_machines() {
    let frames = FrameRange::new(Pfn::ZERO, FrameCount::new(512).unwrap()).unwrap();
    let config = MachineConfig::default().span(frames).fragmentation(Fragmentation::Descending);
    for ground in [SimGround::exec(), SimGround::kexec()] {
        let ground =
            ground.with(config.clone()).refusing(DescriptorKind("echo"), "echoes do not cross walls");
        let report = conformance::check_on(&mut EchoFixture::new(Echo::new), &ground);
        assert_eq!(report.skipped(), []);
    }
}

#[test]
fn every_law_has_a_name_and_a_statement() {
    for law in Law::ALL {
        assert!(law.statement().ends_with('.'), "{law}");
        assert!(law.name().chars().all(|letter| letter.is_ascii_lowercase() || letter == ' '), "{law}");
    }
    let mut names: Vec<_> = Law::ALL.iter().map(|law| law.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Law::ALL.len());
}
