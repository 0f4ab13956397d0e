//! Until the commit everything that an adopter learns is its own. Who comes after one that refused, died or was shut
//! out starts from identical bytes; who made the offer can take it back.

use luo_core::{AdoptError, Cause, Stuck, Token};
use luo_kho::KhoError;
use luo_kho::carrier::CarrierError;
use luo_kho::ownership::{self, Holding, OwnershipError};
use luo_tests::{Act, Build, By, Host, SimFile, carrier, refused, session};

/// All bytes that are preserved in the offer, as a successor sees them.
fn bytes_on_offer(host: &Host) -> Vec<u8> {
    use luo_kho::{Kho as _, Memory as _};
    let view = host.machine.successor().expect("there is an offer");
    let runs = view.preserved().expect("the tracker is whole");
    assert!(runs.iter().all(|run| view.is_preserved(*run)));
    let frames = runs.into_iter().flat_map(luo_kho::FrameRange::frames);
    frames.flat_map(|pfn| *view.peek(pfn).expect("a frame of the machine")).collect()
}

#[test]
fn a_second_adopter_starts_from_identical_bytes() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note("once"));
    old.preserve("s", 2, &host.note("and again"));
    old.die_offering();
    let before = bytes_on_offer(&host);
    for attempt in 0..5 {
        let mut adopter = host.adopt(&Build::standard()).unwrap();
        adopter.adopted.restore().unwrap();
        let files = adopter.adopted.retrieve_all::<SimFile>();
        assert!(
            files.iter().all(|one| one.file.is_ok()),
            "attempt {attempt}: nothing is spent by those before"
        );
        let claimed = adopter.adopted.luo().memory().census().unwrap().claimed;
        assert_eq!(luo_tests::frame_count(&claimed), 8, "arrays of two files, the pool and the vCPUs");
        if attempt % 2 == 0 {
            host.machine.kill(adopter.party);
        }
        drop(adopter);
        assert_eq!(bytes_on_offer(&host), before);
    }
    let mut last = host.adopt(&Build::standard()).unwrap().take_over().unwrap();
    assert_eq!(last.retrieve("s", 2).unwrap().bytes(), b"and again");
    assert_eq!(last.retrieve("s", 1).unwrap().bytes(), b"once");
    last.finish().unwrap().assert_clean();
}

/// The successor refuses, the predecessor goes on, changes things, and offers again: the next one gets what is new.
#[test]
fn an_offer_is_revoked_and_made_again() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    let file = host.note("version one");
    old.preserve("s", 1, &file);
    let (build, mut attempts, mut arrived, mut late) = (Build::standard(), 0, None, None);
    let mut far = carrier(By::Exec, |_| {
        attempts += 1;
        if attempts == 1 {
            let mut first = host.adopt(&build).unwrap();
            first.adopted.restore().unwrap();
            assert_eq!(first.retrieve("s", 1).unwrap().bytes(), b"version one");
            late = Some(first);
            return Err(refused("not today"));
        }
        host.arrive(&build, &mut arrived)
    });
    let prepared = old.luo.prepare(&mut *far).unwrap();
    let Stuck { kept: frozen, error } =
        prepared.freeze(host.guest.leave(old.party)).unwrap().hand_over().unwrap_err();
    assert_eq!(error.to_string(), "carrier `sim-exec` failed to hand over: the successor refused: not today");
    let (prepared, right) = frozen.unfreeze().unwrap();
    assert_eq!(host.machine.word().holding(), Holding::Running);
    let error = host.adopt(&build).unwrap_err();
    assert!(matches!(error, AdoptError::Kho(KhoError::NotOffered { .. })), "{error}");
    host.guest.enter(&host.machine, old.party, right, &old.vcpus);
    old.vcpus[0].tick();
    file.change(|contents| contents.bytes.copy_from_slice(b"version two"));
    let _departed = prepared.freeze(host.guest.leave(old.party)).unwrap().hand_over().unwrap();
    drop(far);
    let mut new = arrived.unwrap();
    assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"version two");
    assert_eq!(new.vcpus[0].ticks(), 1);
    // The one that refused wakes up and tries to commit after all: it is too late.
    let Stuck { error, .. } = late.unwrap().commit().unwrap_err();
    assert!(matches!(error.cause, Cause::Ownership(OwnershipError::Departed(_))), "{error}");
    new.finish().unwrap().assert_clean();
}

/// An adopter that read an offer which was then revoked and made again cannot commit to the new one.
#[test]
fn an_old_offer_is_worth_nothing() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note("x"));
    let (build, mut slow, mut attempts) = (Build::standard(), None, 0);
    let mut far = carrier(By::Exec, |_| {
        attempts += 1;
        if attempts == 1 {
            let mut adopter = host.adopt(&build).unwrap();
            adopter.adopted.restore().unwrap();
            slow = Some(adopter);
        } else if let Some(adopter) = slow.take() {
            let Stuck { error, .. } = adopter.commit().unwrap_err();
            assert!(matches!(error.cause, Cause::Ownership(OwnershipError::Departed(_))), "{error}");
        }
        Ok(())
    });
    let frozen = old.luo.prepare(&mut *far).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    let Stuck { kept: frozen, error } = frozen.hand_over().unwrap_err();
    assert!(matches!(error.cause, Cause::Carrier(CarrierError::Deadline { .. })), "{error}");
    let Stuck { kept: frozen, .. } = frozen.hand_over().unwrap_err();
    let right = frozen.cancel().unwrap();
    drop(far);
    old.run(right);
    old.assert_clean();
}

