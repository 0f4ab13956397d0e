//! Promise: every property of a memfd crosses an update, or the update says why it cannot. One test for each, on real
//! memfds, by reference and by copy.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use luo_memfd::{
    Access, Attributes, CopyWhen, HeadRoom, Linux, Memfd, Memfds, NAME_MAX, Name, Owner, Port, Seals, Status,
};
use luo_tests::memfd::{MemfdUpdate, Way, contents, portrait, update};
use rustix::fs::{
    FallocateFlags, FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, SeekFrom, Timespec, Timestamps,
    XattrFlags, fallocate, fchmod, fchown, fcntl_add_seals, fcntl_setfl, fgetxattr, flock, fsetxattr,
    ftruncate, futimens, memfd_create, open, seek,
};
use rustix::io::{Errno, FdFlags, fcntl_setfd, pread, pwrite};

const PAGE: u64 = 4096;

fn made(flags: MemfdFlags) -> Memfd {
    memfd_create("guest", MemfdFlags::CLOEXEC | flags).unwrap().into()
}

/// An ordinary memfd, with two pages and some bytes in it.
fn guest() -> Memfd {
    let file = made(MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC);
    pwrite(&file, &[0xA5; 8200], 0).unwrap();
    file
}

fn reopen(file: &Memfd, way: OFlags) -> Memfd {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    open(path.as_str(), way | OFlags::CLOEXEC, Mode::empty()).unwrap().into()
}

fn look(file: &Memfd) -> Attributes {
    Linux::new().look(file).unwrap()
}

fn nothing() {}

/// The file on the other side, which is all that it was.
#[track_caller]
fn crosses(way: Way, file: &Memfd) -> Memfd {
    let before = portrait(file);
    let after = update(way).one(file, nothing).unwrap();
    assert_eq!(portrait(&after), before, "{way:?}");
    after
}

/// Files that need a privilege to be made. Says so where it lacks.
fn privileged(test: &str, what: Result<(), Errno>) -> bool {
    if let Err(errno) = what {
        println!("SKIPPED: {test}: this machine or user does not allow it ({errno})");
    }
    what.is_ok()
}

#[test]
fn contents_cross() {
    for way in Way::ALL {
        let file = guest();
        let bytes: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 251) as u8).collect();
        pwrite(&file, &bytes, 0).unwrap();
        let after = crosses(way, &file);
        assert_eq!(contents(&after), [(0..768, bytes)]);
    }
}

#[test]
fn holes_stay_holes() {
    for way in Way::ALL {
        let file = guest();
        ftruncate(&file, 1 << 30).unwrap();
        for page in [7, 8, 100, 262_143] {
            pwrite(&file, b"x", page * PAGE).unwrap();
        }
        let after = crosses(way, &file);
        let runs: Vec<_> = contents(&after).into_iter().map(|(run, _)| run).collect();
        assert_eq!(runs, [0..3, 7..9, 100..101, 262_143..262_144]);
        assert_eq!(look(&after).blocks, look(&file).blocks, "and take no memory");
    }
}

#[test]
fn reserved_pages_cross_by_reference_and_are_holes_in_a_copy() {
    for way in Way::ALL {
        let file = guest();
        fallocate(&file, FallocateFlags::empty(), 0, 64 * PAGE).unwrap();
        fallocate(&file, FallocateFlags::KEEP_SIZE, 64 * PAGE, 16 * PAGE).unwrap();
        assert_eq!((look(&file).pages(), look(&file).pages_kept()), (64, 80));
        let after = crosses(way, &file);
        assert_eq!(look(&after).pages_kept(), if way == Way::Reference { 80 } else { 3 });
    }
}

#[test]
fn the_size_crosses_whatever_it_is() {
    for way in Way::ALL {
        for size in [0, 1, PAGE - 1, PAGE, PAGE + 1, 8201, 1 << 40] {
            let file = guest();
            ftruncate(&file, size).unwrap();
            assert_eq!(look(&crosses(way, &file)).size, size);
        }
    }
}

