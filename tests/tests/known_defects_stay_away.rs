//! Defects of the kernel's orchestrator, as seen by reading 7.3 (D1 to D18) and as reported (R1 to R11): each is tried
//! here, or somewhere else, or has no meaning for these crates.
//!
//! | defect | tried by |
//! |---|---|
//! | D1 duplicate name at a full block stops the next kernel | here |
//! | D2, D3 counts of shared objects | `shared_objects_are_counted` |
//! | D5 seals added after preserve are lost; R3 dirty flags taken too early | here: flags; `one_file_crosses`: bytes |
//! | D7 a failed retrieve leaks; D8 a busy session is out of reach; D12 finish discards | `finish_loses_nothing` |
//! | D9, R7 error paths after a failed allocation; R9 a prefix is preserved | here; `every_single_fault` |
//! | D10 runs across NUMA nodes | `any_count_crosses` |
//! | D11 one unknown handler loses every session | `what_cannot_be_read_is_isolated` |
//! | D13 unfreeze runs forwards; D16 rollback forgets participants | `a_failed_step_is_undone` |
//! | D14 a page leaks with every update | here; `a_hundred_generations` |
//! | D15 freeze runs although nothing can cross | `a_failed_handover_is_retried` |
//! | D17 no error for frames preserved twice | `frames_can_be_kept`; the tracker's own tests |
//! | D18 unknown flags are ignored | `hostile_images_are_refused` |
//! | R1 one file under two tokens | `uapi` |
//! | R2 a failed retrieve is tried again | `retrieve_happens_once` |
//! | R5 records in scratch | here |
//! | R8 a walk that returns early | the tracker's own tests |
//!
//! No meaning here: D4 and D6 (modes and seals of memfds: `luo-memfd`), R4 and R11 (pages and holes of memfds: the
//! same), R6 (the kernel's own page structures), R10 (a slow look-up is a matter for benchmarks).

use luo_core::SessionError;
use luo_kho::sim::{Call, FaultPlan, Fragmentation, MachineConfig};
use luo_kho::{FrameCount, FrameRange};
use luo_tests::{Build, By, Host, SimFile, carrier, frame_count, nobody, session};

#[test]
fn d1_a_refused_name_at_a_full_block_leaves_no_trace() {
    for sessions in [51, 102] {
        let host = Host::new();
        let mut old = host.found(&Build::standard());
        for number in 0..sessions {
            old.luo.open_session(session(&format!("session-{number}"))).unwrap();
        }
        let error = old.luo.open_session(session("session-0")).unwrap_err();
        assert!(matches!(error, SessionError::NameInUse { .. }), "{error}");
        let new = old.update(By::Kexec, &Build::standard());
        assert_eq!(new.updated.sessions().len(), sessions);
        new.finish().unwrap().assert_clean();
    }
}

#[test]
fn d5_flags_set_after_prepare_are_not_lost() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    let file = host.note("sealed later");
    old.preserve("s", 1, &file);
    let (mut arrived, build) = (None, Build::standard());
    let mut far = carrier(By::Kexec, |_| host.arrive(&build, &mut arrived));
    let prepared = old.luo.prepare(&mut *far).unwrap();
    file.change(|contents| contents.flags = 0b1111);
    let _departed = prepared.freeze(host.guest.leave(old.party)).unwrap().hand_over().unwrap();
    drop(far);
    let mut new = arrived.unwrap();
    assert_eq!(new.retrieve("s", 1).unwrap().contents().flags, 0b1111);
    new.finish().unwrap().assert_clean();
}

/// Every allocation and every preservation fails, once or from then on, in memory that gives single frames; nothing is
/// left behind, and the attempt after it goes through.
#[test]
fn d9_r7_r9_a_failed_allocation_leaves_nothing_behind() {
    let config = MachineConfig::default().fragmentation(Fragmentation::Single);
    for call in [Call::Alloc, Call::Preserve, Call::TakeNode, Call::Write] {
        for for_good in [false, true] {
            let mut failures = 0;
            for nth in 0.. {
                let host = Host::with(config.clone());
                let mut program = host.found(&Build::standard());
                program.preserve("s", 1, &host.note(vec![7; 5 * 4096]));
                program.preserve("s", 2, &host.note("small"));
                let (plan, first) = (FaultPlan::none(), nth + u64::from(call == Call::TakeNode));
                host.machine.inject(if for_good {
                    plan.fail_call_from(call, first)
                } else {
                    plan.fail_call(call, first)
                });
                let mut far = nobody();
                let outcome = program.luo.prepare(&mut far).map(drop);
                if host.machine.counters().failed == 0 {
                    outcome.unwrap();
                    break;
                }
                let error = outcome.unwrap_err().to_string();
                assert!(error.contains("because the simulated machine was told so"), "{error}");
                failures += 1;
                program.assert_clean();
                host.machine.inject(FaultPlan::none());
                let mut new = program.update(By::Exec, &Build::standard());
                assert_eq!(new.retrieve_all().len(), 2);
                new.finish().unwrap().assert_clean();
            }
            assert!(failures > 0, "no {call:?} was made");
        }
    }
}

/// What an update takes is the same in every generation, and all of it is given back.
#[test]
fn d14_nothing_leaks_page_by_page() {
    let host = Host::new();
    let mut program = host.found(&Build::standard());
    let mut file = host.note("around and around");
    let mut taken = Vec::new();
    for _ in 0..10 {
        program.preserve("s", 1, &file);
        let mut new = program.update(By::Kexec, &Build::standard());
        file = new.retrieve("s", 1).unwrap();
        taken.push(frame_count(&new.updated.luo().memory().census().unwrap().allocated));
        program = new.finish().unwrap();
        program.assert_clean();
    }
    assert_eq!(taken, [9; 10], "arrays of the file, the pool and the vCPUs; the image; the root");
}

/// Nothing that crosses lies where the next kernel boots, wherever the allocator looks for frames.
#[test]
fn r5_nothing_that_crosses_lies_in_scratch() {
    let scratch: Vec<_> = [(1, 9), (64, 128), (500, 501), (1000, 1500)]
        .map(|(from, to)| FrameRange::from_bounds(from, to).unwrap())
        .into();
    let ways =
        [Fragmentation::Contiguous, Fragmentation::Single, Fragmentation::Descending, Fragmentation::Random];
    for (fragmentation, seed) in ways.into_iter().zip(0..) {
        let config = MachineConfig::default().frames(FrameCount::new(2048).unwrap()).seed(seed);
        let host = Host::with(config.scratch(scratch.clone()).fragmentation(fragmentation));
        let mut program = host.found(&Build::standard());
        let files: Vec<_> = (0..8u8).map(|number| host.note(vec![number; 100 * 4096])).collect();
        for (token, file) in (0..).zip(&files) {
            program.preserve("s", token, file);
        }
        let mut new = program.update(By::Kexec, &Build::standard());
        let preserved = new.updated.luo().memory().census().unwrap().preserved;
        assert!(frame_count(&preserved) > 800);
        let meets = |run: &FrameRange| scratch.iter().any(|region| region.intersection(*run).is_some());
        assert!(!preserved.iter().any(meets), "{preserved:?}");
        assert!(new.retrieve_all().iter().map(SimFile::bytes).eq(files.iter().map(SimFile::bytes)));
        new.finish().unwrap().assert_clean();
    }
}
