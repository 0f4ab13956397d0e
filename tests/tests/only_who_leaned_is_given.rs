//! A shared object belongs to the files that leaned on it when they were written. A build whose handlers lean on more
//! than their predecessors did cannot get at it through a file that is not counted: it would be finished under its
//! hands.

use luo_core::{Kind, Token};
use luo_tests::{Act, Build, By, Host, ProgramId, Who, session};

/// Notes lean on nothing, logs on the pool.
fn older() -> Build {
    Build::empty().pool("pool", 1..=1).file("note", 1..=2).file_on("log", 1..=2, &["pool"])
}

/// Both lean on the pool.
fn newer() -> Build {
    let pool = Build::empty().pool("pool", 1..=1);
    pool.file_on("note", 1..=2, &["pool"]).file_on("log", 1..=2, &["pool"])
}

#[test]
fn a_file_that_is_not_counted_does_not_get_it() {
    let host = Host::new();
    let mut old = host.found(&older());
    old.preserve("n", 1, &host.note("leans on nothing"));
    old.preserve("l", 1, &host.file("log", "leans"));
    let mut new = old.update(By::Kexec, &newer());
    let error = new.retrieve("n", 1).unwrap_err().to_string();
    assert!(error.contains("no shared object `pool` of this type is leaned on"), "{error}");
    assert_eq!(new.retrieve("l", 1).unwrap().bytes(), b"leans", "it is not concerned");
    new.updated.finish_session(session("l")).unwrap();
    let pool = Who::Shared(Kind::literal("pool"));
    assert_eq!(host.journal.count(ProgramId(1), pool, Act::Finish), 1, "nobody is left who leans on it");
    new.finish_discarding(&[(session("n"), Token(1))]).unwrap().assert_clean();
}

/// The other way round: who leaned is counted, and the pool is kept for as long, though nobody asks for it any more.
#[test]
fn a_file_that_no_longer_leans_still_counts() {
    let host = Host::new();
    let mut old = host.found(&newer());
    old.preserve("n", 1, &host.note("leaned"));
    old.preserve("l", 1, &host.file("log", "leans"));
    let mut new = old.update(By::Kexec, &older());
    assert_eq!(new.retrieve_all().len(), 2);
    new.updated.finish_session(session("l")).unwrap();
    let pool = Who::Shared(Kind::literal("pool"));
    assert_eq!(host.journal.count(ProgramId(1), pool, Act::Finish), 0, "the note is counted");
    let new = new.finish().unwrap();
    assert_eq!(host.journal.count(ProgramId(1), pool, Act::Finish), 1);
    new.assert_clean();
}
