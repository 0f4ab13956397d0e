//! An object that cannot be read concerns nobody else (D11): its file is named and kept, its subsystem keeps the
//! successor from committing until somebody says that it goes on without.

use luo_core::{Fate, FinishError, Kind, OrphanReason, Participant, Phase, RetrieveError, Stuck, Token};
use luo_kho::FRAME_BYTES;
use luo_kho::PhysAddr;
use luo_tests::{Build, By, Host, NOTE, VCPUS, frame_count, session};

#[test]
fn one_unknown_handler_does_not_concern_the_other_files() {
    for by in By::ALL {
        let host = Host::new();
        let mut old = host.found(&Build::standard().file("exotic", 1..=1));
        old.preserve("s", 1, &host.note("known"));
        old.preserve("s", 2, &host.file("exotic", "strange"));
        old.preserve("t", 3, &host.note("known too"));
        let mut new = old.update(by, &Build::standard());
        assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"known");
        let error = new.retrieve("s", 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "token 0x2 of session `s` is set aside: nothing that is registered reads `exotic`"
        );
        assert_eq!(new.retrieve("t", 3).unwrap().bytes(), b"known too");
        let listed: Vec<_> = new.updated.files(session("s")).collect();
        let (token, kind, fate) = &listed[1];
        assert_eq!((*token, *kind), (Token(2), Kind::literal("exotic")), "it is named, with its kind");
        assert!(matches!(fate, Fate::Orphan(OrphanReason::UnknownKind { .. })), "{fate:?}");
        // It is kept until somebody gives it up by name.
        let Stuck { kept: new, error } = new.finish().unwrap_err();
        let FinishError::Unclaimed(unclaimed) = error else { panic!("{error}") };
        assert_eq!(unclaimed.tokens, [(session("s"), Token(2))]);
        new.finish_discarding(&[(session("s"), Token(2))]).unwrap().assert_clean();
    }
}

/// The unreadable file keeps its frames: a successor of the same offer that knows its kind reads it.
#[test]
fn what_one_cannot_read_another_can() {
    let host = Host::new();
    let mut old = host.found(&Build::plain().file("exotic", 1..=1));
    old.preserve("s", 1, &host.file("exotic", "strange"));
    old.die_offering();
    let mut ignorant = host.adopt(&Build::plain()).unwrap();
    let reason = ignorant.retrieve("s", 1).unwrap_err();
    assert!(matches!(reason, RetrieveError::Orphan { .. }), "{reason}");
    drop(ignorant);
    let mut wise = host.adopt(&Build::plain().file("exotic", 1..=1)).unwrap().take_over().unwrap();
    assert_eq!(wise.retrieve("s", 1).unwrap().bytes(), b"strange");
    wise.finish().unwrap().assert_clean();
}

/// A shared object that nothing reads: files that lean on it fail, all others are fine.
#[test]
fn an_unreadable_shared_object_concerns_those_that_lean_on_it() {
    let host = Host::new();
    let mut old = host.found(&Build::standard().pool("vault", 3..=3).file_on("gold", 1..=1, &["vault"]));
    old.preserve("s", 1, &host.note("a note"));
    old.preserve("s", 2, &host.file("gold", "a bar"));
    let build = Build::standard().pool("vault", 1..=2).file_on("gold", 1..=1, &["vault"]);
    let mut new = old.update(By::Kexec, &build);
    let error = new.retrieve("s", 2).unwrap_err().to_string();
    assert!(error.contains("`vault` was written as [v3], this build reads v1..v2"), "{error}");
    assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"a note");
    new.finish_discarding(&[(session("s"), Token(2))]).unwrap().assert_clean();
}

