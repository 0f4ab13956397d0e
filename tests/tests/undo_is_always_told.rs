//! Whoever follows a program hears of every prepare and of its undo, whatever prepared a file and whatever undid it:
//! an update, one file alone, a session, or the file's way out of the books. What is undone was done.

use std::collections::BTreeMap;

use luo_core::{Event, Luo, Participant, Phase, Token};
use luo_kho::sim::SimKho;
use luo_tests::{Build, Host, Program, nobody, session};

/// Session `s` with files under tokens 0 to 2, of which 0 depends on 1; everything but 2 is prepared ahead.
fn world(host: &Host) -> (Program<'_>, crossbeam_channel::Receiver<Event>) {
    let mut program = host.found(&Build::standard());
    let files = [0, 1, 2].map(|number| host.note(format!("file {number}")));
    files[0].depend_on(&files[1]);
    for (token, file) in (0..).zip(&files) {
        program.preserve("s", token, file);
    }
    let events = program.events();
    for token in [0, 0, 1] {
        program.luo.prepare_file(session("s"), Token(token), &nobody()).expect("nothing was told to fail");
    }
    (program, events)
}

/// How often each participant was prepared less how often that was undone.
fn balance(events: &crossbeam_channel::Receiver<Event>) -> BTreeMap<String, i32> {
    let mut balance = BTreeMap::new();
    let mut count = |who: Participant, by: i32| {
        let balance = balance.entry(who.to_string()).or_insert(0);
        *balance += by;
        assert!((0..=1).contains(balance), "{who} stands at {balance}");
    };
    for event in events.try_iter() {
        match event {
            Event::Done { phase: Phase::Prepare, participant, .. } => count(participant, 1),
            Event::Undone { phase: Phase::Prepare, participant } => count(participant, -1),
            _ => {}
        }
    }
    balance
}

fn check(undo: impl FnOnce(&mut Luo<SimKho>)) {
    let host = Host::new();
    let (mut program, events) = world(&host);
    undo(&mut program.luo);
    let balance = balance(&events);
    assert_eq!(balance.values().copied().collect::<Vec<_>>(), [0, 0], "{balance:?}");
    program.assert_clean();
}

#[test]
fn one_file_and_one_session_prepared_ahead_are_told() {
    let host = Host::new();
    let (mut program, events) = world(&host);
    let told = balance(&events);
    assert_eq!(told.into_values().sum::<i32>(), 2);
    program.luo.cancel_session(session("s")).unwrap();
    program.luo.prepare_session(session("s"), &nobody()).unwrap();
    let steps: Vec<_> = events
        .try_iter()
        .filter_map(|event| match event {
            Event::Done { phase: Phase::Prepare, nth, of, .. } => Some((nth, of)),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [(1, 3), (2, 3), (3, 3)]);
}

#[test]
fn a_cancel_is_told() {
    check(|luo| {
        luo.cancel_file(session("s"), Token(1)).unwrap();
        luo.cancel_session(session("s")).unwrap();
    });
}

/// With the file that is let go, the one that has written its token down is undone.
#[test]
fn the_way_out_of_the_books_is_told() {
    check(|luo| luo.unpreserve(session("s"), Token(1)).unwrap());
}

#[test]
fn the_end_of_a_session_is_told() {
    check(|luo| luo.close_session(session("s")).unwrap());
}

#[test]
fn the_end_of_the_program_is_told() {
    let host = Host::new();
    let (program, events) = world(&host);
    let id = program.id;
    drop(program);
    let balance = balance(&events);
    assert_eq!(balance.values().copied().collect::<Vec<_>>(), [0, 0], "{balance:?}");
    host.journal.check_settled(id);
    host.check();
}
