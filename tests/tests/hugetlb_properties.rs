//! Promise: every property of a file of huge pages crosses an update, or the update says why it cannot. One test for
//! each, on real memfds of 2 MiB pages: by reference, by copy, and by a copy that frees pages.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;

use luo_hugetlb::{
    Access, CopyWhen, HugetlbFile, HugetlbFiles, Linux, NAME_MAX, Name, Owner, PageSize, Place, Port, Seals,
    Status,
};
use luo_tests::hugetlb::{
    Borrowed, Guest, PAGE, Way, borrow, hidden, holds, journey, look, portrait, runs, update,
};
use luo_tests::journey::Stations;
use rustix::fs::{
    FallocateFlags, FlockOperation, Mode, SealFlags, SeekFrom, Timespec, Timestamps, fallocate, fchmod,
    fchown, fcntl_add_seals, fcntl_setfl, flock, ftruncate, futimens, seek,
};
use rustix::io::{Errno, FdFlags, fcntl_setfd, pread};

const TWO: PageSize = PageSize::MIB_2;

fn pages(test: &str, count: u64) -> Option<Borrowed> {
    borrow(test, TWO, count)
}

/// The file on the other side, which is all that it was.
#[track_caller]
fn crosses(way: Way, file: &HugetlbFile) -> HugetlbFile {
    let before = portrait(file);
    let after = update(way, file, || ()).unwrap();
    assert_eq!(portrait(&after), before, "{way:?}");
    after
}

#[test]
fn contents_and_holes_cross() {
    let Some(_pages) = pages("contents_and_holes_cross", 6) else { return };
    for way in Way::ALL {
        let guest = Guest::filled(512, &[0, 7, 511]);
        let after = crosses(way, &guest.0);
        assert!(holds(&after, &[0, 7, 511]), "{way:?}");
        assert_eq!(look(&after).blocks, 3 * PAGE / 512, "holes take no pages");
    }
}

#[test]
fn looking_and_searching_take_no_page() {
    let Some(pages) = pages("looking_and_searching_take_no_page", 2) else { return };
    let guest = Guest::filled(1 << 18, &[1 << 17]);
    let before = pages.pool().unwrap();
    let found = runs(&guest.0);
    assert_eq!((found.len(), found[0].pages.clone()), (1, 1 << 17..(1 << 17) + 1), "in 512 GiB of hole");
    assert_eq!((pages.pool().unwrap(), look(&guest.0).blocks), (before, PAGE / 512));
}

#[test]
fn the_page_size_crosses_whatever_sizes_the_machine_has() {
    let test = "the_page_size_crosses_whatever_sizes_the_machine_has";
    let pools = Linux::new().pools().unwrap();
    if pools.is_empty() {
        println!("SKIPPED: {test}: this machine has no huge pages");
    }
    for pool in pools {
        let size = pool.page_size;
        let Some(_pages) = borrow(test, size, 2) else { continue };
        for way in [Way::Reference, Way::Copy] {
            let file = HugetlbFile::create("guest", 3 * size.bytes(), size).unwrap();
            let (port, draft) = (Linux::new(), Linux::new().refill(&file, size).unwrap());
            assert!(port.populate(&draft, 1, None).unwrap());
            port.write(&draft, size.bytes() + 4096, b"one page").unwrap();
            drop(draft);
            let after = update(way, &file, || ()).unwrap();
            let mut text = [0; 8];
            pread(&after, &mut text, size.bytes() + 4096).unwrap();
            assert_eq!((&text, port.page_size(&after).unwrap()), (b"one page", size));
            let found: Vec<u64> = runs(&after).into_iter().flat_map(|run| run.pages).collect();
            assert_eq!(found, [1]);
        }
    }
}

/// The kernel's RFC fills holes, because it pins every page.
#[test]
fn a_file_that_is_one_hole_stays_one() {
    let Some(_pages) = pages("a_file_that_is_one_hole_stays_one", 0) else { return };
    for way in Way::ALL {
        for count in [0, 1, 1 << 16] {
            let after = crosses(way, &Guest::new(count).0);
            assert_eq!((look(&after).size, look(&after).blocks), (count * PAGE, 0));
        }
    }
}

#[test]
fn the_position_crosses_as_it_is_at_freeze() {
    let Some(_pages) = pages("the_position_crosses_as_it_is_at_freeze", 0) else { return };
    for way in Way::ALL {
        let guest = Guest::new(1);
        let after = update(way, &guest.0, || assert_eq!(seek(&guest.0, SeekFrom::Start(5000)), Ok(5000)));
        assert_eq!(look(&after.unwrap()).position, 5000);
    }
}