/// Linux 7.3 refuses files of more than 2^32 - 1 pages.
#[test]
fn more_pages_than_a_u32_counts_are_no_limit() {
    for way in Way::ALL {
        let file = guest();
        ftruncate(&file, 17 << 40).unwrap();
        pwrite(&file, b"far away", (17 << 40) - 8).unwrap();
        let after = crosses(way, &file);
        assert_eq!(contents(&after).last().unwrap().1, [&[0; 4088], &b"far away"[..]].concat());
    }
}

#[test]
fn the_position_crosses_as_it_is_at_freeze() {
    for way in Way::ALL {
        let file = guest();
        seek(&file, SeekFrom::Start(3)).unwrap();
        let after =
            update(way).one(&file, || assert_eq!(seek(&file, SeekFrom::Start(5000)), Ok(5000))).unwrap();
        assert_eq!(look(&after).position, 5000);
    }
}

#[test]
fn every_set_of_seals_crosses() {
    for way in Way::ALL {
        for bits in 0..=Seals::KNOWN.bits() {
            let file = guest();
            fchmod(&file, Mode::from_raw_mode(0o600)).unwrap();
            fcntl_add_seals(&file, SealFlags::from_bits_retain(bits)).unwrap();
            assert_eq!(look(&crosses(way, &file)).seals, Seals::from_bits(bits));
        }
    }
}

/// Linux 7.3 records seals when the file is preserved, and loses those of later (its defect D5).
#[test]
fn a_seal_of_the_last_moment_crosses() {
    for way in Way::ALL {
        let file = guest();
        let late = SealFlags::WRITE | SealFlags::GROW | SealFlags::SEAL;
        let after = update(way).one(&file, || fcntl_add_seals(&file, late).unwrap()).unwrap();
        assert_eq!(look(&after).seals.bits(), late.bits());
        assert_eq!(pwrite(&after, b"x", 0), Err(Errno::PERM));
    }
}

/// A memfd that nobody said may be sealed.
#[test]
fn that_a_file_takes_no_seals_crosses() {
    for way in Way::ALL {
        let file = made(MemfdFlags::EXEC);
        let after = crosses(way, &file);
        assert_eq!(look(&after).seals, Seals::SEAL);
        assert_eq!(fcntl_add_seals(&after, SealFlags::GROW), Err(Errno::PERM));
    }
}

/// Linux 7.3 gives such a file back with mode 0o777 and sealed against writing (its defect D4).
#[test]
fn a_file_that_is_not_executable_stays_so_and_stays_writable() {
    for way in Way::ALL {
        let file = made(MemfdFlags::NOEXEC_SEAL);
        pwrite(&file, b"x", 0).unwrap();
        let after = crosses(way, &file);
        assert_eq!((look(&after).mode, look(&after).seals), (0o666, Seals::EXEC));
        pwrite(&after, b"y", 0).unwrap();
        assert_eq!(fchmod(&after, Mode::from_raw_mode(0o777)), Err(Errno::PERM));
    }
}

#[test]
fn an_executable_file_that_was_sealed_so_stays_so() {
    for way in Way::ALL {
        let file = guest();
        fcntl_add_seals(&file, SealFlags::EXEC).unwrap();
        let seals = look(&file).seals;
        assert_eq!(seals.bits(), 0x3E, "the kernel adds the seals against writing");
        assert_eq!(look(&crosses(way, &file)).seals, seals);
    }
}

#[test]
fn the_mode_crosses_as_it_is_at_freeze() {
    for way in Way::ALL {
        for mode in [0o777, 0o600, 0o444, 0o000, 0o1755] {
            let file = guest();
            let late = || fchmod(&file, Mode::from_raw_mode(mode)).unwrap();
            assert_eq!(look(&update(way).one(&file, late).unwrap()).mode, mode);
        }
    }
}

#[test]
fn the_owner_crosses() {
    let file = guest();
    let owner = (Some(rustix::fs::Uid::from_raw(1000)), Some(rustix::fs::Gid::from_raw(100)));
    if !privileged("the_owner_crosses", fchown(&file, owner.0, owner.1)) {
        return;
    }
    for way in Way::ALL {
        assert_eq!(look(&crosses(way, &file)).owner, Owner { user: 1000, group: 100 });
    }
}

