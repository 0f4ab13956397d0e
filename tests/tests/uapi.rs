//! What a user may ask before any update, case by case as the kernel's selftest `liveupdate` asks it. Its cases
//! `basic_open_close` and `exclusive_open` are about the device node, which these crates do not open.

use luo_core::{Kind, Luo, PreserveError, SessionError, SessionName, Token};
use luo_kho::ownership::OwnershipError;
use luo_tests::{Build, Host, SimFile, session};

/// `exclusive_open`, as far as it has a meaning here: the memory has one owner, so a second program cannot begin on it.
#[test]
fn memory_is_founded_once() {
    let host = Host::new();
    let first = host.found(&Build::plain());
    let second = host.machine.fresh().unwrap();
    let stuck = Luo::found(second, luo_core::Registry::new()).unwrap_err();
    let luo_core::Cause::Ownership(OwnershipError::WrongTurn { word, .. }) = stuck.error.cause else {
        panic!("{}", stuck.error)
    };
    assert_eq!(word, host.machine.word());
    first.assert_clean();
}

#[test]
fn create_duplicate_session() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    program.luo.open_session(session("duplicate")).unwrap();
    let error = program.luo.open_session(session("duplicate")).unwrap_err();
    assert_eq!(error, SessionError::NameInUse { session: session("duplicate") });
    program.luo.close_session(session("duplicate")).unwrap();
    program.luo.open_session(session("duplicate")).expect("the name is free again");
    assert_eq!(program.luo.sessions().len(), 1);
}

#[test]
fn create_distinct_sessions() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    for name in ["a", "A", "a ", "ä"] {
        program.luo.open_session(session(name)).unwrap();
    }
    assert_eq!(program.luo.sessions().collect::<Vec<_>>(), ["a", "A", "a ", "ä"].map(session));
}

#[test]
fn preserve_memfd() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    let file = host.note("hello world");
    program.preserve("s", 0x1234, &file);
    assert_eq!((file.pins(), file.references()), (1, 3), "pinned, and known to the books");
    assert_eq!(program.luo.token_of(session("s"), &file), Some(Token(0x1234)));
    assert!(program.luo.file::<SimFile>(session("s"), Token(0x1234)).unwrap().is(&file));
    program.luo.close_session(session("s")).unwrap();
    assert_eq!((file.pins(), file.references()), (0, 1));
    assert_eq!(file.bytes(), b"hello world", "the file is as it was");
    assert_eq!(program.luo.token_of(session("s"), &file), None);
    program.assert_clean();
}

#[test]
fn preserve_multiple_memfds() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    let files = [host.note("first"), host.note("second")];
    program.preserve("s", 0x1111, &files[0]);
    program.preserve("s", 0x2222, &files[1]);
    assert_eq!(program.luo.tokens(session("s")).collect::<Vec<_>>(), [Token(0x1111), Token(0x2222)]);
    files[0].change(|contents| contents.bytes.extend(b", and used while preserved"));
    assert_eq!(files[0].bytes(), b"first, and used while preserved");
    assert_eq!(files[1].bytes(), b"second");
}

#[test]
fn preserve_complex_scenario() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    for name in ["s1", "s2"] {
        program.preserve(name, 1, &host.note("filled"));
        program.preserve(name, 2, &host.note(""));
    }
    program.luo.close_session(session("s1")).unwrap();
    assert_eq!(program.luo.tokens(session("s2")).count(), 2, "the other session is not concerned");
    program.luo.close_session(session("s2")).unwrap();
    program.assert_clean();
}

#[test]
fn preserve_unsupported_fd() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    program.luo.open_session(session("s")).unwrap();
    let stuck = program.luo.preserve(session("s"), Token(1), host.file("null", "")).unwrap_err();
    assert!(matches!(stuck.error, PreserveError::NoHandler { token: Token(1), .. }), "{stuck}");
    assert_eq!(stuck.kept.references(), 1, "the file came back, and nobody else has it");
    let stuck = program.luo.preserve(session("s"), Token(1), 7u32).unwrap_err();
    assert!(matches!(stuck.error, PreserveError::NoHandler { .. }), "{stuck}");
    assert_eq!(program.luo.tokens(session("s")).count(), 0);
    program.assert_clean();
}

