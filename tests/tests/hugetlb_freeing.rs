//! Promise: where there is no room for a file twice, its pages are freed while they are copied, while everything is
//! frozen; what fails then is taken back as far as pages can be had, and what cannot be had is named and kept.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::cell::RefCell;
use std::rc::Rc;

use luo_core::conformance::Ground;
use luo_core::{Irrevocable, Luo, Registry, Token};
use luo_hugetlb::{DESCRIPTOR, FreeTo, HugetlbFile, HugetlbFiles, Linux, PageSize, Strandings};
use luo_kho::carrier::CarrierError;
use luo_tests::hugetlb::{Borrowed, Guest, PAGE, Way, borrow, holds, journey, look, runs, update};
use luo_tests::journey::Stations;
use luo_tests::memfd::ProcessGround;
use luo_tests::session;
use rustix::fs::{FallocateFlags, fallocate};

const TWO: PageSize = PageSize::MIB_2;

fn freeing(to: FreeTo) -> HugetlbFiles<Linux> {
    HugetlbFiles::new(Linux::new()).freeing(to, Irrevocable::knowingly())
}

fn free(pages: &Borrowed) -> u64 {
    pages.unreserved().unwrap()
}

#[test]
fn a_pool_with_no_page_left_is_enough() {
    let Some(pages) = borrow("a_pool_with_no_page_left_is_enough", TWO, 3) else { return };
    let guest = Guest::filled(5, &[0, 2, 4]);
    let refused = update(Way::Copy, &guest.0, || ()).unwrap_err();
    assert!(refused.contains("0 can be had"), "{refused}");
    let mut when_frozen = None;
    let stations = Stations {
        meanwhile: Box::new(|| assert_eq!(free(&pages), 0, "nothing is freed before freeze")),
        frozen: Box::new(|| when_frozen = Some((free(&pages), look(&guest.0).blocks))),
        ..Stations::default()
    };
    let came = journey(Way::Free, || freeing(FreeTo::Pool)).cross(std::slice::from_ref(&guest.0), stations);
    let came = came.unwrap();
    assert_eq!(when_frozen, Some((3, 0)));
    assert!(holds(&came.files[0], &[0, 2, 4]));
    assert!(came.cost.arena < 1 << 20, "{}", came.cost.arena);
}

#[test]
fn freed_pages_leave_their_pool_and_come_back() {
    let Some(pages) = borrow("freed_pages_leave_their_pool_and_come_back", TWO, 3) else { return };
    let guest = Guest::filled(3, &[0, 1, 2]);
    let total = || pages.pool().unwrap().total();
    let before = total();
    let mut when_frozen = None;
    let stations = Stations { frozen: Box::new(|| when_frozen = Some(total())), ..Stations::default() };
    let journey = journey(Way::Free, || freeing(FreeTo::CommonMemory));
    let came = journey.cross(std::slice::from_ref(&guest.0), stations).unwrap();
    assert_eq!(when_frozen, Some(before - 3));
    assert_eq!(total(), before);
    assert!(holds(&came.files[0], &[0, 1, 2]));
}

/// An update that gets as far as the successor, which says no. `meanwhile` happens while it is asked.
fn refused_by_the_successor(
    guest: &Guest,
    to: FreeTo,
    meanwhile: impl FnMut(),
) -> (Luo<luo_kho::process::ProcessKho>, Strandings<Linux>) {
    let ground = ProcessGround::new().refusing_kind(DESCRIPTOR, "huge pages stay");
    let handler = freeing(to);
    let strandings = handler.strandings();
    let mut registry = Registry::new();
    registry.handler(handler).unwrap();
    let (mut luo, owned) =
        Luo::found(ground.found().unwrap(), registry).map_err(|stuck| stuck.error).unwrap();
    luo.open_session(session("vm")).unwrap();
    luo.preserve(session("vm"), Token(0), guest.0.clone()).map_err(|stuck| stuck.error).unwrap();
    let meanwhile = Rc::new(RefCell::new(meanwhile));
    {
        let mut carrier = ground.carrier(Box::new(|| {
            (meanwhile.borrow_mut())();
            Err(CarrierError::Refused { reason: "not today".to_owned() })
        }));
        let frozen = luo.prepare(&mut *carrier).unwrap().freeze(owned).map_err(|stuck| stuck.error).unwrap();
        assert_eq!(look(&guest.0).blocks, 0);
        // Back to where the guests run.
        drop(frozen.hand_over().unwrap_err());
    }
    (luo, strandings)
}

#[test]
fn what_was_freed_is_taken_back_when_the_update_fails() {
    let Some(pages) = borrow("what_was_freed_is_taken_back_when_the_update_fails", TWO, 3) else { return };
    for to in [FreeTo::Pool, FreeTo::CommonMemory] {
        let guest = Guest::filled(6, &[1, 2, 5]);
        let total = pages.pool().unwrap().total();
        let (luo, strandings) = refused_by_the_successor(&guest, to, || ());
        assert_eq!((strandings.pages(), pages.pool().unwrap().total()), (vec![], total), "{to:?}");
        assert!(holds(&guest.0, &[1, 2, 5]), "{to:?}");
        drop((luo, guest));
        assert_eq!(free(&pages), 3);
    }
}

#[test]
fn pages_that_cannot_be_had_again_are_named_and_kept_until_they_can() {
    let test = "pages_that_cannot_be_had_again_are_named_and_kept_until_they_can";
    let Some(_pages) = borrow(test, TWO, 3) else { return };
    let guest = Guest::filled(4, &[0, 1, 3]);
    let mut thief = None;
    let (mut luo, strandings) = refused_by_the_successor(&guest, FreeTo::Pool, || {
        let file = HugetlbFile::create("somebody else", 2 * PAGE, TWO).unwrap();
        fallocate(&file, FallocateFlags::empty(), 0, 2 * PAGE).unwrap();
        thief = Some(file);
    });
    let waiting = strandings.pages();
    assert_eq!((waiting.len(), waiting[0].1), (1, 2));
    assert_eq!(waiting[0].0.to_string(), "memfd `guest`");
    assert_eq!(runs(&guest.0).into_iter().map(|run| run.pages.end - run.pages.start).sum::<u64>(), 1);

    // The file is refused as long as it is not whole.
    let ground = ProcessGround::new().refusing_kind(DESCRIPTOR, "huge pages stay");
    let mut carrier = ground.carrier(Box::new(|| Ok(())));
    let refused = luo.prepare(&mut *carrier).map(drop).unwrap_err().to_string();
    assert!(refused.contains("2 of its pages were freed and cannot be had again yet"), "{refused}");
    assert_eq!(strandings.bring_back(), 2);

    drop(thief);
    assert_eq!((strandings.bring_back(), strandings.pages()), (0, vec![]));
    assert!(holds(&guest.0, &[0, 1, 3]));
    drop(luo.prepare(&mut *carrier).unwrap());
}