#[test]
fn the_times_cross() {
    for way in Way::ALL {
        let file = guest();
        let at = |tv_sec| Timespec { tv_sec, tv_nsec: 123_456_789 };
        futimens(&file, &Timestamps { last_access: at(1000), last_modification: at(2000) }).unwrap();
        let times = look(&file).times;
        assert_eq!((times.accessed.seconds, times.modified.nanoseconds), (1000, 123_456_789));
        assert_eq!(look(&crosses(way, &file)).times, times, "looking and copying leave no trace");
    }
}

/// Linux 7.3 makes every file readable and writable (its defect D6).
#[test]
fn what_could_only_be_read_can_only_be_read() {
    for way in Way::ALL {
        let after = crosses(way, &reopen(&guest(), OFlags::RDONLY));
        assert_eq!(look(&after).access, Access::Read);
        assert_eq!(pwrite(&after, b"x", 0), Err(Errno::BADF));
        assert_eq!(ftruncate(&after, 0), Err(Errno::INVAL));
    }
}

#[test]
fn what_could_only_be_written_can_only_be_written() {
    for way in Way::ALL {
        let after = crosses(way, &reopen(&guest(), OFlags::WRONLY));
        assert_eq!(look(&after).access, Access::Write);
        assert_eq!(pread(&after, &mut [0; 1], 0), Err(Errno::BADF));
    }
}

#[test]
fn status_flags_cross_as_they_are_at_freeze() {
    for way in Way::ALL {
        for (flags, status) in [
            (OFlags::empty(), Status::NONE),
            (OFlags::APPEND, Status::APPEND),
            (OFlags::NONBLOCK | OFlags::NOATIME, Status::NONBLOCK | Status::NOATIME),
        ] {
            let file = guest();
            let after = update(way).one(&file, || fcntl_setfl(&file, flags).unwrap()).unwrap();
            assert_eq!(look(&after).status, status);
        }
        let sync = reopen(&guest(), OFlags::RDWR | OFlags::SYNC);
        assert_eq!(look(&crosses(way, &sync)).status, Status::SYNC | Status::DSYNC);
    }
}

#[test]
fn whether_an_exec_closes_it_crosses() {
    for way in Way::ALL {
        for flags in [FdFlags::CLOEXEC, FdFlags::empty()] {
            let file = guest();
            fcntl_setfd(&file, flags).unwrap();
            assert_eq!(look(&crosses(way, &file)).close_on_exec, flags == FdFlags::CLOEXEC);
        }
    }
}

#[test]
fn the_name_crosses_whatever_it_is() {
    let longest = vec![b'n'; NAME_MAX];
    for way in Way::ALL {
        for name in [&b""[..], b"guest memory", b"a/b\n (deleted)", b"\xFF\xFE", &longest] {
            let file = memfd_create(CString::new(name).unwrap(), MemfdFlags::CLOEXEC | MemfdFlags::EXEC);
            let after = crosses(way, &file.unwrap().into());
            assert_eq!(Linux::new().name(&after).unwrap(), Name::new(name).unwrap());
        }
    }
}

#[test]
fn a_reference_is_the_same_open_file_and_a_copy_is_another() {
    for way in Way::ALL {
        let file = guest();
        let after = crosses(way, &file);
        let same = Linux::new().identity(&after) == Linux::new().identity(&file);
        assert_eq!(same, way == Way::Reference);
        seek(&file, SeekFrom::Start(77)).unwrap();
        pwrite(&file, b"seen", 0).unwrap();
        let mut seen = [0; 4];
        pread(&after, &mut seen, 0).unwrap();
        assert_eq!((look(&after).position == 77, &seen == b"seen"), (same, same));
    }
}

#[test]
fn locks_cross_by_reference_and_forbid_a_copy() {
    let file = guest();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    let stranger = reopen(&file, OFlags::RDONLY);
    let refused = update(Way::Copy).one(&file, nothing).unwrap_err();
    assert!(refused.contains("a copy cannot have its locks"), "{refused}");
    let after = update(Way::Reference).one(&file, nothing).unwrap();
    drop(file);
    assert_eq!(flock(&stranger, FlockOperation::NonBlockingLockShared), Err(Errno::WOULDBLOCK));
    drop(after);
    flock(&stranger, FlockOperation::NonBlockingLockShared).unwrap();
}