#[test]
fn an_unreadable_subsystem_keeps_the_successor_from_committing() {
    for (old, why) in [
        (Build::standard().subsystem("clock", 1..=1), "nothing that is registered reads `clock`"),
        (Build::empty().subsystem(VCPUS, 9..=9), "`vcpus` was written as [v9], this build reads v1"),
    ] {
        let host = Host::new();
        host.found(&old).die_offering();
        let mut arrived = host.adopt(&Build::standard()).unwrap();
        let unreadable: Vec<_> = arrived.adopted.unreadable_subsystems().collect();
        assert_eq!((unreadable.len(), unreadable[0].1.to_string().as_str()), (1, why));
        let name = unreadable[0].0;
        let error = arrived.adopted.restore().unwrap_err();
        assert_eq!((error.participant, error.phase), (Participant::Subsystem(name), Phase::Restore));
        let Stuck { kept: mut arrived, error } = arrived.commit().unwrap_err();
        assert_eq!((error.participant, error.phase), (Participant::Subsystem(name), Phase::Commit));
        assert!(arrived.adopted.waive(name), "somebody says that it goes on without");
        let new = arrived.take_over().unwrap();
        new.finish().unwrap().assert_clean();
    }
}

/// A state that was restored cannot be waived, and one that nobody restored keeps from committing.
#[test]
fn a_subsystem_is_restored_or_waived_before_the_commit() {
    let host = Host::new();
    host.found(&Build::standard()).die_offering();
    let arrived = host.adopt(&Build::standard()).unwrap();
    let Stuck { kept: mut arrived, error } = arrived.commit().unwrap_err();
    assert!(error.to_string().contains("its state arrived and was not restored"), "{error}");
    arrived.adopted.restore().unwrap();
    arrived.adopted.restore().expect("each is asked once");
    assert!(!arrived.adopted.waive(Kind::literal(VCPUS)), "it has been taken up");
    arrived.commit().unwrap().finish().unwrap().assert_clean();
}

/// Damage to one payload isolates one participant: the orchestrator's records have checksums of their own.
#[test]
fn damage_to_a_payload_isolates_its_participant() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    let marker = 0x5EED_0F57_AA55_C0DEu64;
    let file = host.note("a note");
    file.change(|contents| contents.position = marker);
    old.preserve("s", 1, &file);
    old.preserve("s", 2, &host.note("another"));
    old.die_offering();
    assert_eq!(
        flip_where(&host, &marker.to_le_bytes()),
        1,
        "the position stands in the payload and nowhere else"
    );
    let mut new = host.adopt(&Build::standard()).unwrap().take_over().unwrap();
    let error = new.retrieve("s", 1).unwrap_err();
    let kind = Kind::literal(NOTE);
    let RetrieveError::Orphan { reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason, OrphanReason::Damaged { kind });
    assert_eq!(new.retrieve("s", 2).unwrap().bytes(), b"another");
    new.finish_discarding(&[(session("s"), Token(1))]).unwrap().assert_clean();
}

/// Damage to the bytes of a file is the handler's to find: it fails to retrieve, the others do not.
#[test]
fn damage_to_the_bytes_of_a_file_isolates_it() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note("somewhere in memory"));
    old.preserve("s", 2, &host.note("elsewhere in memory"));
    old.die_offering();
    assert_eq!(flip_where(&host, b"somewhere"), 1);
    let mut new = host.adopt(&Build::standard()).unwrap().take_over().unwrap();
    let error = new.retrieve("s", 1).unwrap_err().to_string();
    assert!(error.contains("its bytes are not what was written"), "{error}");
    assert_eq!(new.retrieve("s", 2).unwrap().bytes(), b"elsewhere in memory");
    let claimed = frame_count(&new.updated.luo().memory().census().unwrap().claimed);
    assert_eq!(claimed, 6, "of the good file, the pool and the vCPUs");
    new.finish_discarding(&[(session("s"), Token(1))]).unwrap().assert_clean();
}

/// Flips a bit wherever the image on offer holds these bytes. How often that was.
fn flip_where(host: &Host, wanted: &[u8]) -> usize {
    let view = host.machine.successor().expect("there is an offer");
    let mut found = 0;
    for pfn in host.machine.span().frames() {
        let frame = view.peek(pfn).expect("a frame of the machine");
        for (at, window) in frame.windows(wanted.len()).enumerate() {
            if window == wanted {
                let at = PhysAddr::new(pfn.get() * FRAME_BYTES + at as u64);
                assert!(host.machine.tamper(at, &[wanted.first().expect("not empty") ^ 0x10]));
                found += 1;
            }
        }
    }
    found
}
