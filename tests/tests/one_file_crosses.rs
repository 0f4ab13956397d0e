//! A file crosses, and is the same on the other side: the kernel's `luo_kexec_simple`.

use luo_core::State;
use luo_tests::{Act, Build, By, Host, Who};

#[test]
fn contents_position_and_flags_are_as_they_were() {
    for by in By::ALL {
        let host = Host::new();
        let mut old = host.found(&Build::standard());
        let file = host.note("hello kexec world");
        file.change(|contents| (contents.position, contents.flags) = (6, 0b101));
        old.preserve("test-session", 0x1A, &file);
        let mut new = old.update(by, &Build::standard());
        let found = new.retrieve("test-session", 0x1A).unwrap();
        assert_eq!((found.contents(), found.mark()), (file.contents(), file.mark()));
        assert!(!found.is(&file), "it is another file with the same contents");
        assert_eq!((file.pins(), file.references()), (0, 1), "the predecessor has let go");
        let new = new.finish().unwrap();
        assert_eq!(new.luo.sessions().count(), 0, "an arrived session ends with finish");
        new.assert_clean();
    }
}

#[test]
fn the_guest_goes_on_exactly_once_and_where_it_stopped() {
    for by in By::ALL {
        let host = Host::new();
        let old = host.found(&Build::standard());
        let (before, party) = (old.vcpus[0].clone(), old.party);
        (0..3).for_each(|_| before.tick());
        let new = old.update(by, &Build::standard());
        assert!(!before.are_running() && new.vcpus[0].are_running());
        assert_eq!(new.vcpus[0].ticks(), 3);
        assert_eq!(host.guest.runner(&host.machine), Some(new.party));
        assert_ne!(new.party, party);
        assert_eq!(new.updated.luo().state(), State::Updated);
        new.finish().unwrap().assert_clean();
    }
}

/// The guest goes on while state is written; freeze writes what it changed.
#[test]
fn what_changes_between_prepare_and_freeze_is_not_lost() {
    for by in By::ALL {
        let host = Host::new();
        let mut old = host.found(&Build::standard());
        let file = host.note([7; 10_000]);
        old.preserve("vm", 1, &file);
        let (mut arrived, build) = (None, Build::standard());
        let mut carrier = luo_tests::carrier(by, |_| host.arrive(&build, &mut arrived));
        let prepared = old.luo.prepare(&mut *carrier).unwrap();
        old.vcpus[0].tick();
        file.change(|contents| {
            contents.bytes[5000..6000].fill(9);
            contents.position = 5000;
            contents.flags = 1;
        });
        let _departed = prepared.freeze(host.guest.leave(old.party)).unwrap().hand_over().unwrap();
        drop(carrier);
        let mut new = arrived.unwrap();
        assert_eq!(new.retrieve("vm", 1).unwrap().contents(), file.contents());
        assert_eq!(new.vcpus[0].ticks(), 1);
        new.finish().unwrap().assert_clean();
    }
}

#[test]
fn callbacks_run_in_registration_order_and_finish_in_reverse() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    let marks: Vec<_> = (0..5u64)
        .map(|token| {
            let file = host.note([1, 2, 3]);
            old.preserve(if token < 3 { "a" } else { "b" }, token, &file);
            Who::File(file.mark())
        })
        .collect();
    let id = old.id;
    let vcpus = Who::Subsystem(luo_core::Kind::literal(luo_tests::VCPUS));
    let pool = Who::Shared(luo_core::Kind::literal(luo_tests::POOL));
    let all: Vec<_> = [vcpus].into_iter().chain(marks.clone()).chain([pool]).collect();
    let mut new = old.update(By::Exec, &Build::standard());
    for act in [Act::Prepare, Act::Freeze, Act::Depart] {
        assert_eq!(host.journal.order(id, act), all, "{act:?}");
    }
    let found = new.retrieve_all();
    assert_eq!(found.iter().map(|file| Who::File(file.mark())).collect::<Vec<_>>(), marks);
    let new = new.finish().unwrap();
    let finished: Vec<_> = [pool].into_iter().chain([vcpus]).collect();
    let reversed: Vec<_> = marks.into_iter().rev().chain(finished).collect();
    assert_eq!(host.journal.order(new.id, Act::Finish), reversed);
    new.assert_clean();
}
