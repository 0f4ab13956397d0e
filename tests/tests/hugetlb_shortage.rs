//! Promise: where huge pages are short, plan says so beforehand, the successor is refused with the numbers, and nothing
//! is lost: the next attempt may find more.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use luo_core::conformance::{Ground, SimGround};
use luo_core::{Luo, Passage, Registry, Token};
use luo_hugetlb::sim::{SimHost, SimHuge};
use luo_hugetlb::{DESCRIPTOR, HugetlbError, HugetlbFile, HugetlbFiles, Linux, PageSize, Shortage};
use luo_kho::FrameCount;
use luo_kho::carrier::CarrierError;
use luo_kho::sim::MachineConfig;
use luo_tests::hugetlb::{Guest, PAGE, Way, borrow, holds, journey, update};
use luo_tests::journey::Stations;
use luo_tests::session;
use rustix::fs::{FallocateFlags, fallocate};

const TWO: PageSize = PageSize::MIB_2;

/// A user of huge pages that comes at the wrong time.
fn somebody_else(pages: u64) -> HugetlbFile {
    let file = HugetlbFile::create("somebody else", pages * PAGE, TWO).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, pages * PAGE).unwrap();
    file
}

#[test]
fn plan_says_what_is_needed_and_what_will_be_missing() {
    let Some(_pages) = borrow("plan_says_what_is_needed_and_what_will_be_missing", TWO, 4) else { return };
    let guest = Guest::filled(8, &[0, 1, 5]);
    let why = |way: Way| {
        let crossed =
            journey(way, move || way.handler()).cross(std::slice::from_ref(&guest.0), Stations::default());
        crossed.map(|came| came.plan.files[0].passages[0].clone())
    };
    assert_eq!(why(Way::Reference).unwrap(), Passage::ByReference);
    // The update itself fails, as the plan had said: so the plan is asked alone.
    let ground = Way::Copy.ground();
    let mut registry = Registry::new();
    registry.handler(Way::Copy.handler()).unwrap();
    let (mut luo, _owned) =
        Luo::found(ground.found().unwrap(), registry).map_err(|stuck| stuck.error).unwrap();
    luo.open_session(session("vm")).unwrap();
    luo.preserve(session("vm"), Token(0), guest.0.clone()).map_err(|stuck| stuck.error).unwrap();
    let carrier = ground.carrier(Box::new(|| Ok(())));
    let plan = luo.plan(&[&*carrier], None).to_string();
    let said = "(huge pages stay; a copy needs 3 pages of 2048 KiB, node 0: 3, free 1; \
                1 are free and not reserved; 2 will be missing)";
    assert!(plan.contains("by copy of ") && plan.contains(said), "{plan}");
    let refused = why(Way::Copy).unwrap_err();
    assert!(
        refused.contains("3 pages of 2048 KiB are needed, 1 can be had (node 0: 1 free): 2 are missing"),
        "{refused}"
    );
    // Freed pages are enough.
    assert!(
        matches!(why(Way::Free).unwrap(), Passage::ByCopy { why, .. } if why.contains("none will be missing"))
    );
}

#[test]
fn a_pool_that_is_taken_between_plan_and_retrieve_is_told_with_numbers_and_nothing_is_lost() {
    let test = "a_pool_that_is_taken_between_plan_and_retrieve_is_told_with_numbers_and_nothing_is_lost";
    let Some(_pages) = borrow(test, TWO, 4) else { return };
    let guest = Guest::filled(4, &[1, 3]);
    let mut thief = None;
    let stations = Stations { frozen: Box::new(|| thief = Some(somebody_else(1))), ..Stations::default() };
    let refused = journey(Way::Copy, || Way::Copy.handler()).cross(std::slice::from_ref(&guest.0), stations);
    let refused = refused.unwrap_err();
    assert!(
        refused.contains("2 pages of 2048 KiB are needed, 1 can be had (node 0: 1 free): 1 are missing"),
        "{refused}"
    );
    assert!(holds(&guest.0, &[1, 3]));
    drop(thief);
    assert!(holds(&update(Way::Copy, &guest.0, || ()).unwrap(), &[1, 3]), "another attempt");
}