#[test]
fn prevent_double_preservation() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    let file = host.note("once");
    program.preserve("s1", 1, &file);
    program.luo.open_session(session("s2")).unwrap();
    for (name, token) in [("s1", 2), ("s2", 1)] {
        let stuck = program.luo.preserve(session(name), Token(token), file.clone()).unwrap_err();
        let PreserveError::FileInUse { other_session, other, .. } = stuck.error else { panic!("{stuck}") };
        assert_eq!((other_session, other), (session("s1"), Token(1)));
    }
    let stuck = program.luo.preserve(session("s1"), Token(1), host.note("other")).unwrap_err();
    assert!(matches!(stuck.error, PreserveError::TokenInUse { .. }), "{stuck}");
    let stuck = program.luo.preserve(session("nowhere"), Token(1), host.note("other")).unwrap_err();
    assert!(matches!(stuck.error, PreserveError::UnknownSession { .. }), "{stuck}");
    assert_eq!(file.pins(), 1);
    program.luo.unpreserve(session("s1"), Token(1)).unwrap();
    program.preserve("s2", 1, &file);
    assert_eq!(file.pins(), 1, "once let go it can be preserved elsewhere");
}

#[test]
fn create_session_no_null_termination() {
    assert!(SessionName::new(&"X".repeat(64)).is_err());
}

#[test]
fn create_session_empty_name() {
    assert!(SessionName::new("").is_err());
}

#[test]
fn get_session_name() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    program.luo.open_session(session("a name")).unwrap();
    assert_eq!(program.luo.sessions().next().unwrap().as_str(), "a name");
}

#[test]
fn get_session_name_max_length() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    let longest = "N".repeat(63);
    program.luo.open_session(session(&longest)).unwrap();
    let new = program.update(luo_tests::By::Kexec, &Build::plain());
    assert_eq!(new.updated.sessions().next().unwrap().as_str(), longest, "on the other side too");
    new.finish().unwrap().assert_clean();
}

#[test]
fn preserve_many_sessions() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    let names: Vec<_> = (0..2000).map(|number| session(&format!("many-{number}"))).collect();
    for name in &names {
        program.luo.open_session(*name).unwrap();
    }
    for name in names {
        program.luo.close_session(name).unwrap();
    }
    assert_eq!(program.luo.sessions().len(), 0);
    program.assert_clean();
}

#[test]
fn preserve_many_files() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    let files: Vec<_> = (0..500u16).map(|number| host.note(number.to_le_bytes())).collect();
    for (token, file) in (0..).zip(&files) {
        program.preserve("many", token, file);
    }
    assert!(files.iter().all(|file| file.pins() == 1));
    drop(program);
    assert!(files.iter().all(|file| (file.pins(), file.references()) == (0, 1)));
    host.check();
}

/// Beyond the selftest: a file that cannot travel says why, and unknown names are named.
#[test]
fn what_cannot_be_done_says_why() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    program.luo.open_session(session("s")).unwrap();
    let file = host.note("heavy");
    file.change(|contents| contents.flags = luo_tests::STAYS);
    let stuck = program.luo.preserve(session("s"), Token(9), file).unwrap_err();
    assert_eq!(stuck.to_string(), "token 0x9 of session `s`: this note cannot travel: it is nailed down");
    let error = program.luo.unpreserve(session("s"), Token(9)).unwrap_err();
    assert_eq!(error.to_string(), "session `s` has no token 0x9");
    let error = program.luo.close_session(session("t")).unwrap_err();
    assert_eq!(error.to_string(), "there is no session `t`");
    assert_eq!(program.luo.kind_of(session("s"), Token(9)), None::<Kind>);
}
