//! A file is made again at most once per adoption. A handler's refusal is remembered, a mistaken question is not held
//! against anybody: what the kernel tests nowhere (retrieve failure, second retrieve), and R2.

use luo_core::{Fate, RetrieveError, Token};
use luo_tests::{Act, Build, By, Host, SimFile, Successor, TWIN, assert_no_frames, frame_count, session};

fn arrived(host: &Host) -> Successor<'_> {
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note("one"));
    old.preserve("s", 2, &host.note("two"));
    old.update(By::Kexec, &Build::standard())
}

#[test]
fn a_second_retrieve_is_refused() {
    let host = Host::new();
    let mut new = arrived(&host);
    let file = new.retrieve("s", 1).unwrap();
    let error = new.retrieve("s", 1).unwrap_err();
    assert!(matches!(error, RetrieveError::AlreadyRetrieved { token: Token(1), .. }), "{error}");
    assert_eq!(new.order(Act::Retrieve).len(), 2, "one file and the pool it leans on");
    assert_eq!(new.updated.luo().token_of(session("s"), &file), Some(Token(1)));
    assert_eq!(new.retrieve_all().len(), 1, "`retrieve_all` passes over what is taken");
    assert_eq!(new.updated.retrieve_all::<SimFile>().len(), 0);
    new.finish().unwrap().assert_clean();
}

#[test]
fn a_failed_retrieve_is_remembered_and_not_repeated() {
    // At the beginning of the callback, and at its end, when frames were claimed and the pool was made.
    for at in [0, 3] {
        let host = Host::new();
        let mut new = arrived(&host);
        host.journal.refuse_next(at);
        let first = new.retrieve("s", 1).unwrap_err();
        assert!(matches!(first, RetrieveError::Failed { again: false, .. }), "{first}");
        let claimed = frame_count(&new.updated.luo().memory().census().unwrap().claimed);
        let made = if at == 0 { 2 } else { 4 };
        assert_eq!(claimed, made, "what it had claimed was forgone; the vCPUs and the pool stay");
        let asked = host.journal.entries().len();
        let second = new.retrieve("s", 1).unwrap_err();
        assert!(matches!(second, RetrieveError::Failed { again: true, .. }), "{second}");
        assert_eq!(host.journal.since(asked), [], "the handler was not asked again");
        assert!(second.to_string().contains("could not be retrieved before: question"), "{second}");
        let fates: Vec<_> = new.updated.files(session("s")).map(|(_, _, fate)| fate).collect();
        assert!(matches!(fates[..], [Fate::Failed(_), Fate::Waiting]), "{fates:?}");
        assert_eq!(new.retrieve("s", 2).unwrap().bytes(), b"two", "the other file is not concerned");
        new.finish_discarding(&[(session("s"), Token(1))]).unwrap().assert_clean();
    }
}

/// One file does not come out under two tokens, whatever was written: the second is refused, and claims nothing.
#[test]
fn two_records_of_one_file_make_one_file() {
    let host = Host::new();
    let mut old = host.found(&Build::plain());
    for token in 1..=3 {
        let twin = host.note("looks like another");
        old.preserve("s", token, &twin);
        twin.change(|contents| (contents.flags, contents.position) = (TWIN, token / 3));
    }
    let mut new = old.update(By::Exec, &Build::plain());
    let first = new.retrieve("s", 2).unwrap();
    let claimed = new.updated.luo().memory().census().unwrap().claimed;
    let error = new.retrieve("s", 1).unwrap_err().to_string();
    assert!(error.ends_with("it turned out to be the same file as token 0x2 of session `s`"), "{error}");
    assert_eq!(new.updated.luo().memory().census().unwrap().claimed, claimed);
    assert_eq!(new.updated.luo().token_of(session("s"), &first), Some(Token(2)), "it has its token still");
    new.retrieve("s", 3).expect("a file of its own");
    // Its handler is told to discard what it had made once, which no honest file sees.
    let new = new.finish_discarding(&[(session("s"), Token(1))]).unwrap();
    assert_eq!(host.journal.order(new.id, Act::Discard).len(), 1);
    assert_no_frames(&new.luo.memory().census().unwrap());
}

/// Whoever asks for another type than the handler makes has not spent the record.
#[test]
fn a_question_for_another_type_costs_nothing() {
    let host = Host::new();
    let mut new = arrived(&host);
    let error = new.updated.retrieve::<String>(session("s"), Token(1)).unwrap_err();
    assert!(matches!(error, RetrieveError::WrongType { .. }), "{error}");
    assert_eq!(new.updated.retrieve_all::<u32>().len(), 0);
    assert_eq!(new.order(Act::Retrieve), []);
    assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"one");
    assert_eq!(new.retrieve("s", 2).unwrap().bytes(), b"two");
    new.finish().unwrap().assert_clean();
}

/// Files are made before the commit as well as after it, and a refusal before the commit is remembered after it.
#[test]
fn the_commit_does_not_begin_anew() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    for token in 1..=3 {
        old.preserve("s", token, &host.note([u8::try_from(token).unwrap(); 9]));
    }
    old.die_offering();
    let mut arrived = host.adopt(&Build::standard()).unwrap();
    let early = arrived.retrieve("s", 2).unwrap();
    host.journal.refuse_next(0);
    arrived.retrieve("s", 3).unwrap_err();
    let mut new = arrived.take_over().unwrap();
    assert!(matches!(new.retrieve("s", 2), Err(RetrieveError::AlreadyRetrieved { .. })));
    assert!(matches!(new.retrieve("s", 3), Err(RetrieveError::Failed { again: true, .. })));
    assert_eq!(new.retrieve("s", 1).unwrap().bytes(), [1; 9]);
    assert_eq!(early.bytes(), [2; 9]);
    new.finish_discarding(&[(session("s"), Token(3))]).unwrap().assert_clean();
}

/// A file that was retrieved is known until it is finished: preserving it meanwhile would put it into two places.
#[test]
fn a_file_in_use_is_not_preserved_before_it_is_finished() {
    let host = Host::new();
    let mut new = arrived(&host);
    let files = new.retrieve_all();
    let luo = new.updated.luo_mut();
    luo.open_session(session("next")).unwrap();
    let stuck = luo.preserve(session("next"), Token(1), files[0].clone()).unwrap_err();
    assert!(matches!(stuck.error, luo_core::PreserveError::FileInUse { other: Token(1), .. }), "{stuck}");
    let mut program = new.finish().unwrap();
    program.preserve("next", 1, &files[0]);
    let mut next = program.update(By::Exec, &Build::standard());
    assert_eq!(next.retrieve("next", 1).unwrap().bytes(), b"one");
    next.finish().unwrap().assert_clean();
}
