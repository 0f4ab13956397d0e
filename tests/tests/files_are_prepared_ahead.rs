//! One file, or the files of one session, can be prepared ahead of the rest; the prepare of everything then skips them,
//! and its cancel leaves them as they were.

use luo_core::{PrepareOneError, SessionError, State, Token};
use luo_tests::{
    Act, Build, By, Host, Program, SIM_FILE, SimFile, Who, carrier, frame_count, nobody, session,
};

/// Sessions `a` and `b` with two files each, under tokens 0 to 3, which are also their marks.
fn world(host: &Host) -> (Program<'_>, Vec<SimFile>) {
    let mut program = host.found(&Build::standard());
    let files: Vec<_> = (0..4u8).map(|number| host.note([number; 30])).collect();
    for (token, file) in (0..).zip(&files) {
        program.preserve(if token < 2 { "a" } else { "b" }, token, file);
    }
    (program, files)
}

fn prepared(program: &Program<'_>) -> Vec<bool> {
    let is = |(name, token)| program.luo.is_prepared(session(name), Token(token)).expect("it is known");
    [("a", 0), ("a", 1), ("b", 2), ("b", 3)].map(is).to_vec()
}

#[test]
fn what_is_prepared_is_skipped() {
    let host = Host::new();
    let (mut program, files) = world(&host);
    program.luo.prepare_file(session("b"), Token(3), &nobody()).unwrap();
    assert_eq!(host.journal.order(program.id, Act::Prepare), [Who::File(3)]);
    program.luo.prepare_file(session("b"), Token(3), &nobody()).expect("nothing happens twice");
    assert_eq!(program.luo.state(), State::Normal, "nothing is prepared as a whole");
    program.luo.prepare_session(session("a"), &nobody()).unwrap();
    let ahead = [3, 0, 1].map(Who::File);
    assert_eq!(host.journal.order(program.id, Act::Prepare), ahead);
    assert_eq!(prepared(&program), [true, true, false, true]);
    let id = program.id;
    files[3].change(|contents| contents.bytes.fill(0xAB));
    let mut new = program.update(By::Kexec, &Build::standard());
    let order = host.journal.order(id, Act::Prepare);
    let vcpus = Who::Subsystem(luo_core::Kind::literal(luo_tests::VCPUS));
    assert_eq!(order[3..5], [vcpus, Who::File(2)], "only who was left");
    let frozen = host.journal.order(id, Act::Freeze);
    assert_eq!(frozen[1..5], [0, 1, 2, 3].map(Who::File), "freeze runs in registration order");
    for (found, file) in new.retrieve_all().iter().zip(&files) {
        assert_eq!(found.contents(), file.contents());
    }
    new.finish().unwrap().assert_clean();
}

#[test]
fn the_cancel_of_everything_leaves_them_prepared() {
    let host = Host::new();
    let (mut program, _files) = world(&host);
    program.luo.prepare_session(session("b"), &nobody()).unwrap();
    let before = program.luo.memory().census().unwrap();
    program.prepare_and_cancel(&mut nobody());
    assert_eq!(prepared(&program), [false, false, true, true]);
    assert_eq!(program.luo.memory().census().unwrap(), before);
    host.journal.refuse_next(2 * 2 + 2);
    program.luo.prepare(&mut nobody()).unwrap_err();
    assert_eq!(prepared(&program), [false, false, true, true], "and so does a prepare that fails");
    assert_eq!(program.luo.memory().census().unwrap(), before);
    program.luo.cancel_session(session("b")).unwrap();
    assert_eq!(prepared(&program), [false; 4]);
    program.luo.cancel_session(session("b")).expect("nothing happens to what is not prepared");
    program.assert_clean();
}