/// The kernel's RFC forgets seals.
#[test]
fn seals_cross_as_they_are_at_freeze() {
    let Some(_pages) = pages("seals_cross_as_they_are_at_freeze", 2) else { return };
    for way in [Way::Reference, Way::Copy] {
        for bits in 0..=Seals::KNOWN.bits() {
            let guest = Guest::new(1);
            fchmod(&guest.0, Mode::from_raw_mode(0o600)).unwrap();
            let late = || fcntl_add_seals(&guest.0, SealFlags::from_bits_retain(bits)).unwrap();
            assert_eq!(look(&update(way, &guest.0, late).unwrap()).seals, look(&guest.0).seals);
        }
        let guest = Guest::filled(2, &[1]);
        fcntl_add_seals(&guest.0, SealFlags::WRITE | SealFlags::SHRINK).unwrap();
        assert!(holds(&crosses(way, &guest.0), &[1]), "copied before the pause");
    }
}

#[test]
fn a_sealed_file_keeps_its_pages_where_they_would_be_freed() {
    let Some(_pages) = pages("a_sealed_file_keeps_its_pages_where_they_would_be_freed", 2) else { return };
    for (seal, late) in [(SealFlags::WRITE, false), (SealFlags::FUTURE_WRITE, true)] {
        let guest = Guest::filled(1, &[0]);
        let add = || fcntl_add_seals(&guest.0, seal).unwrap();
        if !late {
            add();
        }
        let refused = update(Way::Free, &guest.0, || {
            if late {
                add();
            }
        })
        .unwrap_err();
        assert!(refused.contains("cannot be freed while they are copied: the file is sealed"), "{refused}");
        assert!(holds(&guest.0, &[0]));
    }
}

#[test]
fn mode_owner_and_times_cross() {
    let Some(_pages) = pages("mode_owner_and_times_cross", 0) else { return };
    for way in Way::ALL {
        let guest = Guest::new(1);
        let (user, group) = (rustix::fs::Uid::from_raw(1000), rustix::fs::Gid::from_raw(100));
        if fchown(&guest.0, Some(user), Some(group)).is_err() {
            println!("SKIPPED: mode_owner_and_times_cross: this user may not give files away");
            return;
        }
        fchmod(&guest.0, Mode::from_raw_mode(0o640)).unwrap();
        let at = |tv_sec| Timespec { tv_sec, tv_nsec: 123_456_789 };
        futimens(&guest.0, &Timestamps { last_access: at(1000), last_modification: at(2000) }).unwrap();
        let after = look(&crosses(way, &guest.0));
        assert_eq!((after.mode, after.owner), (0o640, Owner { user: 1000, group: 100 }));
        assert_eq!((after.times.accessed.seconds, after.times.modified.nanoseconds), (1000, 123_456_789));
    }
}

#[test]
fn the_access_crosses() {
    let Some(_pages) = pages("the_access_crosses", 4) else { return };
    for way in Way::ALL {
        let guest = Guest::filled(2, &[1]);
        let reader = guest.reopen(OpenOptions::new().read(true));
        assert_eq!(look(&crosses(way, &reader)).access, Access::Read);
        // Where its pages were freed the file is empty now.
        let guest = Guest::filled(2, &[0]);
        let writer = guest.reopen(OpenOptions::new().write(true));
        let after = crosses(way, &writer);
        assert_eq!(look(&after).access, Access::Write);
        assert_eq!(pread(&after, &mut [0; 1], 0), Err(Errno::BADF));
    }
}

#[test]
fn status_flags_and_close_on_exec_cross() {
    let Some(_pages) = pages("status_flags_and_close_on_exec_cross", 0) else { return };
    for way in Way::ALL {
        let guest = Guest::new(1);
        let late = || {
            fcntl_setfl(&guest.0, rustix::fs::OFlags::APPEND | rustix::fs::OFlags::NONBLOCK).unwrap();
            fcntl_setfd(&guest.0, FdFlags::empty()).unwrap();
        };
        let after = look(&update(way, &guest.0, late).unwrap());
        assert_eq!((after.status, after.close_on_exec), (Status::APPEND | Status::NONBLOCK, false));
        let sync = guest.reopen(OpenOptions::new().read(true).write(true).custom_flags(0o4_010_000));
        assert_eq!(look(&crosses(way, &sync)).status, Status::SYNC | Status::DSYNC);
    }
}

