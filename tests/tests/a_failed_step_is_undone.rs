//! A step that fails at any participant is undone in reverse, once for each that succeeded, and names who failed: the
//! unfreeze order (D13), the rollback of what came later (D16), and the next attempt goes through.

use luo_core::{Kind, Participant, Phase, PhaseError, State, Stuck, Token};
use luo_tests::{Act, Build, By, Host, Program, SimFile, Who, nobody, session};

fn build() -> Build {
    Build::empty().subsystem("vcpus", 1..=1).subsystem("clock", 1..=1).pool("pool", 1..=1).file_on(
        "note",
        1..=2,
        &["pool"],
    )
}

/// Two sessions with five files between them, and everybody in registration order.
fn world(host: &Host) -> (Program<'_>, Vec<SimFile>, Vec<Who>) {
    let mut program = host.found(&build());
    let files: Vec<_> = (0..5u8).map(|number| host.note([number; 20])).collect();
    for (token, file) in (0..).zip(&files) {
        program.preserve(if token < 2 { "a" } else { "b" }, token, file);
    }
    let kind = |name| Kind::new(name).expect("a good name");
    let mut all = vec![Who::Subsystem(kind("vcpus")), Who::Subsystem(kind("clock"))];
    all.extend(files.iter().map(|file| Who::File(file.mark())));
    all.push(Who::Shared(kind("pool")));
    (program, files, all)
}

/// Whether `error` names participant number `nth` of [`world`].
fn names(error: &PhaseError, nth: usize) -> bool {
    let kind = |name| Kind::new(name).expect("a good name");
    let expected = match nth {
        0 => Participant::Subsystem(kind("vcpus")),
        1 => Participant::Subsystem(kind("clock")),
        7 => Participant::Shared(kind("pool")),
        file => {
            let token = file as u64 - 2;
            let session = session(if token < 2 { "a" } else { "b" });
            Participant::File { session, token: Token(token), kind: kind("note") }
        }
    };
    error.participant == expected
}

/// Every participant refuses to prepare, at the beginning of its callback and at the end.
#[test]
fn prepare_is_undone_whoever_fails() {
    for failing in 0..8 {
        for at in [0, 1] {
            let host = Host::new();
            let (mut program, files, all) = world(&host);
            let surveys = 2 * 5;
            host.journal.refuse_next(surveys + 2 * failing as u64 + at);
            let error = program.luo.prepare(&mut nobody()).unwrap_err();
            assert!(error.phase == Phase::Prepare && names(&error, failing), "{error}");
            let before: Vec<_> = all[..failing].iter().rev().copied().collect();
            assert_eq!(host.journal.order(program.id, Act::Cancel), before);
            assert_eq!(program.luo.state(), State::Normal);
            assert!(files.iter().all(|file| file.pins() == 1), "they are preserved as before");
            program.assert_clean();
            let mut new = program.update(By::Exec, &build());
            assert_eq!(new.retrieve_all().len(), 5);
            new.finish().unwrap().assert_clean();
        }
    }
}

/// A survey refuses: nobody was prepared, and nobody is cancelled.
#[test]
fn a_refused_survey_stops_the_prepare_before_it_begins() {
    for failing in 0..5 {
        let host = Host::new();
        let (mut program, _files, _) = world(&host);
        host.journal.refuse_next(2 * failing as u64);
        let error = program.luo.prepare(&mut nobody()).unwrap_err();
        assert!(error.phase == Phase::Prepare && names(&error, failing + 2), "{error}");
        assert_eq!(host.journal.order(program.id, Act::Prepare), []);
        program.assert_clean();
    }
}

