//! Surveys may run in any order and on any thread; what is written is the same, and failures are the same.

use luo_core::{Execution, SessionName, Token};
use luo_kho::sim::SimKho;
use luo_tests::{Act, Build, By, Host, Program, SimFile, nobody, session};

const EXECUTIONS: [Execution; 5] = [
    Execution::Inline,
    Execution::Seeded(0),
    Execution::Seeded(1),
    Execution::Seeded(0xDEAD_BEEF),
    Execution::Threads,
];

fn world(host: &Host, execution: Execution) -> Program<'_> {
    let mut program = host.found(&Build::standard());
    program.luo.set_execution(execution);
    for token in 0..40u8 {
        program.preserve(if token % 3 == 0 { "a" } else { "b" }, token.into(), &host.note([token; 64]));
    }
    program
}

/// What an update leads to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Every preserved byte of the machine.
    bytes: Vec<u8>,
    /// The calls that were made until the offer stood.
    calls: u64,
    /// What the successor found.
    found: Vec<(SessionName, Token, Vec<u8>)>,
}

fn outcome(execution: Execution) -> Outcome {
    let host = Host::new();
    let program = world(&host, execution);
    program.die_offering();
    let counters = host.machine.counters();
    let mut new =
        host.adopt(&Build::standard()).expect("there is an offer").take_over().expect("all is well");
    let bytes = preserved_bytes(new.updated.luo().memory());
    let found = new.updated.retrieve_all::<SimFile>().into_iter();
    let found = found.map(|one| (one.session, one.token, one.file.expect("all is well").bytes())).collect();
    new.finish().expect("all is well").assert_clean();
    Outcome { bytes, calls: counters.calls, found }
}

fn preserved_bytes(kho: &SimKho) -> Vec<u8> {
    let runs = kho.census().expect("the tracker is whole").preserved;
    let frames = runs.into_iter().flat_map(luo_kho::FrameRange::frames);
    frames.flat_map(|pfn| *kho.peek(pfn).expect("a frame of the machine")).collect()
}

#[test]
fn the_bytes_that_cross_are_the_same() {
    let inline = outcome(Execution::Inline);
    for execution in EXECUTIONS {
        assert_eq!(outcome(execution), inline, "{execution:?}");
    }
}

/// Several surveys refuse: the one that is registered first is named, whichever was executed first, and the rest is as
/// if it had been the only one.
#[test]
fn the_first_refusal_in_registration_order_is_told() {
    for execution in EXECUTIONS {
        let host = Host::new();
        let mut program = world(&host, execution);
        // All surveys refuse at their beginning: one question each.
        (0..40).for_each(|later| host.journal.refuse_next(later));
        let error = program.luo.prepare(&mut nobody()).unwrap_err();
        assert_eq!(error.participant.to_string(), "file 0x0 of session `a` (note)", "{execution:?}");
        assert_eq!(host.journal.order(program.id, Act::Prepare), []);
        assert_eq!(host.journal.entries().iter().filter(|entry| entry.act == Act::Survey).count(), 40);
        program.assert_clean();
    }
}

#[test]
fn each_file_is_surveyed_once_in_any_execution() {
    for execution in EXECUTIONS {
        let host = Host::new();
        let mut program = world(&host, execution);
        program.luo.prepare_file(session("a"), Token(0), &nobody()).unwrap();
        let id = program.id;
        program.prepare_and_cancel(&mut nobody());
        let mut surveyed = host.journal.order(id, Act::Survey);
        let in_order = surveyed.is_sorted();
        surveyed.sort_unstable();
        surveyed.dedup();
        assert_eq!((surveyed.len(), host.journal.order(id, Act::Survey).len()), (40, 40));
        if matches!(execution, Execution::Seeded(_)) {
            assert!(!in_order, "a seeded order of 40 files is some other order");
        }
        program.update(By::Exec, &Build::standard()).retrieve_all();
        host.check();
    }
}