#[test]
fn the_name_crosses_whatever_it_is() {
    let Some(_pages) = pages("the_name_crosses_whatever_it_is", 0) else { return };
    for way in Way::ALL {
        for name in ["", "guest memory", "a/b\n (deleted)", &"n".repeat(NAME_MAX)] {
            let file = HugetlbFile::create(name, PAGE, TWO).unwrap();
            let after = crosses(way, &file);
            assert_eq!(Linux::new().place(&after).unwrap(), Place::Memfd(Name::new(name).unwrap()));
        }
    }
}

#[test]
fn a_reference_is_the_same_open_file_and_a_copy_is_another() {
    let Some(_pages) = pages("a_reference_is_the_same_open_file_and_a_copy_is_another", 0) else { return };
    for way in Way::ALL {
        let guest = Guest::new(1);
        let after = crosses(way, &guest.0);
        let same = Linux::new().identity(&after) == Linux::new().identity(&guest.0);
        assert_eq!(same, way == Way::Reference);
    }
}

/// What the kernel's RFC forbids with a flag of the inode: here users change the file until freeze, and what it is then
/// crosses.
#[test]
fn a_file_may_grow_shrink_and_be_punched_until_freeze() {
    let Some(_pages) = pages("a_file_may_grow_shrink_and_be_punched_until_freeze", 6) else { return };
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for way in Way::ALL {
        let guest = Guest::filled(8, &[0, 3, 7]);
        let changed = || {
            fallocate(&guest.0, punch, 0, PAGE).unwrap();
            ftruncate(&guest.0, 6 * PAGE).unwrap();
            guest.fill(5);
        };
        let after = update(way, &guest.0, changed).unwrap();
        assert!(holds(&after, &[3, 5]), "{way:?}");
        assert_eq!(look(&after).size, 6 * PAGE);
        drop((after, guest));
        if way != Way::Free {
            let guest = Guest::filled(1, &[0]);
            let grown = || {
                ftruncate(&guest.0, 9 * PAGE).unwrap();
                guest.fill(8);
            };
            assert!(holds(&update(way, &guest.0, grown).unwrap(), &[0, 8]), "{way:?}");
        }
    }
}

#[test]
fn more_pages_than_prepare_reserved_for_are_refused_with_numbers() {
    let Some(_pages) = pages("more_pages_than_prepare_reserved_for_are_refused_with_numbers", 4) else {
        return;
    };
    for way in Way::COPIES {
        let guest = Guest::filled(8, &[0]);
        let many = || [1, 2, 3].into_iter().for_each(|page| guest.fill(page));
        let refused = update(way, &guest.0, many).unwrap_err();
        assert!(refused.contains("4 pages are populated, prepare reserved frames for 2"), "{refused}");
        assert!(holds(&guest.0, &[0, 1, 2, 3]), "nothing was lost");
    }
}

/// A mapping of the whole file promises pages to it: `resv_hugepages`.
#[test]
fn reservations_stay_by_reference_and_are_made_again_by_mapping_a_copy() {
    let test = "reservations_stay_by_reference_and_are_made_again_by_mapping_a_copy";
    let Some(pages) = pages(test, 6) else { return };
    let map = |file: &HugetlbFile| {
        let map = memmap2::MmapOptions::new().len(3 << 21).map_raw(&file.to_file().unwrap());
        map.unwrap()
    };
    for way in [Way::Reference, Way::Copy] {
        let guest = Guest::filled(3, &[1]);
        let mapped = map(&guest.0);
        let reserved = || pages.pool().unwrap().reserved;
        assert_eq!(reserved(), 2, "one of the three pages is there");
        let after = update(way, &guest.0, || ()).unwrap();
        drop((mapped, guest));
        let expected = if way == Way::Reference { 2 } else { 0 };
        assert_eq!(reserved(), expected, "{way:?}");
        let mapped = map(&after);
        assert_eq!(reserved(), 2, "{way:?}");
        drop((mapped, after));
        assert_eq!(reserved(), 0);
    }
}

/// Free, total and surplus pages: what an update takes, it gives back.
#[test]
fn the_pool_has_the_same_counts_when_all_is_over() {
    let Some(pages) = pages("the_pool_has_the_same_counts_when_all_is_over", 6) else { return };
    let before = pages.pool().unwrap();
    for way in Way::ALL {
        let guest = Guest::filled(4, &[0, 2]);
        let after = update(way, &guest.0, || ()).unwrap();
        drop(guest);
        assert_eq!(pages.pool().unwrap().free(), before.free() - 2, "{way:?}");
        drop(after);
        assert_eq!(pages.pool().unwrap(), before, "{way:?}");
    }
}