#[test]
fn freeze_is_undone_whoever_fails() {
    for failing in 0..8 {
        for at in [0, 1] {
            let host = Host::new();
            let (mut program, files, all) = world(&host);
            let (id, party, vcpus) = (program.id, program.party, program.vcpus.clone());
            let mut arrived = None;
            let next = build();
            let mut carrier = luo_tests::carrier(By::Kexec, |_| host.arrive(&next, &mut arrived));
            let prepared = program.luo.prepare(&mut *carrier).unwrap();
            host.journal.refuse_next(2 * failing as u64 + at);
            let Stuck { kept: (prepared, right), error } =
                prepared.freeze(host.guest.leave(party)).unwrap_err();
            assert!(error.phase == Phase::Freeze && names(&error, failing), "{error}");
            let before: Vec<_> = all[..failing].iter().rev().copied().collect();
            assert_eq!(host.journal.order(id, Act::Unfreeze), before);
            assert_eq!(host.journal.order(id, Act::Cancel), [], "they are all still prepared");
            assert_eq!(prepared.luo().state(), State::Prepared);
            // The guest goes on, changes a file, and is frozen again.
            host.guest.enter(&host.machine, party, right, &vcpus);
            vcpus[0].tick();
            files[3].change(|contents| contents.bytes.fill(0xEE));
            let _departed = prepared.freeze(host.guest.leave(party)).unwrap().hand_over().unwrap();
            drop(carrier);
            let mut new = arrived.unwrap();
            assert_eq!(new.vcpus[0].ticks(), 1);
            for (found, file) in new.retrieve_all().iter().zip(&files) {
                assert_eq!(found.contents(), file.contents());
            }
            new.finish().unwrap().assert_clean();
        }
    }
}

/// What an attempt to freeze wrote is forgotten, whether it failed or was undone: if the guest puts everything back as
/// it was, what prepare wrote stands again.
#[test]
fn what_a_failed_freeze_wrote_is_forgotten() {
    for failed in [false, true] {
        let host = Host::new();
        let (mut program, files, _) = world(&host);
        let (party, vcpus, next) = (program.party, program.vcpus.clone(), build());
        let before = files[0].contents();
        let mut arrived = None;
        let mut carrier = luo_tests::carrier(By::Exec, |_| host.arrive(&next, &mut arrived));
        let prepared = program.luo.prepare(&mut *carrier).unwrap();
        files[0].change(|contents| (contents.bytes[7], contents.position) = (0xFF, 7));
        let right = host.guest.leave(party);
        let (prepared, right) = if failed {
            // Two subsystems, and then the end of the first file, which has put its payload down.
            host.journal.refuse_next(2 * 2 + 1);
            let Stuck { kept, error } = prepared.freeze(right).unwrap_err();
            assert!(names(&error, 2), "{error}");
            kept
        } else {
            prepared.freeze(right).unwrap().unfreeze().unwrap()
        };
        host.guest.enter(&host.machine, party, right, &vcpus);
        files[0].change(|contents| *contents = before.clone());
        let _departed = prepared.freeze(host.guest.leave(party)).unwrap().hand_over().unwrap();
        drop(carrier);
        let mut new = arrived.unwrap();
        assert_eq!(new.retrieve("a", 0).unwrap().contents(), before);
        new.retrieve_all();
        new.finish().unwrap().assert_clean();
    }
}

/// A guard that goes out of scope takes everything back, and leaves the right to run with the orchestrator.
#[test]
fn a_dropped_guard_cancels() {
    let host = Host::new();
    let (mut program, _files, all) = world(&host);
    drop(program.luo.prepare(&mut nobody()).unwrap());
    assert_eq!(host.journal.order(program.id, Act::Cancel), all.iter().rev().copied().collect::<Vec<_>>());
    drop(program.luo.prepare(&mut nobody()).unwrap().freeze(host.guest.leave(program.party)).unwrap());
    assert_eq!(host.journal.order(program.id, Act::Unfreeze), all.iter().rev().copied().collect::<Vec<_>>());
    let right = program.luo.take_right().expect("it was left here");
    assert_eq!(program.luo.take_right(), None, "once");
    program.run(right);
    program.assert_clean();
}

/// Who dies with a session open lets go of all its files.
#[test]
fn closing_undoes_preserve_last_one_first() {
    let host = Host::new();
    let (program, files, all) = world(&host);
    let id = program.id;
    drop(program);
    let mut expected: Vec<_> = all[2..7].iter().rev().copied().collect();
    expected.push(all[7]);
    assert_eq!(host.journal.order(id, Act::Unpreserve), expected);
    assert!(files.iter().all(|file| (file.pins(), file.references()) == (0, 1)));
    host.check();
}