/// Somebody takes pages after they were counted: while the copy is being made.
#[test]
fn a_pool_that_is_taken_while_a_copy_is_made_is_told_and_all_is_given_back() {
    let test = "a_pool_that_is_taken_while_a_copy_is_made_is_told_and_all_is_given_back";
    let Some(pages) = borrow(test, TWO, 6) else { return };
    let guest = Guest::filled(3, &[0, 1, 2]);
    let thief = std::sync::Arc::new(std::sync::Mutex::new(None));
    let handler = {
        let thief = std::sync::Arc::clone(&thief);
        move || {
            let thief = std::sync::Arc::clone(&thief);
            HugetlbFiles::new(Linux::new()).on_progress(move |progress| {
                if progress.direction == luo_hugetlb::Direction::Making && progress.done.get() == PAGE {
                    *thief.lock().unwrap() = Some(somebody_else(2));
                }
            })
        }
    };
    let refused = journey(Way::Copy, handler).cross(std::slice::from_ref(&guest.0), Stations::default());
    let refused = refused.unwrap_err();
    assert!(
        refused.contains("3 pages of 2048 KiB are needed, 1 can be had (node 0: 0 free): 2 are missing"),
        "{refused}"
    );
    assert!(holds(&guest.0, &[0, 1, 2]));
    thief.lock().unwrap().take();
    assert_eq!(pages.unreserved(), Some(3), "what the copy had got");
    assert!(holds(&update(Way::Copy, &guest.0, || ()).unwrap(), &[0, 1, 2]), "another attempt");
}

/// A host with pages of 64 KiB writes; Linux on this machine has none of them.
#[test]
fn a_successor_without_pages_of_that_size_names_the_sizes_that_it_has() {
    let odd = PageSize::new(128 << 10).unwrap();
    let host = SimHost::new(&[(odd, &[4])]);
    let ground = SimGround::kexec()
        .with(MachineConfig::default().frames(FrameCount::new(1 << 14).unwrap()))
        .refusing(DESCRIPTOR, "huge pages stay");
    let mut near = Registry::new();
    near.handler(HugetlbFiles::new(host.clone())).unwrap();
    let guest = host.memfd("guest", odd);
    guest.resize(odd.bytes()).and_then(|()| guest.write_at(0, b"kept")).unwrap();

    let (mut luo, owned) = Luo::found(ground.found().unwrap(), near).map_err(|stuck| stuck.error).unwrap();
    luo.open_session(session("vm")).unwrap();
    luo.preserve(session("vm"), Token(0), guest).map_err(|stuck| stuck.error).unwrap();
    let adopt =
        |registry| Luo::adopt(ground.successor().unwrap(), registry).map_err(|stuck| stuck.error).unwrap();
    let mut arrived = None;
    let mut carrier = ground.carrier(Box::new(|| {
        let mut real = Registry::new();
        real.handler(HugetlbFiles::new(Linux::new())).unwrap();
        let error = adopt(real).retrieve::<HugetlbFile>(session("vm"), Token(0)).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("1 pages of 128 KiB are needed, this host has no pages of that size"),
            "{said}"
        );
        // Another attempt, on a host that has them.
        let other = SimHost::new(&[(odd, &[0, 1])]);
        let mut simulated = Registry::new();
        simulated.handler(HugetlbFiles::new(other)).unwrap();
        let mut adopted = adopt(simulated);
        let guest: SimHuge = adopted.retrieve(session("vm"), Token(0)).unwrap();
        let (updated, _owned) = adopted.commit().map_err(|stuck| stuck.error).unwrap();
        updated.finish().map_err(|stuck| stuck.error).unwrap();
        arrived = Some(guest);
        Ok::<_, CarrierError>(())
    }));
    let frozen = luo.prepare(&mut *carrier).unwrap().freeze(owned).map_err(|stuck| stuck.error).unwrap();
    // The kernel is replaced: this side is gone.
    drop(frozen.hand_over());
    drop(carrier);
    let mut text = [0; 4];
    arrived.unwrap().read_at(0, &mut text);
    assert_eq!(&text, b"kept");
}

#[test]
fn a_page_punched_between_prepare_and_freeze_is_a_hole_on_the_other_side() {
    let test = "a_page_punched_between_prepare_and_freeze_is_a_hole_on_the_other_side";
    let Some(_pages) = borrow(test, TWO, 6) else { return };
    for way in Way::ALL {
        let guest = Guest::filled(4, &[0, 1, 2]);
        let punch = || {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&guest.0, hole, PAGE, PAGE).unwrap();
        };
        let after = update(way, &guest.0, punch).unwrap();
        assert!(holds(&after, &[0, 2]), "{way:?}");
    }
}

#[test]
fn a_size_that_the_machine_lacks_cannot_be_made() {
    let odd = PageSize::new(128 << 10).unwrap();
    let error = HugetlbFile::create("guest", odd.bytes(), odd).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NODEV.raw_os_error()));
    let short = luo_hugetlb::Pool::can_give(&[], odd, 1).unwrap_err();
    assert!(matches!(HugetlbError::from(short), HugetlbError::Shortage(Shortage::NoSuchSize { .. })));
}