#[test]
fn the_placement_is_recorded_by_node() {
    let Some(pages) = pages("the_placement_is_recorded_by_node", 3) else { return };
    let guest = Guest::filled(4, &[0, 1, 3]);
    let need = HugetlbFiles::new(Linux::new()).need(&guest.0).unwrap();
    let pool = pages.pool().unwrap();
    let by_node: Vec<_> = need.placement.iter().collect();
    assert_eq!(by_node.iter().map(|(_, pages)| pages).sum::<u64>(), 3);
    for (node, pages) in by_node {
        let of_node = pool.nodes.iter().find(|known| known.node == node).unwrap();
        assert!(of_node.total - of_node.free >= pages, "{node}");
    }
}

#[test]
fn locks_cross_by_reference_and_forbid_a_copy() {
    let Some(_pages) = pages("locks_cross_by_reference_and_forbid_a_copy", 0) else { return };
    let guest = Guest::new(1);
    flock(&guest.0, FlockOperation::NonBlockingLockExclusive).unwrap();
    for way in Way::COPIES {
        let refused = update(way, &guest.0, || ()).unwrap_err();
        assert!(refused.contains("a copy cannot have its locks"), "{refused}");
    }
    let stranger = guest.reopen(OpenOptions::new().read(true));
    let after = update(Way::Reference, &guest.0, || ()).unwrap();
    drop(guest);
    assert_eq!(flock(&stranger, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK));
    drop(after);
    flock(&stranger, FlockOperation::NonBlockingLockShared).unwrap();
}

#[test]
fn two_descriptors_of_one_inode_are_one_file() {
    let Some(_pages) = pages("two_descriptors_of_one_inode_are_one_file", 0) else { return };
    let guest = Guest::new(1);
    let other = guest.reopen(OpenOptions::new().read(true));
    let journey = journey(Way::Reference, || Way::Reference.handler());
    let refused = journey.cross(&[guest.0, other], Stations::default()).unwrap_err();
    assert!(refused.contains("known already as token 0x0"), "{refused}");
}

#[test]
fn ordinary_memfds_are_left_to_others() {
    let memfd = luo_memfd::Memfd::create("ordinary", 4096).unwrap();
    let refused = update(Way::Reference, &memfd.into_file().unwrap().into(), || ()).unwrap_err();
    assert!(refused.contains("handler"), "{refused}");
}

#[test]
fn a_handler_that_may_not_copy_says_so() {
    let Some(_pages) = pages("a_handler_that_may_not_copy_says_so", 0) else { return };
    let journey = journey(Way::Copy, || HugetlbFiles::new(Linux::new()).copying(CopyWhen::Never));
    let refused = journey.cross(&[Guest::new(1).0], Stations::default()).unwrap_err();
    assert!(refused.contains("huge pages stay") && refused.contains("told never to"), "{refused}");
}

/// What the kernel saves of the memory that describes huge pages is its own affair; a file crosses with it as without.
#[test]
fn the_optimised_memory_map_is_the_kernels_own() {
    const SWITCH: &str = "/proc/sys/vm/hugetlb_optimize_vmemmap";
    let test = "the_optimised_memory_map_is_the_kernels_own";
    let Ok(before) = std::fs::read_to_string(SWITCH) else {
        println!("SKIPPED: {test}: this kernel does not optimise");
        return;
    };
    let Some(pages) = pages(test, 0) else { return };
    drop(pages);
    if std::fs::write(SWITCH, "1").is_err() {
        println!("SKIPPED: {test}: this user may not switch it on");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        // Taken now, so that these pages are optimised.
        let Some(_pages) = borrow(test, TWO, 2) else { return };
        for way in Way::ALL {
            assert!(holds(&crosses(way, &Guest::filled(2, &[1]).0), &[1]));
        }
    });
    std::fs::write(SWITCH, before).unwrap();
    outcome.unwrap();
}

