//! A shared object lives as long as a file leans on it, on either side: the kernel's FLB test in `lib/tests`, and the
//! defects D2 (put before get underflows the count) and D3 (references of lookers leak into the stored count).

use luo_core::{Kind, Participant, Phase, PreserveError, RegistryError, Role, Token};
use luo_tests::{Act, Build, By, Host, Keeper, Pen, ProgramId, Speech, Who, nobody, session};

fn shared(name: &str) -> Who {
    Who::Shared(Kind::new(name).expect("a good name"))
}

/// Notes lean on one pool, logs on two.
fn build() -> Build {
    let pools = Build::empty().pool("pool", 1..=1).pool("ledger", 1..=1);
    pools.file_on("note", 1..=2, &["pool"]).file_on("log", 1..=2, &["ledger", "pool"]).file("loner", 1..=2)
}

#[test]
fn it_is_made_for_the_first_file_and_dropped_with_the_last() {
    let host = Host::new();
    let mut program = host.found(&build());
    let count = |who, act| host.journal.count(ProgramId(0), who, act);
    program.preserve("s", 1, &host.file("loner", ""));
    assert_eq!(count(shared("pool"), Act::Preserve), 0, "nobody leans on it");
    program.preserve("s", 2, &host.note(""));
    program.preserve("s", 3, &host.file("log", ""));
    program.preserve("t", 4, &host.note(""));
    assert_eq!((count(shared("pool"), Act::Preserve), count(shared("ledger"), Act::Preserve)), (1, 1));
    program.luo.unpreserve(session("s"), Token(3)).unwrap();
    assert_eq!(count(shared("ledger"), Act::Unpreserve), 1, "the only log is gone");
    program.luo.close_session(session("s")).unwrap();
    assert_eq!(count(shared("pool"), Act::Unpreserve), 0, "the other session leans on it");
    program.luo.close_session(session("t")).unwrap();
    assert_eq!(count(shared("pool"), Act::Unpreserve), 1);
    program.preserve("u", 1, &host.note(""));
    assert_eq!(count(shared("pool"), Act::Preserve), 2, "it is made again");
    program.assert_clean();
}

/// It is made before the file is preserved and dropped after it is let go, last one first.
#[test]
fn it_is_there_before_its_file_and_after_it() {
    let host = Host::new();
    let mut program = host.found(&build());
    let log = host.file("log", "");
    program.preserve("s", 1, &log);
    program.luo.close_session(session("s")).unwrap();
    let story: Vec<_> = host.journal.entries().iter().map(|entry| (entry.who, entry.act)).collect();
    let file = Who::File(log.mark());
    let expected = [
        (shared("ledger"), Act::Preserve),
        (shared("pool"), Act::Preserve),
        (file, Act::Preserve),
        (file, Act::Unpreserve),
        (shared("pool"), Act::Unpreserve),
        (shared("ledger"), Act::Unpreserve),
    ];
    assert_eq!(story, expected);
}

#[test]
fn a_shared_object_that_refuses_keeps_the_file_out() {
    // The ledger is made, the pool refuses; or the pool is made too and the file refuses.
    for (question, who) in [(2, "shared object `pool`"), (4, "file 0x1 of session `s` (log)")] {
        let host = Host::new();
        let mut program = host.found(&build());
        program.luo.open_session(session("s")).unwrap();
        host.journal.refuse(question);
        let log = host.file("log", "");
        let stuck = program.luo.preserve(session("s"), Token(1), log.clone()).unwrap_err();
        let PreserveError::Failed(error) = stuck.error else { panic!("{stuck}") };
        assert_eq!((error.participant.to_string().as_str(), error.phase), (who, Phase::Preserve));
        assert_eq!((log.pins(), program.luo.tokens(session("s")).count()), (0, 0));
        host.journal.check();
        program.preserve("s", 1, &log);
        let made = host.journal.order(program.id, Act::Preserve).len();
        let undone = host.journal.order(program.id, Act::Unpreserve).len();
        assert_eq!(made - undone, 3, "ledger, pool and file; what was made before was undone");
        program.assert_clean();
    }
}

/// The far side finishes it after the last file, whoever asked for it, and once.
#[test]
fn it_is_finished_with_its_last_file() {
    for by in By::ALL {
        let host = Host::new();
        let mut old = host.found(&build());
        old.preserve("a", 1, &host.note("1"));
        old.preserve("a", 2, &host.file("log", "2"));
        old.preserve("b", 3, &host.note("3"));
        // Cancelled attempts and looks do not count (D3).
        (0..3).for_each(|_| old.prepare_and_cancel(&mut nobody()));
        let mut new = old.update(by, &build());
        let (pool, ledger) = (shared("pool"), shared("ledger"));
        assert_eq!(new.order(Act::Retrieve), []);
        assert_eq!(new.retrieve_all().len(), 3);
        let retrieved = new.order(Act::Retrieve);
        assert_eq!(
            retrieved.iter().filter(|who| **who == pool).count(),
            1,
            "made once, for the first that asks"
        );
        new.updated.finish_session(session("a")).unwrap();
        assert!(new.order(Act::Finish).contains(&ledger), "no log is left");
        assert!(!new.order(Act::Finish).contains(&pool), "a note of session b leans on it");
        let new = new.finish().unwrap();
        assert_eq!(host.journal.order(new.id, Act::Finish).last(), Some(&pool));
        assert_eq!(host.journal.count(new.id, pool, Act::Finish), 1);
        new.assert_clean();
    }
}

