//! Whoever wants to can follow an update: each participant's step, and the state, also from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use luo_core::{Event, Participant, Phase, State, Transition};
use luo_tests::{Build, By, Host, Program, nobody, session};

fn world(host: &Host) -> Program<'_> {
    let mut program = host.found(&Build::standard());
    for token in 0..3 {
        program.preserve("s", token, &host.note("x"));
    }
    program
}

#[test]
fn every_step_is_told_with_its_number() {
    let host = Host::new();
    let mut program = world(&host);
    let events = program.events();
    program.preserve("s", 3, &host.note("x"));
    let Ok(Event::Done { phase: Phase::Preserve, participant, .. }) = events.try_recv() else { panic!() };
    assert_eq!(participant.to_string(), "file 0x3 of session `s` (note)");
    program.prepare_and_cancel(&mut nobody());
    let events: Vec<_> = events.try_iter().collect();
    let done: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Done { phase: Phase::Prepare, nth, of, .. } => Some((*nth, *of)),
            _ => None,
        })
        .collect();
    assert_eq!(done, [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)], "vCPUs, four files, the pool");
    let of = |wanted: fn(&Event) -> Option<Participant>| events.iter().filter_map(wanted).collect::<Vec<_>>();
    let mut prepared = of(|event| match event {
        Event::Done { phase: Phase::Prepare, participant, .. } => Some(*participant),
        _ => None,
    });
    let undone = of(|event| match event {
        Event::Undone { phase: Phase::Prepare, participant } => Some(*participant),
        _ => None,
    });
    prepared.reverse();
    assert_eq!(undone, prepared, "undo is told in reverse");
    let last = Event::State { from: State::Prepared, to: State::Normal, by: Some(Transition::Cancel) };
    assert_eq!(events.last(), Some(&last));
}

#[test]
fn a_failure_is_told_before_its_undo() {
    let host = Host::new();
    let mut program = world(&host);
    let events = program.events();
    // Three surveys, the vCPUs, the first file; the second refuses.
    host.journal.refuse_next(6 + 4);
    let error = program.luo.prepare(&mut nobody()).unwrap_err();
    let events: Vec<_> = events.try_iter().collect();
    let failed = Event::Failed { phase: Phase::Prepare, participant: error.participant };
    let at = events.iter().position(|event| *event == failed).unwrap();
    let kinds: Vec<_> = events[at..].iter().map(|event| matches!(event, Event::Undone { .. })).collect();
    assert_eq!(kinds, [false, true, true]);
    assert!(!events.iter().any(|event| matches!(event, Event::State { .. })), "the state did not move");
}

#[test]
fn the_far_side_is_followed_too() {
    let host = Host::new();
    world(&host).die_offering();
    let mut arrived = host.adopt(&Build::standard()).unwrap();
    let (sender, events) = crossbeam_channel::unbounded();
    arrived.adopted.observe(move |event: &Event| sender.send(*event).unwrap());
    arrived.retrieve("s", 1).unwrap();
    arrived.retrieve("s", 9).unwrap_err();
    let mut new = arrived.take_over().unwrap();
    new.retrieve_all();
    new.finish().unwrap();
    let events: Vec<_> = events.try_iter().collect();
    let done = |wanted| {
        let is = |event: &&Event| matches!(event, Event::Done { phase, .. } if *phase == wanted);
        events.iter().filter(is).count()
    };
    assert_eq!((done(Phase::Retrieve), done(Phase::Finish)), (3, 3));
    let unknown = Event::Failed { phase: Phase::Retrieve, participant: Participant::Records };
    assert!(events.contains(&unknown));
    let last = Event::State { from: State::Updated, to: State::Normal, by: Some(Transition::Finish) };
    assert_eq!(events.last(), Some(&last));
}

/// A thread that only looks at the state sees it move along the table, however slow it is.
#[test]
fn a_watching_thread_sees_states_in_order() {
    let host = Host::new();
    let mut program = world(&host);
    let view = program.luo.state_view();
    let (ready, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let watcher = std::thread::spawn({
        let (ready, over) = (Arc::clone(&ready), Arc::clone(&over));
        move || {
            let mut seen = vec![view.get()];
            ready.store(true, Ordering::Release);
            while !over.load(Ordering::Acquire) {
                let state = view.get();
                if seen.last() != Some(&state) {
                    seen.push(state);
                }
            }
            seen.push(view.get());
            seen
        }
    });
    while !ready.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let (mut arrived, build) = (None, Build::standard());
    let party = program.party;
    for _ in 0..20 {
        program.prepare_and_cancel(&mut nobody());
    }
    let mut far = luo_tests::carrier(By::Exec, |_| host.arrive(&build, &mut arrived));
    let frozen = program.luo.prepare(&mut *far).unwrap().freeze(host.guest.leave(party)).unwrap();
    let _departed = frozen.hand_over().unwrap();
    over.store(true, Ordering::Release);
    let seen = watcher.join().unwrap();
    assert_eq!((seen[0], *seen.last().unwrap()), (State::Normal, State::Departed));
    // It never froze before the last attempt: until then only the first two states were to be seen.
    let late = |state: &State| [State::Frozen, State::Departed].contains(state);
    let (early, later) = seen.split_at(seen.iter().position(late).unwrap());
    assert!(early.iter().all(|state| [State::Normal, State::Prepared].contains(state)), "{seen:?}");
    assert!(later.iter().all(late) && later.is_sorted_by_key(|state| *state == State::Departed), "{seen:?}");
}

/// The channel is unbounded and its end may go: nobody waits for a listener.
#[test]
fn a_listener_that_went_away_stops_nothing() {
    let host = Host::new();
    let mut program = world(&host);
    drop(program.events());
    let alive = program.events();
    let mut new = program.update(By::Kexec, &Build::standard());
    assert!(alive.try_iter().count() > 10);
    assert_eq!(new.retrieve_all().len(), 3);
    assert_eq!(new.updated.luo().sessions().count(), 0);
    assert_eq!(new.updated.files(session("s")).count(), 3);
}