/// The charge of a page stays with the group that took it; a copy is charged to whoever makes it.
#[test]
fn the_charge_to_a_group_stays_by_reference_and_moves_with_a_copy() {
    let test = "the_charge_to_a_group_stays_by_reference_and_moves_with_a_copy";
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").unwrap_or_default();
    if !controllers.split_whitespace().any(|name| name == "hugetlb") {
        println!("SKIPPED: {test}: groups of this machine do not count huge pages");
        return;
    }
    let Some(_pages) = pages(test, 4) else { return };
    let group =
        |name: &str| std::path::PathBuf::from(format!("/sys/fs/cgroup/luo-{name}-{}", std::process::id()));
    let (old, new) = (group("old"), group("new"));
    let enter = |group: &std::path::Path| std::fs::write(group.join("cgroup.procs"), "0");
    let charged = |group: &std::path::Path| -> u64 {
        let text = std::fs::read_to_string(group.join("hugetlb.2MB.current")).unwrap();
        text.trim().parse().unwrap()
    };
    if let Err(error) = [&old, &new].into_iter().try_for_each(std::fs::create_dir) {
        println!("SKIPPED: {test}: no group can be made: {error}");
        let _not_made = std::fs::remove_dir(&old);
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        for way in [Way::Reference, Way::Copy] {
            enter(&old).unwrap();
            let guest = Guest::filled(2, &[0, 1]);
            enter(&new).unwrap();
            let after = update(way, &guest.0, || ()).unwrap();
            drop(guest);
            let expected = if way == Way::Reference { [2 * PAGE, 0] } else { [0, 2 * PAGE] };
            assert_eq!([charged(&old), charged(&new)], expected, "{way:?}");
            drop(after);
        }
    });
    enter("/sys/fs/cgroup".as_ref()).unwrap();
    for group in [&old, &new] {
        std::fs::remove_dir(group).unwrap();
    }
    outcome.unwrap();
}

/// Surplus pages are taken from common memory where a pool overcommits, and go back there.
#[test]
fn surplus_pages_can_be_had_for_a_copy_where_the_pool_overcommits() {
    const SWITCH: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages";
    let test = "surplus_pages_can_be_had_for_a_copy_where_the_pool_overcommits";
    let Some(pages) = pages(test, 2) else { return };
    let guest = Guest::filled(2, &[0, 1]);
    let refused = update(Way::Copy, &guest.0, || ()).unwrap_err();
    assert!(refused.contains("2 pages of 2048 KiB are needed, 0 can be had"), "{refused}");
    let before = std::fs::read_to_string(SWITCH).unwrap();
    if let Err(error) = std::fs::write(SWITCH, "2") {
        println!("SKIPPED: {test}: the pool cannot be told to overcommit: {error}");
        return;
    }
    let outcome = update(Way::Copy, &guest.0, || ());
    std::fs::write(SWITCH, before).unwrap();
    let after = outcome.unwrap();
    assert!(holds(&after, &[0, 1]));
    drop((guest, after));
    assert_eq!(pages.pool().unwrap().free(), 2);
}

#[test]
fn pages_that_are_mapped_now_cross_too() {
    let Some(_pages) = pages("pages_that_are_mapped_now_cross_too", 4) else { return };
    for way in [Way::Reference, Way::Copy] {
        let guest = Guest::filled(2, &[0, 1]);
        let map = memmap2::MmapOptions::new().len(2 << 20).map_raw(&guest.0.to_file().unwrap()).unwrap();
        assert!(holds(&crosses(way, &guest.0), &[0, 1]));
        drop(map);
    }
}

/// A machine without huge pages, as this test program sees one: `/sys` shows none.
#[test]
fn without_huge_pages_every_test_says_that_it_is_skipped_and_why() {
    let test = "without_huge_pages_every_test_says_that_it_is_skipped_and_why";
    let own = std::env::current_exe().unwrap();
    let run = |arguments: &[&str]| {
        let child = std::process::Command::new(&own).args(arguments).output().unwrap();
        (child.status.success(), String::from_utf8_lossy(&child.stdout).into_owned())
    };
    let (_, listed) = run(&["--list", "--format", "terse"]);
    let names: Vec<_> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    // These ask for no page, or for those of every size that there is.
    let others = [test, "ordinary_memfds_are_left_to_others"];
    let every_size = "the_page_size_crosses_whatever_sizes_the_machine_has";
    hidden(test, "/sys/kernel/mm/hugepages", || {
        let (passed, said) = run(&["--nocapture", "--test-threads", "1", "--skip", test]);
        assert!(passed, "{said}");
        for name in names.iter().filter(|name| !others.contains(name)) {
            let line = format!("SKIPPED: {name}: ");
            let found = said.lines().filter_map(|said| said.split_once(&line)).map(|(_, why)| why);
            let reasons: Vec<_> = found.collect();
            assert!(!reasons.is_empty() && reasons.iter().all(|why| !why.is_empty()), "{name}:\n{said}");
        }
        let why = "6 pages of 2048 KiB are needed, this host has no pages of that size, nor of any other";
        assert!(said.contains(&format!("SKIPPED: contents_and_holes_cross: {why}")), "{said}");
        assert!(said.contains(&format!("SKIPPED: {every_size}: this machine has no huge pages")), "{said}");
    });
}