/// Of the objects that go with their last file the one goes first that was leaned on last; all go after the file.
#[test]
fn the_objects_of_one_file_go_in_reverse() {
    let host = Host::new();
    let in_reverse = |log: u64| [Who::File(log), shared("pool"), shared("ledger")];
    let mut old = host.found(&build());
    let log = host.file("log", "1");
    old.preserve("s", 1, &log);
    let mut new = old.update(By::Exec, &build());
    new.retrieve("s", 1).unwrap();
    let new = new.finish().unwrap();
    assert_eq!(host.journal.order(new.id, Act::Finish), in_reverse(log.mark()));

    let host = Host::new();
    let mut old = host.found(&build());
    let log = host.file("log", "1");
    old.preserve("s", 1, &log);
    let new = old.update(By::Kexec, &build()).finish_discarding(&[(session("s"), Token(1))]).unwrap();
    assert_eq!(host.journal.order(new.id, Act::Discard), in_reverse(log.mark()));
    new.assert_clean();
}

/// Nobody asked for the object before the first file was finished (D2): the count is right all the same, and the object
/// is discarded with the last file.
#[test]
fn it_is_discarded_if_nobody_asked_for_it() {
    let host = Host::new();
    let mut old = host.found(&build());
    old.preserve("a", 1, &host.note("1"));
    old.preserve("b", 1, &host.note("2"));
    let mut new = old.update(By::Kexec, &build());
    let yes = luo_core::Irrevocable::knowingly;
    new.updated.finish_session_discarding(session("a"), &[Token(1)], yes()).unwrap();
    assert_eq!(new.order(Act::Discard).len(), 1, "the file, and not yet the pool");
    new.updated.finish_session_discarding(session("b"), &[Token(1)], yes()).unwrap();
    let discarded = new.order(Act::Discard);
    assert_eq!((discarded.len(), discarded.last()), (3, Some(&shared("pool"))));
    let new = new.finish().unwrap();
    assert_eq!(host.journal.count(new.id, shared("pool"), Act::Finish), 0);
    new.assert_clean();
}

/// One that cannot be made again tells every file that leans on it, is asked once, keeps nothing that it claimed, and
/// concerns nobody else.
#[test]
fn one_that_cannot_be_made_again_fails_the_files_that_lean_on_it() {
    // At the beginning of its callback, and at the end, when frames were claimed.
    for at in [1, 2] {
        let host = Host::new();
        let mut old = host.found(&build());
        old.preserve("s", 1, &host.note("leans"));
        old.preserve("s", 2, &host.note("leans too"));
        old.preserve("s", 3, &host.file("loner", "does not"));
        let mut new = old.update(By::Exec, &build());
        host.journal.refuse_next(at);
        for token in [1, 2] {
            let error = new.retrieve("s", token).unwrap_err().to_string();
            assert!(error.contains("was to be refused"), "{error}");
        }
        assert_eq!(new.updated.luo().memory().census().unwrap().claimed, []);
        assert_eq!(new.retrieve("s", 3).unwrap().bytes(), b"does not");
        let asked = host.journal.entries();
        let asked = asked.iter().filter(|entry| entry.act == Act::Retrieve && entry.who == shared("pool"));
        assert_eq!(asked.count(), 1);
        let gone = [(session("s"), Token(1)), (session("s"), Token(2))];
        let new = new.finish_discarding(&gone).unwrap();
        assert_eq!(host.journal.count(new.id, shared("pool"), Act::Discard), 1);
        new.assert_clean();
    }
}

#[test]
fn what_a_handler_leans_on_is_registered_before_it() {
    let host = Host::new();
    let pen = Pen::new(host.journal, ProgramId(0));
    let (mut registry, _) = Build::empty().pool("pool", 1..=1).registry(&pen);
    let (leaning, kind) = (Kind::literal("ledger"), Kind::literal("log"));
    let pool = Kind::literal("pool");
    let leans_on = |objects| Keeper::new(Speech::new("log", 1..=1), objects, pen.clone());
    let error = registry.handler(leans_on(vec![pool, leaning])).unwrap_err();
    assert_eq!(error, RegistryError::NoSuchShared { kind, shared: leaning });
    let error = registry.handler(leans_on(vec![pool, pool])).unwrap_err();
    assert_eq!(error, RegistryError::Twice { kind, shared: pool });
    let error = registry.handler(leans_on(vec![pool; 1 << 16])).unwrap_err();
    assert_eq!(error, RegistryError::TooMany { role: Role::Handler, kind, named: 1 << 16 });
    assert_eq!(registry.manifest().supports.len(), 1);
}

/// A pool that cannot be prepared is named as such, and files are cancelled.
#[test]
fn it_is_prepared_after_its_files() {
    let host = Host::new();
    let mut program = host.found(&build());
    let file = host.note("x");
    program.preserve("s", 1, &file);
    // Survey, prepare of the file; then the pool.
    host.journal.refuse_next(4);
    let error = program.luo.prepare(&mut nobody()).unwrap_err();
    assert_eq!(error.participant, Participant::Shared(Kind::literal("pool")));
    assert_eq!(host.journal.order(program.id, Act::Cancel), [Who::File(file.mark())]);
    program.assert_clean();
}