#[test]
fn files_are_cancelled_one_by_one() {
    let host = Host::new();
    let (mut program, _files) = world(&host);
    program.luo.prepare_session(session("a"), &nobody()).unwrap();
    program.luo.cancel_file(session("a"), Token(1)).unwrap();
    program.luo.cancel_file(session("a"), Token(1)).unwrap();
    assert_eq!(prepared(&program), [true, false, false, false]);
    assert_eq!(frame_count(&program.luo.memory().census().unwrap().preserved), 2);
    let id = program.id;
    assert_eq!(host.journal.order(id, Act::Cancel), [Who::File(1)]);
    program.luo.unpreserve(session("a"), Token(0)).unwrap();
    assert_eq!(host.journal.order(id, Act::Cancel), [Who::File(1), Who::File(0)], "before it is let go");
    program.assert_clean();
}

#[test]
fn a_session_is_prepared_as_a_whole_or_not_at_all() {
    let host = Host::new();
    let (mut program, _files) = world(&host);
    program.luo.prepare_file(session("a"), Token(0), &nobody()).unwrap();
    // Of token 1: the survey, or the prepare.
    for later in [0, 2] {
        host.journal.refuse_next(later);
        let error = program.luo.prepare_session(session("a"), &nobody()).unwrap_err();
        assert!(matches!(error, PrepareOneError::Phase(_)), "{error}");
        assert!(error.to_string().starts_with("file 0x1 of session `a` (note) failed to prepare"), "{error}");
        assert_eq!(prepared(&program), [true, false, false, false], "what was prepared before stays so");
    }
    host.journal.refuse_next(4 + 2);
    program.luo.prepare_session(session("b"), &nobody()).unwrap_err();
    assert_eq!(prepared(&program), [true, false, false, false], "token 2 was cancelled again");
    program.luo.cancel_session(session("a")).unwrap();
    program.assert_clean();
}

#[test]
fn unknown_names_are_told() {
    let host = Host::new();
    let (mut program, _files) = world(&host);
    let unknown = session("c");
    let error = program.luo.prepare_session(unknown, &nobody()).unwrap_err();
    assert!(matches!(error, PrepareOneError::Session(SessionError::UnknownSession { .. })), "{error}");
    let error = program.luo.prepare_file(session("a"), Token(9), &nobody()).unwrap_err();
    assert!(matches!(error, PrepareOneError::Session(SessionError::UnknownToken { .. })), "{error}");
    assert_eq!(program.luo.cancel_session(unknown), Err(SessionError::UnknownSession { session: unknown }));
    program.luo.cancel_file(session("a"), Token(9)).unwrap_err();
    assert_eq!(program.luo.is_prepared(unknown, Token(0)), None);
    host.check();
}

/// What was prepared for one carrier is prepared again for another one, if the two take different descriptors.
#[test]
fn another_carrier_means_another_prepare() {
    let host = Host::new();
    let (mut program, _files) = world(&host);
    program.luo.prepare_file(session("a"), Token(0), &nobody()).unwrap();
    program.prepare_and_cancel(&mut nobody());
    assert_eq!(
        host.journal.count(program.id, Who::File(0), Act::Prepare),
        1,
        "the same answers: nothing to do"
    );
    let mut choosy = nobody().refusing(SIM_FILE, "not these");
    program.prepare_and_cancel(&mut choosy);
    assert_eq!(host.journal.count(program.id, Who::File(0), Act::Prepare), 2);
    assert_eq!(prepared(&program), [false; 4], "nobody is prepared for the first carrier any more");
    program.assert_clean();
}

/// A session that is closed takes what was prepared ahead with it.
#[test]
fn closing_cancels() {
    let host = Host::new();
    let (mut program, _files) = world(&host);
    program.luo.prepare_session(session("a"), &nobody()).unwrap();
    program.luo.prepare_session(session("b"), &nobody()).unwrap();
    program.luo.close_session(session("b")).unwrap();
    assert_eq!(host.journal.order(program.id, Act::Cancel), [3, 2].map(Who::File));
    let (mut arrived, build) = (None, Build::standard());
    let mut far = carrier(By::Exec, |_| host.arrive(&build, &mut arrived));
    let prepared = program.luo.prepare(&mut *far).unwrap();
    let _departed = prepared.freeze(host.guest.leave(program.party)).unwrap().hand_over().unwrap();
    drop(far);
    let mut new = arrived.unwrap();
    assert_eq!(new.retrieve_all().len(), 2);
    new.finish().unwrap().assert_clean();
}
