//! Whoever asks for all files of one type hears of no others: not of those that another handler failed to make again,
//! or that this build cannot read, and not of those that are finished. What no handler knows has no type: everybody
//! hears of it.

use luo_core::{
    Event, Irrevocable, Kind, Luo, Phase, Registry, RetrieveError, RetrievedOne, Role, Token, Updated,
};
use luo_kho::sim::{Machine, SimExec, SimKho};
use luo_tests::echo::{self, Echo, EchoFile, EchoHost, Nature};
use luo_tests::{Build, Journal, Pen, ProgramId, SimFile, refused, session};

/// Notes, echoes, and perhaps strangers.
fn registry(build: &Build, journal: &Journal) -> Registry {
    let (mut registry, _) = build.registry(&Pen::new(journal.clone(), ProgramId(0)));
    registry.handler(Echo::new(&EchoHost::default())).expect("the only one");
    registry
}

fn note(mark: u64, kind: &str) -> SimFile {
    SimFile::new(kind, mark, luo_tests::Contents::default())
}

fn echo(host: &EchoHost) -> EchoFile {
    host.create(echo::Contents::default(), Nature::Ordinary).expect("nothing is armed")
}

/// Two notes, two echoes and, if the old build knows them, a stranger have arrived at a build that knows none.
fn arrived(old: &Build, journal: &Journal) -> Updated<SimKho> {
    let machine = Machine::default();
    let kho = machine.fresh().expect("nothing was told to fail");
    let (mut luo, owned) = Luo::found(kho, registry(old, &Journal::default())).expect("it is fresh");
    luo.open_session(session("s")).expect("the name is free");
    let echoes = EchoHost::default();
    for token in [1, 2] {
        luo.preserve(session("s"), Token(token), note(token, "note")).expect("it can travel");
        luo.preserve(session("s"), Token(token + 10), echo(&echoes)).expect("it can travel");
    }
    if old.manifest().support(Role::Handler, Kind::literal("stranger")).is_some() {
        luo.preserve(session("s"), Token(20), note(20, "stranger")).expect("it can travel");
    }
    let mut updated = None;
    let mut far = SimExec::new(|machine: &Machine| {
        let kho = machine.successor().map_err(refused)?;
        let adopted =
            Luo::adopt(kho, registry(&Build::plain(), journal)).map_err(|stuck| refused(stuck.error))?;
        updated = Some(adopted.commit().map_err(|stuck| refused(stuck.error))?.0);
        Ok(())
    });
    let frozen = luo.prepare(&mut far).expect("prepares").freeze(owned).expect("freezes");
    let _departed = frozen.hand_over().expect("goes over");
    drop(far);
    updated.expect("it has arrived")
}

#[test]
fn a_failure_is_told_to_those_who_ask_for_its_type() {
    let journal = Journal::default();
    let mut updated = arrived(&Build::plain(), &journal);
    journal.refuse_next(0);
    let notes = updated.retrieve_all::<SimFile>();
    assert!(matches!(notes[0].file, Err(RetrieveError::Failed { token: Token(1), .. })));
    assert!(notes[1].file.is_ok() && notes.len() == 2);
    let echoes = updated.retrieve_all::<EchoFile>();
    assert!(echoes.len() == 2 && echoes.iter().all(|echo| echo.file.is_ok()), "{echoes:?}");
    let again = updated.retrieve_all::<SimFile>();
    assert!(matches!(again[..], [ref one] if one.token == Token(1) && one.file.is_err()), "{again:?}");
    assert_eq!(updated.retrieve_all::<u32>().len(), 0);
}

#[test]
fn what_is_finished_is_passed_over() {
    let mut updated = arrived(&Build::plain(), &Journal::default());
    let all = [1, 2, 11, 12].map(Token);
    updated.finish_session_discarding(session("s"), &all, Irrevocable::knowingly()).unwrap();
    assert_eq!(updated.retrieve_all::<SimFile>().len(), 0);
    assert_eq!(updated.retrieve_all::<EchoFile>().len(), 0);
}

#[test]
fn everybody_hears_of_what_no_handler_knows() {
    let mut updated = arrived(&Build::plain().file("stranger", 1..=1), &Journal::default());
    for _ in 0..2 {
        let echoes = updated.retrieve_all::<EchoFile>();
        let orphan = echoes.last().expect("the stranger is always told of");
        assert!(matches!(orphan.file, Err(RetrieveError::Orphan { token: Token(20), .. })), "{orphan:?}");
    }
    assert_eq!(updated.retrieve_all::<SimFile>().len(), 3);
}

/// Files of another type fail nothing, so nobody who follows the update is told that they did.
#[test]
fn passing_over_is_no_failure() {
    let mut updated = arrived(&Build::plain(), &Journal::default());
    let events = updated.luo_mut().subscribe();
    updated.retrieve_all::<EchoFile>();
    updated.retrieve_all::<EchoFile>();
    let events: Vec<_> = events.try_iter().collect();
    let done = |event: &Event| matches!(event, Event::Done { phase: Phase::Retrieve, .. });
    assert!(events.len() == 2 && events.iter().all(done), "{events:?}");
}

/// A version that this build does not read leaves the handler known, and with it the type.
#[test]
fn an_unreadable_version_is_told_to_those_who_ask_for_its_type() {
    let mut updated = arrived(&Build::empty().file("note", 1..=3), &Journal::default());
    assert_eq!(updated.retrieve_all::<EchoFile>().len(), 2);
    let notes = updated.retrieve_all::<SimFile>();
    let orphan = |one: &RetrievedOne<SimFile>| matches!(one.file, Err(RetrieveError::Orphan { .. }));
    assert!(notes.len() == 2 && notes.iter().all(orphan), "{notes:?}");
}
