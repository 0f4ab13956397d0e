//! Finishing waits for who is busy, names what nobody took, and gives up exactly what the caller names: what the kernel
//! tests nowhere (`can_finish` false, finish without retrieve, close without finish), and the defects D7, D8, D12.

use luo_core::{Fate, FinishError, Participant, Phase, Stuck, Token, Unclaimed};
use luo_tests::{Act, Build, By, Host, Successor, Who, assert_no_frames, frame_count, session};

fn yes() -> luo_core::Irrevocable {
    luo_core::Irrevocable::knowingly()
}

/// Three files in two sessions have arrived.
fn arrived(host: &Host, by: By) -> Successor<'_> {
    let mut old = host.found(&Build::standard());
    old.preserve("a", 1, &host.note("one"));
    old.preserve("a", 2, &host.note("two"));
    old.preserve("b", 3, &host.note("three"));
    old.update(by, &Build::standard())
}

#[test]
fn one_busy_file_postpones_everything_and_changes_nothing() {
    for by in By::ALL {
        let host = Host::new();
        let mut new = arrived(&host, by);
        let busy = new.retrieve_all()[1].mark();
        let before = new.updated.luo().memory().census().unwrap();
        host.journal.set_busy(Who::File(busy), true);
        let Stuck { kept: new, error } = new.finish().unwrap_err();
        let FinishError::NotYet(error) = error else { panic!("{error}") };
        let file = Participant::File {
            session: session("a"),
            token: Token(2),
            kind: luo_core::Kind::literal(luo_tests::NOTE),
        };
        assert_eq!((error.participant, error.phase), (file, Phase::Finish));
        assert_eq!(error.to_string(), "file 0x2 of session `a` (note) failed to finish: it is still busy");
        assert_eq!(new.order(Act::Finish), [], "everybody was asked before anybody was told");
        assert_eq!(new.updated.luo().memory().census().unwrap(), before);
        let mut new = new;
        let error = new.updated.finish_session(session("a")).unwrap_err();
        assert!(matches!(error, FinishError::NotYet(_)), "{error}");
        new.updated.finish_session(session("b")).expect("the other session is not busy");
        host.journal.set_busy(Who::File(busy), false);
        new.updated.finish_session(session("a")).expect("it is reachable still (D8)");
        new.finish().unwrap().assert_clean();
    }
}

#[test]
fn files_that_nobody_took_are_named_and_still_there() {
    for by in By::ALL {
        let host = Host::new();
        let mut new = arrived(&host, by);
        new.retrieve("a", 2).unwrap();
        let before = new.updated.luo().memory().census().unwrap();
        let Stuck { kept: mut new, error } = new.finish().unwrap_err();
        let FinishError::Unclaimed(unclaimed) = &error else { panic!("{error}") };
        assert_eq!(unclaimed.tokens, [(session("a"), Token(1)), (session("b"), Token(3))]);
        assert_eq!(error.to_string(), "nothing was finished: 2 files are unclaimed: `a` 0x1 `b` 0x3");
        assert_eq!(new.updated.luo().memory().census().unwrap(), before);
        assert_eq!(new.order(Act::CanFinish), [], "and nobody was troubled");
        assert_eq!(new.retrieve("a", 1).unwrap().bytes(), b"one");
        assert_eq!(new.retrieve("b", 3).unwrap().bytes(), b"three");
        new.finish().unwrap().assert_clean();
    }
}

/// A message names eight of them and says whether there are more; the error itself has them all.
#[test]
fn many_unclaimed_files_are_counted_and_the_first_are_named() {
    for (files, more) in [(8, ""), (9, " ..."), (1000, " ...")] {
        let tokens = (0..files).map(|token| (session("s"), Token(token))).collect();
        let named = [0, 1, 2, 3, 4, 5, 6, 7].map(|token| format!(" `s` {token:#x}")).concat();
        let message = format!("{files} files are unclaimed:{named}{more}");
        assert_eq!(Unclaimed { tokens }.to_string(), message);
    }
}

/// What a program is left with when finishing fails tells its state and its sessions when it is printed.
#[test]
fn what_is_left_by_a_finish_that_failed_can_be_told() {
    let host = Host::new();
    let new = arrived(&host, By::Exec);
    let told = format!("{:?}", new.updated.finish().unwrap_err().kept);
    assert!(told.starts_with("Updated {") && told.contains("state: Updated"), "{told}");
    assert!(told.contains(&format!("{:?}", [session("a"), session("b")])), "{told}");
}

#[test]
fn exactly_the_named_files_are_given_up() {
    let host = Host::new();
    let mut new = arrived(&host, By::Kexec);
    let kept = new.retrieve("a", 2).unwrap();
    let (one, three) = ((session("a"), Token(1)), (session("b"), Token(3)));
    // One of the two is not named: nothing happens.
    let Stuck { kept: new, error } = new.finish_discarding(&[three]).unwrap_err();
    let FinishError::Unclaimed(unclaimed) = error else { panic!("{error}") };
    assert_eq!(unclaimed.tokens, [one]);
    assert_eq!(new.order(Act::Discard), []);
    // One is named that did not arrive: nothing happens.
    let bad = (session("a"), Token(7));
    let Stuck { kept: new, error } = new.finish_discarding(&[one, three, bad]).unwrap_err();
    assert!(matches!(error, FinishError::UnknownToken { token: Token(7), .. }), "{error}");
    assert_eq!(new.order(Act::Discard), []);
    let new = new.finish_discarding(&[three, one]).unwrap();
    assert_eq!(host.journal.order(new.id, Act::Discard).len(), 2);
    assert_eq!(kept.bytes(), b"two", "a file in use is not concerned");
    new.assert_clean();
}