#[test]
fn a_lock_taken_after_prepare_is_noticed_at_freeze() {
    let file = guest();
    let late = || flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
    let refused = update(Way::Copy).one(&file, late).unwrap_err();
    assert!(refused.contains("failed to freeze") && refused.contains("locks"), "{refused}");
}

#[test]
fn extended_attributes_cross_by_reference_and_forbid_a_copy() {
    let file = guest();
    let set = fsetxattr(&file, "user.owner", b"vm-42", XattrFlags::empty());
    if !privileged("extended_attributes_cross_by_reference_and_forbid_a_copy", set) {
        return;
    }
    let refused = update(Way::Copy).one(&file, nothing).unwrap_err();
    assert!(refused.contains("a copy cannot have its extended attributes"), "{refused}");
    let after = update(Way::Reference).one(&file, nothing).unwrap();
    let mut value = [0; 5];
    assert_eq!(fgetxattr(&after, "user.owner", &mut value), Ok(5));
    assert_eq!(&value, b"vm-42");
}

#[test]
fn two_descriptors_of_one_inode_are_one_file() {
    let file = guest();
    let other = reopen(&file, OFlags::RDONLY);
    let refused = update(Way::Reference).cross(&[file, other], nothing).unwrap_err();
    assert!(refused.contains("known already as token 0x0"), "{refused}");
}

#[test]
fn memfds_of_huge_pages_are_left_to_others() {
    let huge = memfd_create("huge", MemfdFlags::HUGETLB | MemfdFlags::CLOEXEC);
    let made = huge.as_ref().map(drop).map_err(|errno| *errno);
    if !privileged("memfds_of_huge_pages_are_left_to_others", made) {
        return;
    }
    let refused = update(Way::Reference).one(&huge.unwrap().into(), nothing).unwrap_err();
    assert!(refused.contains("handler"), "{refused}");
}

#[test]
fn files_of_a_tmpfs_are_refused_with_a_reason() {
    let path = format!("/dev/shm/luo-memfd-{}", std::process::id());
    let made = open(path.as_str(), OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RWXU);
    let linked = made.as_ref().map(drop).map_err(|errno| *errno);
    if !privileged("files_of_a_tmpfs_are_refused_with_a_reason", linked) {
        return;
    }
    let file = Memfd::from(made.unwrap());
    let on_tmpfs = rustix::fs::fstatfs(&file).unwrap().f_type == 0x0102_1994;
    let first = update(Way::Reference).one(&file, nothing).unwrap_err();
    rustix::fs::unlink(path.as_str()).unwrap();
    if !on_tmpfs {
        println!("SKIPPED: files_of_a_tmpfs_are_refused_with_a_reason: /dev/shm is no tmpfs here");
        return;
    }
    assert!(first.contains("can open it by its path"), "{first}");
    let second = update(Way::Reference).one(&file, nothing).unwrap_err();
    assert!(second.contains("unlinked file of a mounted tmpfs"), "{second}");
}

#[test]
fn a_descriptor_without_access_is_refused_with_a_reason() {
    let refused = update(Way::Reference).one(&reopen(&guest(), OFlags::PATH), nothing).unwrap_err();
    assert!(refused.contains("O_PATH"), "{refused}");
}

#[test]
fn what_is_no_memfd_is_left_to_others() {
    let (pipe, _) = std::io::pipe().unwrap();
    for file in [Memfd::from(std::fs::File::open("/proc/self/exe").unwrap()), OwnedFd::from(pipe).into()] {
        let refused = update(Way::Reference).one(&file, nothing).unwrap_err();
        assert!(refused.contains("handler"), "{refused}");
    }
}

#[test]
fn a_file_may_grow_and_shrink_until_freeze() {
    for way in Way::ALL {
        for size in [100, 3 * PAGE, 50 * PAGE] {
            let file = guest();
            let resized = || {
                ftruncate(&file, size).unwrap();
                pwrite(&file, b"end", size - 3).unwrap();
            };
            let after = update(way).one(&file, resized).unwrap();
            assert_eq!(portrait(&after), portrait(&file));
            assert_eq!(look(&after).size, size);
        }
    }
}

