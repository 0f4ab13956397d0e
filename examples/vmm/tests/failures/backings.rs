//! The same where guest memory is not made of memfds: in huge pages, which the host may run out of, and in
//! guest_memfds, which belong to the virtual machine of another program.
//!
//! A test that cannot have such memory here says that it is skipped, and why.

use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use luo_hugetlb::{HugetlbFile, Linux, Loan, PageSize, Pool, Port as _};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::Signal;

use crate::guest::{EXEC, Guest, MEMORY, SOCKET, no_kvm, signal, state};

/// What guests are made of.
const PAGE: PageSize = PageSize::MIB_2;
const COPIED: &str = "--retrieve=copy-into-new";

/// Huge pages that were lent for a guest, so many of them free.
pub(crate) struct Lent {
    free: u64,
    _loan: Loan,
}

/// Longer than a program takes to leave that was killed.
const LEAVE: Duration = Duration::from_secs(20);

impl Drop for Lent {
    /// Programs of the guest that were killed may have their memory a moment longer than their names.
    fn drop(&mut self) {
        let since = Instant::now();
        while free_pages() < self.free {
            if since.elapsed() > LEAVE {
                let left = self.free - free_pages();
                assert!(thread::panicking(), "{left} huge pages are in use though nobody is here any more");
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn skipped<T>(test: &str, why: impl core::fmt::Display) -> Option<T> {
    println!("SKIPPED: {test}: {why}");
    None
}

/// In huge pages that are lent, with so many more that are free; waits for other borrowers.
fn in_huge_pages(test: &str, free: u64) -> Option<Guest> {
    if let Some(why) = no_kvm() {
        return skipped(test, why);
    }
    match Loan::borrow(PAGE, PAGE.pages(MEMORY) + free) {
        Ok(loan) => {
            let lent = Lent { free: free_pages(), _loan: loan };
            Some(Guest::boot_with(&["--guest=kvm", "--backing=hugetlb"], Some(lent)))
        }
        Err(why) => skipped(test, why),
    }
}

fn in_guest_memfds(test: &str, options: &[&str]) -> Option<Guest> {
    if let Some(why) = luo_guestmemfd::supported().err() {
        return skipped(test, why);
    }
    let options = [&["--guest=kvm", "--backing=guest_memfd"], options].concat();
    Some(Guest::boot_with(&options, None))
}

/// Updates of the same guest fail, one after the other: each with these options, and says this.
#[track_caller]
fn fail(guest: Option<Guest>, updates: &[(&str, &[&str], &str)]) {
    let Some(mut guest) = guest else { return };
    for &(carrier, options, said) in updates {
        let error = guest.update_fails(carrier, options);
        assert!(error.contains(said), "{carrier} said: {error}");
    }
}

const KILLED: [(&str, &[&str], &str); 2] = [
    (SOCKET, &["--sabotage=die-after-offer"], "went away; it was to commit"),
    (EXEC, &["--sabotage=die-after-offer"], "the new program died before it committed"),
];

#[test]
fn successors_that_are_killed_give_huge_pages_back() {
    fail(in_huge_pages("successors_that_are_killed_give_huge_pages_back", 0), &KILLED);
}

#[test]
fn successors_that_are_killed_give_guest_memfds_back() {
    fail(in_guest_memfds("successors_that_are_killed_give_guest_memfds_back", &[]), &KILLED);
}

/// What they copied is gone with them, and the old files are as they were.
#[test]
fn successors_that_are_killed_when_they_have_copied_change_nothing() {
    let test = "successors_that_are_killed_when_they_have_copied_change_nothing";
    let refused = [
        (SOCKET, &["--sabotage=refuse"] as &[&str], "refused: sabotage, as asked for"),
        (EXEC, &["--sabotage=refuse"], "refused: sabotage, as asked for"),
    ];
    fail(in_guest_memfds(test, &[COPIED]), &[&KILLED[..], &refused].concat());
}

/// The one by socket is heard again when its offer was revoked: it says why it leaves.
fn a_late_one_cannot_commit(guest: Option<Guest>) {
    let Some(mut guest) = guest else { return };
    let options = ["--sabotage=commit-late", "--blackout-ms=500"];
    let reply = guest.begin_update(SOCKET, &options).join().unwrap().unwrap();
    assert_eq!(guest.processes().len(), 2, "the late one is still to come");
    let error = guest.came_back(&reply);
    assert!(error.contains("did not commit in time"), "it said: {error}");
    let errors = std::fs::read_to_string(guest.path("errors")).unwrap();
    assert!(errors.contains("CommitLate\nluo-vmm: "), "the late one says why it leaves: {errors}");
}

#[test]
fn a_late_successor_cannot_commit_a_guest_in_huge_pages() {
    a_late_one_cannot_commit(in_huge_pages("a_late_successor_cannot_commit_a_guest_in_huge_pages", 0));
}

#[test]
fn a_late_successor_cannot_commit_a_guest_in_guest_memfds() {
    a_late_one_cannot_commit(in_guest_memfds("a_late_successor_cannot_commit_a_guest_in_guest_memfds", &[]));
}

/// It lies still from before the commit until it is killed behind it; then everything else works without it.
fn a_predecessor_is_not_needed_after_the_commit(guest: Option<Guest>) {
    let Some(mut guest) = guest else { return };
    let update = guest.begin_update(SOCKET, &["--sabotage=commit-late", "--blackout-ms=60000"]);
    guest.wait_for_mark(5);
    signal(guest.first(), Signal::STOP);
    let reply = update.join().unwrap().unwrap();
    assert_eq!(state(guest.first()), Some('T'), "it goes on beside its successor");
    signal(guest.first(), Signal::KILL);
    guest.crossed(&reply);
    guest.update_succeeds(EXEC);
    guest.update_succeeds(SOCKET);
}

#[test]
fn a_predecessor_that_is_killed_after_the_commit_takes_no_huge_pages_with_it() {
    let test = "a_predecessor_that_is_killed_after_the_commit_takes_no_huge_pages_with_it";
    a_predecessor_is_not_needed_after_the_commit(in_huge_pages(test, 0));
}

/// The machine that the files were made for loses its program, and stays.
#[test]
fn a_predecessor_that_is_killed_after_the_commit_takes_no_guest_memfds_with_it() {
    let test = "a_predecessor_that_is_killed_after_the_commit_takes_no_guest_memfds_with_it";
    a_predecessor_is_not_needed_after_the_commit(in_guest_memfds(test, &[]));
}

fn an_exec_fails(guest: Option<Guest>) {
    let Some(guest) = guest else { return };
    let program = guest.path("no-program");
    std::fs::write(&program, [0; 64]).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let option = format!("--program={}", program.display());
    fail(Some(guest), &[(EXEC, &[&option], "execve failed with errno 8")]);
}

#[test]
fn an_exec_that_fails_leaves_huge_pages_where_they_were() {
    an_exec_fails(in_huge_pages("an_exec_that_fails_leaves_huge_pages_where_they_were", 0));
}

#[test]
fn an_exec_that_fails_leaves_guest_memfds_bound_where_they_were() {
    an_exec_fails(in_guest_memfds("an_exec_that_fails_leaves_guest_memfds_bound_where_they_were", &[]));
}

/// Free pages that are promised to nobody.
fn free_pages() -> u64 {
    let pools = Linux::new().pools().unwrap();
    pools.iter().find(|pool| pool.page_size == PAGE).map_or(0, Pool::unreserved)
}

/// Takes all pages that are free, as somebody else would.
fn taken() -> HugetlbFile {
    let bytes = free_pages() * PAGE.bytes();
    let file = HugetlbFile::create("somebody-elses", bytes, PAGE).unwrap();
    fallocate(file.as_fd(), FallocateFlags::empty(), 0, bytes).unwrap();
    assert_eq!(free_pages(), 0);
    file
}

/// By reference no page is taken: neither by a successor, nor on the way back.
#[test]
fn a_pool_that_others_empty_is_not_needed() {
    let test = "a_pool_that_others_empty_is_not_needed";
    let Some(mut guest) = in_huge_pages(test, 4) else { return };
    let others = taken();
    guest.update_fails(SOCKET, &["--sabotage=refuse"]);
    guest.update_fails(EXEC, &["--sabotage=refuse"]);
    drop(others);
    // Now they are taken when the successor has seen the offer.
    let update = guest.begin_update(EXEC, &["--sabotage=commit-late", "--blackout-ms=60000"]);
    guest.wait_for_mark(5);
    let _others = taken();
    let reply = update.join().unwrap().unwrap();
    guest.crossed(&reply);
}

/// It says how many there are and how many it needs, and nothing was begun.
#[test]
fn a_guest_that_finds_too_few_huge_pages_says_how_many_are_missing() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_luo-vmm"))
        .args(["run", "--guest=thread", "--backing=hugetlb", "--memory=64G", "--dir"])
        .arg(home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    let in_numbers = said.contains("32768 pages of 2048 KiB are needed") && said.contains("are missing");
    assert!(in_numbers || said.contains("no pages of that size"), "{said}");
}

/// The successor has files that it cannot map, or a machine in which their place is taken. The guest goes on in the old
/// one.
#[test]
fn a_new_machine_that_cannot_have_the_old_files_is_given_up() {
    let test = "a_new_machine_that_cannot_have_the_old_files_is_given_up";
    let updates: [(&str, &[&str], &str); 4] = [
        (SOCKET, &["--sabotage=no-room-to-map"], "guest memory cannot be mapped"),
        (EXEC, &["--sabotage=no-room-to-map"], "guest memory cannot be mapped"),
        (SOCKET, &["--sabotage=slot-in-the-way"], "KVM_SET_USER_MEMORY_REGION failed: File exists"),
        (EXEC, &["--sabotage=slot-in-the-way"], "KVM_SET_USER_MEMORY_REGION failed: File exists"),
    ];
    fail(in_guest_memfds(test, &[]), &updates);
}

/// The same where it has copied them: the copy is given up.
#[test]
fn a_new_machine_that_cannot_have_the_copies_is_given_up() {
    let test = "a_new_machine_that_cannot_have_the_copies_is_given_up";
    let updates: [(&str, &[&str], &str); 2] = [
        (SOCKET, &["--sabotage=no-room-to-map"], "mmap failed"),
        (EXEC, &["--sabotage=slot-in-the-way"], "KVM_SET_USER_MEMORY_REGION failed: File exists"),
    ];
    fail(in_guest_memfds(test, &[COPIED]), &updates);
}

/// Nothing of its predecessors: neither their files nor, through those, their virtual machines.
fn updates_leave_nothing(test: &str, carrier: &str) {
    if let Some(guest) = in_guest_memfds(test, &[]) {
        crate::leaves_nothing(guest, carrier, 50);
    }
}

#[test]
fn fifty_updates_by_socket_leave_no_guest_memfds_behind() {
    updates_leave_nothing("fifty_updates_by_socket_leave_no_guest_memfds_behind", SOCKET);
}

#[test]
fn fifty_updates_by_exec_leave_no_guest_memfds_behind() {
    updates_leave_nothing("fifty_updates_by_exec_leave_no_guest_memfds_behind", EXEC);
}
