//! Sessions cross with their names, their files and their order, empty ones too: the kernel's `luo_multi_session`.

use luo_core::{RetrieveError, Token};
use luo_tests::{Build, By, Host, frame_count, session};

#[test]
fn empty_and_filled_sessions_cross_together() {
    for by in By::ALL {
        let host = Host::new();
        let mut old = host.found(&Build::standard());
        old.luo.open_session(session("empty-1")).unwrap();
        old.luo.open_session(session("empty-2")).unwrap();
        old.preserve("files-1", 0x10, &host.note("first of one"));
        old.preserve("files-2", 0x10, &host.note("first of two"));
        old.preserve("files-2", 0x20, &host.note("second of two"));
        let mut new = old.update(by, &Build::standard());
        let names: Vec<_> = new.updated.sessions().collect();
        assert_eq!(names, ["empty-1", "empty-2", "files-1", "files-2"].map(session));
        assert_eq!(new.updated.files(session("empty-1")).count(), 0);
        let tokens: Vec<_> = new.updated.files(session("files-2")).map(|(token, ..)| token).collect();
        assert_eq!(tokens, [Token(0x10), Token(0x20)]);
        assert_eq!(new.retrieve("files-2", 0x20).unwrap().bytes(), b"second of two");
        assert_eq!(new.retrieve("files-1", 0x10).unwrap().bytes(), b"first of one");
        assert_eq!(new.retrieve("files-2", 0x10).unwrap().bytes(), b"first of two");
        new.finish().unwrap().assert_clean();
    }
}

/// A token means something in its session only, and a session that did not cross has none.
#[test]
fn tokens_belong_to_their_session() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    old.preserve("a", 1, &host.note("a"));
    old.preserve("b", u64::MAX, &host.note("b"));
    old.preserve("b", 0, &host.note("zero is a token"));
    let mut new = old.update(By::Exec, &Build::standard());
    let error = new.retrieve("b", 1).unwrap_err();
    assert!(matches!(error, RetrieveError::UnknownToken { token: Token(1), .. }), "{error}");
    assert_eq!(error.to_string(), "session `b` arrived without token 0x1");
    let error = new.retrieve("c", 1).unwrap_err();
    assert!(matches!(error, RetrieveError::UnknownSession { .. }), "{error}");
    assert_eq!(new.retrieve("b", 0).unwrap().bytes(), b"zero is a token");
    assert_eq!(new.retrieve("b", u64::MAX).unwrap().bytes(), b"b");
    assert_eq!(new.retrieve("a", 1).unwrap().bytes(), b"a");
    new.finish().unwrap().assert_clean();
}

/// Sessions end one by one; the others are not concerned.
#[test]
fn a_session_is_finished_alone() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    for name in ["a", "b"] {
        old.preserve(name, 1, &host.note(name));
    }
    let mut new = old.update(By::Kexec, &Build::standard());
    assert_eq!(new.retrieve("a", 1).unwrap().bytes(), b"a");
    let before = frame_count(&new.updated.luo().memory().census().unwrap().preserved);
    new.updated.finish_session(session("a")).unwrap();
    let after = frame_count(&new.updated.luo().memory().census().unwrap().preserved);
    assert_eq!(before - after, 2, "the array of its one file: a chain and a frame of bytes");
    let error = new.retrieve("a", 1).unwrap_err();
    assert!(matches!(error, RetrieveError::Finished { .. }), "{error}");
    new.updated.finish_session(session("a")).expect("what is finished stays finished");
    assert_eq!(new.retrieve("b", 1).unwrap().bytes(), b"b");
    new.finish().unwrap().assert_clean();
}