#[test]
fn what_is_written_and_punched_until_freeze_crosses() {
    for way in Way::ALL {
        let file = guest();
        ftruncate(&file, 100 * PAGE).unwrap();
        let late = || {
            pwrite(&file, b"late", 1).unwrap();
            pwrite(&file, &[7; 9000], 40 * PAGE).unwrap();
            fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, PAGE, PAGE).unwrap();
        };
        let after = update(way).one(&file, late).unwrap();
        assert_eq!(portrait(&after), portrait(&file));
    }
}

#[test]
fn a_copy_that_outgrew_its_head_room_is_refused_with_numbers() {
    let head_room = HeadRoom { one_in: 1000.try_into().unwrap(), at_least: 4 };
    let narrow = MemfdUpdate::with(Way::Copy, move || Memfds::new(Linux::new()).head_room(head_room));
    let file = guest();
    let grows = |pages: usize| assert_eq!(pwrite(&file, &vec![1; pages * 4096], 3 * PAGE), Ok(pages * 4096));
    let refused = narrow.one(&file, || grows(5)).unwrap_err();
    assert!(refused.contains("8 pages are populated, prepare reserved frames for 7"), "{refused}");
    let after = narrow.one(&file, || grows(4)).unwrap();
    assert_eq!(portrait(&after), portrait(&file), "the next prepare reserves more");
}

#[test]
fn who_never_wants_copies_gets_none() {
    let never = MemfdUpdate::with(Way::Copy, || Memfds::new(Linux::new()).copying(CopyWhen::Never));
    let refused = never.one(&guest(), nothing).unwrap_err();
    assert!(refused.contains("told never to do: memfds stay"), "{refused}");
    let never = MemfdUpdate::with(Way::Reference, || Memfds::new(Linux::new()).copying(CopyWhen::Never));
    never.one(&guest(), nothing).unwrap();
}

#[test]
fn the_plan_says_what_will_happen() {
    let plan = |way, when, file: &Memfd| {
        let update = MemfdUpdate::with(way, move || Memfds::new(Linux::new()).copying(when));
        let plan = update.cross(std::slice::from_ref(file), nothing).unwrap().plan;
        (plan.bytes_copied_with(0).get(), plan.to_string())
    };
    let file = guest();
    assert_eq!(plan(Way::Reference, CopyWhen::Needed, &file).0, 0);
    let (bytes, text) = plan(Way::Copy, CopyWhen::Needed, &file);
    assert!(bytes == 3 * PAGE && text.contains("memfds stay"), "{text}");
    let (bytes, text) = plan(Way::Reference, CopyWhen::Always, &file);
    assert!(bytes == 3 * PAGE && text.contains("told always to copy"), "{text}");
}

#[test]
fn before_the_commit_nothing_of_a_reference_has_changed() {
    let file = guest();
    fchmod(&file, Mode::from_raw_mode(0o640)).unwrap();
    seek(&file, SeekFrom::Start(9)).unwrap();
    let before = look(&file);
    let crossed = update(Way::Reference).cross(&[file], nothing).unwrap();
    assert_eq!(crossed.before_the_commit, [before]);
}

#[test]
fn many_files_cross_together_and_keep_their_order() {
    for way in Way::ALL {
        let files: Vec<_> = (0..200u64)
            .map(|nth| {
                let file = guest();
                pwrite(&file, &nth.to_le_bytes(), nth * PAGE).unwrap();
                file
            })
            .collect();
        let crossed = update(way).cross(&files, nothing).unwrap();
        for (before, after) in files.iter().zip(&crossed.files) {
            assert_eq!(portrait(after), portrait(before));
        }
    }
}

#[test]
fn a_file_crosses_again_and_again_by_turns() {
    let mut file = guest();
    ftruncate(&file, 30 * PAGE).unwrap();
    let before = portrait(&file);
    for generation in 0..20 {
        file = update(Way::ALL[generation % 2]).one(&file, nothing).unwrap();
        assert_eq!(portrait(&file), before, "generation {generation}");
    }
}
