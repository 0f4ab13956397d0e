//! The run-time state moves as the table says and in no other way, and is seen to: what Linux's patches of 2025 test
//! as `state.normal`, `state.prepared`, `state.sysfs_normal`, `state.sysfs_prepared` and `state.sysfs_frozen`.

use luo_core::{Cause, Event, Participant, Phase, State, Transition};
use luo_tests::{Build, By, Host, nobody, session};

fn moves(events: &crossbeam_channel::Receiver<Event>) -> Vec<(State, State, Option<Transition>)> {
    let moved = |event| match event {
        Event::State { from, to, by } => Some((from, to, by)),
        _ => None,
    };
    events.try_iter().filter_map(moved).collect()
}

#[test]
fn a_program_begins_in_normal_and_goes_back_to_it() {
    let host = Host::new();
    let mut program = host.found(&Build::standard());
    let (view, events) = (program.luo.state_view(), program.events());
    assert_eq!((program.luo.state(), view.get()), (State::Normal, State::Normal));
    let mut carrier = nobody();
    let prepared = program.luo.prepare(&mut carrier).unwrap();
    assert_eq!((prepared.luo().state(), view.get()), (State::Prepared, State::Prepared));
    prepared.cancel();
    assert_eq!((program.luo.state(), view.get()), (State::Normal, State::Normal));
    let prepared = (State::Normal, State::Prepared, Some(Transition::Prepare));
    let cancelled = (State::Prepared, State::Normal, Some(Transition::Cancel));
    assert_eq!(moves(&events), [prepared, cancelled]);
}

#[test]
fn a_frozen_program_can_go_one_step_back_or_all_of_them() {
    let host = Host::new();
    let mut program = host.found(&Build::standard());
    let events = program.events();
    let mut carrier = nobody();
    let frozen = program.luo.prepare(&mut carrier).unwrap().freeze(host.guest.leave(program.party)).unwrap();
    assert_eq!(frozen.luo().state(), State::Frozen);
    let (prepared, right) = frozen.unfreeze().unwrap();
    assert_eq!(prepared.luo().state(), State::Prepared);
    let frozen = prepared.freeze(right).unwrap();
    let right = frozen.cancel().unwrap();
    assert_eq!(program.luo.state(), State::Normal);
    program.run(right);
    let expected = [
        (State::Normal, State::Prepared, Some(Transition::Prepare)),
        (State::Prepared, State::Frozen, Some(Transition::Freeze)),
        (State::Frozen, State::Prepared, Some(Transition::Cancel)),
        (State::Prepared, State::Frozen, Some(Transition::Freeze)),
        (State::Frozen, State::Prepared, Some(Transition::Cancel)),
        (State::Prepared, State::Normal, Some(Transition::Cancel)),
    ];
    assert_eq!(moves(&events), expected);
    program.assert_clean();
}

/// Guards come back inside of errors, which people print: they say where the right to run the guest is.
#[test]
fn guards_can_be_printed() {
    let host = Host::new();
    let mut program = host.found(&Build::standard());
    let mut carrier = nobody();
    let prepared = program.luo.prepare(&mut carrier).unwrap();
    let said = format!("{prepared:?}");
    assert!(said.starts_with("Prepared { luo: Some(Luo { state: Prepared"), "{said}");
    let frozen = prepared.freeze(host.guest.leave(program.party)).unwrap();
    let said = format!("{frozen:?}");
    assert!(said.starts_with("Frozen { right: Some(Held("), "{said}");
    let right = frozen.cancel().unwrap();
    program.run(right);
    program.assert_clean();
}

#[test]
fn both_sides_of_an_update_say_where_they_are() {
    for by in By::ALL {
        let host = Host::new();
        let mut old = host.found(&Build::standard());
        let (near, near_view) = (old.events(), old.luo.state_view());
        let new = old.update(by, &Build::standard());
        assert_eq!(near_view.get(), State::Departed);
        let departed = (State::Frozen, State::Departed, None);
        assert_eq!(moves(&near).last(), Some(&departed));
        assert_eq!(new.updated.luo().state(), State::Updated);
        let mut luo = new.updated;
        let far = luo.luo_mut().subscribe();
        let luo = luo.finish().unwrap();
        assert_eq!(luo.state(), State::Normal);
        assert_eq!(moves(&far), [(State::Updated, State::Normal, Some(Transition::Finish))]);
    }
}

/// The state cannot say "prepared" while something is not: a prepare that fails leaves it in normal (D16).
#[test]
fn a_failed_step_does_not_move_the_state() {
    let host = Host::new();
    let mut program = host.found(&Build::standard());
    program.preserve("s", 1, &host.note("x"));
    let events = program.events();
    host.journal.refuse_next(2);
    let error = program.luo.prepare(&mut nobody()).unwrap_err();
    assert_eq!((error.phase, program.luo.state()), (Phase::Prepare, State::Normal));
    assert_eq!(moves(&events), []);
    let mut carrier = nobody();
    let prepared = program.luo.prepare(&mut carrier).unwrap();
    host.journal.refuse_next(2);
    let stuck = prepared.freeze(host.guest.leave(program.party)).unwrap_err();
    assert_eq!((stuck.error.phase, stuck.kept.0.luo().state()), (Phase::Freeze, State::Prepared));
    assert_eq!(moves(&events), [(State::Normal, State::Prepared, Some(Transition::Prepare))]);
}

/// The next update begins when the last one is finished, and not before (W10).
#[test]
fn an_update_that_is_not_finished_keeps_the_next_from_beginning() {
    let host = Host::new();
    let mut new = host.found(&Build::standard()).update(By::Exec, &Build::standard());
    let luo = new.updated.luo_mut();
    luo.open_session(session("early")).unwrap();
    luo.preserve(session("early"), luo_core::Token(1), host.note("early")).expect("that much is possible");
    let error = luo.prepare(&mut nobody()).unwrap_err();
    assert_eq!(error.participant, Participant::Records);
    assert!(matches!(error.cause, Cause::WrongState { state: State::Updated, .. }), "{error}");
    let error = luo.prepare_session(session("early"), &nobody()).unwrap_err();
    assert!(error.to_string().contains("finish the update"), "{error}");
    let mut program = new.finish().unwrap();
    assert_eq!(program.luo.tokens(session("early")).count(), 1, "what was preserved early still is");
    program.prepare_and_cancel(&mut nobody());
    let mut next = program.update(By::Kexec, &Build::standard());
    assert_eq!(next.retrieve("early", 1).unwrap().bytes(), b"early");
    next.finish().unwrap().assert_clean();
}

/// Who goes away on purpose is not adopted.
#[test]
fn a_retired_memory_is_restored_by_nobody() {
    let host = Host::new();
    let mut program = host.found(&Build::standard());
    let file = host.note("farewell");
    program.preserve("s", 1, &file);
    let right = program.stop();
    program.luo.retire(right).unwrap();
    assert_eq!(file.pins(), 0);
    let error = host.adopt(&Build::standard()).unwrap_err();
    assert!(error.to_string().contains("RETIRED"), "{error}");
    host.check();
}