/// The guardian renews the offer: whoever read the old one is shut out, the program it starts commits.
#[test]
fn a_guardian_shuts_a_successor_out() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note("guarded"));
    old.die_offering();
    let mut hanging = host.adopt(&Build::standard()).unwrap();
    hanging.adopted.restore().unwrap();
    let mut guardian = host.machine.guardian();
    let offer = ownership::Offer::from_word(host.machine.word()).unwrap();
    let renewed = ownership::reoffer(&mut guardian, offer).unwrap();
    assert_eq!(renewed.word(), host.machine.word());
    let mut restarted = host.adopt(&Build::standard()).unwrap();
    let Stuck { error, .. } = hanging.commit().unwrap_err();
    assert!(matches!(error.cause, Cause::Ownership(OwnershipError::Departed(_))), "{error}");
    assert_eq!(restarted.retrieve("s", 1).unwrap().bytes(), b"guarded");
    restarted.take_over().unwrap().finish().unwrap().assert_clean();
}

#[test]
fn of_two_successors_one_commits() {
    for first_wins in [false, true] {
        let host = Host::new();
        let mut old = host.found(&Build::standard());
        old.preserve("s", 1, &host.note("one of two"));
        old.die_offering();
        let [mut first, mut second] = [0, 1].map(|_| host.adopt(&Build::standard()).unwrap());
        for adopter in [&mut first, &mut second] {
            adopter.adopted.restore().unwrap();
            assert_eq!(adopter.retrieve("s", 1).unwrap().bytes(), b"one of two");
        }
        let (winner, loser) = if first_wins { (first, second) } else { (second, first) };
        let winner = winner.commit().unwrap();
        let Stuck { kept: mut loser, error } = loser.commit().unwrap_err();
        let Cause::Ownership(OwnershipError::Departed(departed)) = error.cause else { panic!("{error}") };
        assert_eq!(departed.word(), host.machine.word());
        assert_eq!(host.guest.runner(&host.machine), Some(winner.party));
        assert_eq!(
            loser.adopted.retrieve_all::<SimFile>().len(),
            0,
            "it keeps what it has, and may do nothing with it"
        );
        drop(loser);
        let winner = winner.finish().unwrap();
        assert_eq!(host.journal.order(winner.id, Act::Finish).len(), 3);
        winner.assert_clean();
    }
}

/// The same in earnest: two threads commit at the same moment, again and again.
#[test]
fn of_two_threads_one_commits() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note("one of two"));
    old.die_offering();
    let mut wins = [0, 0];
    for _ in 0..100 {
        let host = host.fork();
        let start = std::sync::Barrier::new(2);
        let compete = || {
            let mut adopter = host.adopt(&Build::standard()).unwrap();
            adopter.adopted.restore().unwrap();
            start.wait();
            // Whoever wins enters the guest; if both did, the guest would say so.
            adopter.commit().is_ok()
        };
        let outcome = std::thread::scope(|scope| {
            let other = scope.spawn(compete);
            [compete(), other.join().unwrap()]
        });
        assert_ne!(outcome[0], outcome[1], "one wins, one loses");
        for (wins, won) in wins.iter_mut().zip(outcome) {
            *wins += u32::from(won);
        }
        host.check();
    }
    println!("{} times the one, {} times the other", wins[0], wins[1]);
}

/// The predecessor takes the offer back while a successor is about to commit: one of the two has the guest.
#[test]
fn revoke_and_commit_exclude_each_other() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note("x"));
    let (build, mut slow) = (Build::standard(), None);
    let mut far = carrier(By::Exec, |_| {
        let mut adopter = host.adopt(&build).unwrap();
        adopter.adopted.restore().unwrap();
        slow = Some(adopter);
        Err(refused("the deadline has passed"))
    });
    let frozen = old.luo.prepare(&mut *far).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    let Stuck { kept: frozen, .. } = frozen.hand_over().unwrap_err();
    drop(frozen);
    drop(far);
    let right = old.luo.take_right().expect("the predecessor has it back");
    old.run(right);
    let Stuck { error, .. } = slow.unwrap().commit().unwrap_err();
    assert!(matches!(error.cause, Cause::Ownership(OwnershipError::Departed(_))), "{error}");
    assert_eq!(old.luo.tokens(session("s")).collect::<Vec<_>>(), [Token(1)]);
    old.assert_clean();
}

/// Nothing is adopted that was not offered, and nothing twice.
#[test]
fn only_an_offer_is_adopted() {
    let host = Host::new();
    let not_offered = |host: &Host| {
        let error = host.adopt(&Build::standard()).unwrap_err();
        assert!(matches!(error, AdoptError::Kho(KhoError::NotOffered { .. })), "{error}");
    };
    not_offered(&host);
    let old = host.found(&Build::standard());
    not_offered(&host);
    let new = old.update(By::Kexec, &Build::standard());
    not_offered(&host);
    let mut program = new.finish().unwrap();
    not_offered(&host);
    program.prepare_and_cancel(&mut luo_tests::nobody());
    not_offered(&host);
    host.check();
}