/// Naming a file that is in use gives nothing up: it is finished like the others.
#[test]
fn a_file_in_use_cannot_be_given_up_by_naming_it() {
    let host = Host::new();
    let mut new = arrived(&host, By::Exec);
    assert_eq!(new.retrieve_all().len(), 3);
    let new = new.finish_discarding(&[(session("a"), Token(1))]).unwrap();
    assert_eq!(host.journal.order(new.id, Act::Discard), []);
    new.assert_clean();
}

#[test]
fn one_session_is_finished_with_what_it_gives_up() {
    let host = Host::new();
    let mut new = arrived(&host, By::Exec);
    new.retrieve("a", 1).unwrap();
    let error = new.updated.finish_session(session("c")).unwrap_err();
    assert!(matches!(error, FinishError::UnknownSession { .. }), "{error}");
    let error = new.updated.finish_session(session("a")).unwrap_err();
    assert!(matches!(error, FinishError::Unclaimed(_)), "{error}");
    let error = new.updated.finish_session_discarding(session("a"), &[Token(9)], yes()).unwrap_err();
    assert!(matches!(error, FinishError::UnknownToken { .. }), "{error}");
    let before = frame_count(&new.updated.luo().memory().census().unwrap().allocated);
    new.updated.finish_session_discarding(session("a"), &[Token(2)], yes()).unwrap();
    let after = frame_count(&new.updated.luo().memory().census().unwrap().allocated);
    assert_eq!(before - after, 4, "two arrays, each of a chain and a frame of bytes");
    let fates: Vec<_> = new.updated.files(session("a")).map(|(_, _, fate)| fate).collect();
    assert!(fates.iter().all(|fate| matches!(fate, Fate::Finished)), "{fates:?}");
    assert_eq!(new.retrieve("b", 3).unwrap().bytes(), b"three");
    new.finish().unwrap().assert_clean();
}

/// Who was told with its session is told no more: not if the session is asked for again, and not with the others.
#[test]
fn everybody_is_told_once() {
    let host = Host::new();
    let mut new = arrived(&host, By::Exec);
    let one = Who::File(new.retrieve("a", 1).unwrap().mark());
    let three = Who::File(new.retrieve("b", 3).unwrap().mark());
    new.updated.finish_session_discarding(session("a"), &[Token(2)], yes()).unwrap();
    new.updated.finish_session(session("a")).unwrap();
    let new = new.finish().unwrap();
    let [pool, vcpus] = [luo_tests::POOL, luo_tests::VCPUS].map(luo_core::Kind::literal);
    let told = host.journal.order(new.id, Act::Finish);
    assert_eq!(told, [one, three, Who::Shared(pool), Who::Subsystem(vcpus)]);
    assert_eq!(host.journal.order(new.id, Act::Discard).len(), 1, "token 2 of session a");
    new.assert_clean();
}

/// A file whose retrieve failed is unclaimed too: its frames are neither lost (D7) nor let go without being named.
#[test]
fn a_file_that_failed_is_given_up_only_by_name() {
    // At the beginning of its callback, and at the end: the pool was made in between.
    for at in [0, 3] {
        let host = Host::new();
        let mut new = arrived(&host, By::Kexec);
        host.journal.refuse_next(at);
        new.retrieve("a", 1).unwrap_err();
        new.retrieve("a", 2).unwrap();
        new.retrieve("b", 3).unwrap();
        let Stuck { kept: new, error } = new.finish().unwrap_err();
        let FinishError::Unclaimed(unclaimed) = error else { panic!("{error}") };
        assert_eq!(unclaimed.tokens, [(session("a"), Token(1))]);
        new.finish_discarding(&[(session("a"), Token(1))]).unwrap().assert_clean();
    }
}

/// A program that goes away without finishing has finished nothing: what arrived is preserved still, and no callback
/// ran. Who dies like this takes the guest with it, as any crash does.
#[test]
fn going_away_is_not_finishing() {
    let host = Host::new();
    let mut new = arrived(&host, By::Exec);
    new.retrieve("a", 1).unwrap();
    let id = new.id;
    drop(new);
    for act in [Act::CanFinish, Act::Finish, Act::Discard] {
        assert_eq!(host.journal.order(id, act), []);
    }
    host.adopt(&Build::standard()).expect_err("there is no offer");
    host.check();
}

/// Finishing releases what carried the files and nothing of the files themselves.
#[test]
fn all_frames_come_back() {
    for by in By::ALL {
        let host = Host::new();
        let new = arrived(&host, by);
        let census = new.updated.luo().memory().census().unwrap();
        assert_eq!(
            frame_count(&census.preserved),
            5 * 2 + 1 + 2,
            "arrays of three files, the pool and the vCPUs; the root; the image"
        );
        let gone = [("a", 1), ("a", 2), ("b", 3)].map(|(name, token)| (session(name), Token(token)));
        let new = new.finish_discarding(&gone).unwrap();
        assert_no_frames(&new.luo.memory().census().unwrap());
        new.assert_clean();
    }
}
