//! Promise: whatever fails in an update, the guest goes on exactly once, nothing is lost, and somebody says what
//! happened.
//!
//! Real programs, real guests. After each failure the guest is looked at as [`guest::Guest::goes_on`] says, guest
//! memory has to be what it was when the guest was stopped, and an update by each carrier has to succeed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what goes wrong in a test panics")]

mod backings;
mod footprint;
mod guest;

use std::os::unix::fs::PermissionsExt as _;

use footprint::Footprint;
use guest::{EXEC, Guest, SOCKET, signal};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

/// An update fails with this option, and says this.
#[track_caller]
fn fails(carrier: &str, options: &[&str], said: &str) {
    let error = Guest::boot().update_fails(carrier, options);
    assert!(error.contains(said), "it said: {error}");
}

#[test]
fn a_successor_by_socket_that_refuses_is_heard() {
    fails(SOCKET, &["--sabotage=refuse"], "refused: sabotage, as asked for");
}

#[test]
fn a_successor_by_exec_that_refuses_is_heard() {
    fails(EXEC, &["--sabotage=refuse"], "the new program refused: sabotage, as asked for");
}

#[test]
fn a_successor_by_socket_without_a_machine_does_not_commit() {
    fails(SOCKET, &["--sabotage=lose-machine"], "refused: no machine arrived");
}

#[test]
fn a_successor_by_exec_without_a_machine_does_not_commit() {
    fails(EXEC, &["--sabotage=lose-machine"], "the new program refused: no machine arrived");
}

/// What a program of version 1 says of a state that is written as version 2 only.
const NOT_KNOWN: &str = "`vmm-machine` was written as [v2], this build reads v1";

#[test]
fn a_successor_by_socket_that_does_not_know_the_version_refuses() {
    fails(SOCKET, &["--vmm-version=1", "--newest-only"], NOT_KNOWN);
}

#[test]
fn a_successor_by_exec_that_does_not_know_the_version_refuses() {
    fails(EXEC, &["--vmm-version=1", "--newest-only"], NOT_KNOWN);
}

#[test]
fn a_successor_by_socket_that_is_not_there_cannot_be_started() {
    fails(SOCKET, &["--program=/nowhere/luo-vmm"], "/nowhere/luo-vmm cannot be started");
}

#[test]
fn a_successor_by_exec_that_is_not_there_is_missed_while_the_guest_runs() {
    fails(EXEC, &["--program=/nowhere/luo-vmm"], "access failed on the host with errno 2");
}

#[test]
fn an_exec_that_fails_leaves_the_guest_where_it_was() {
    let mut guest = Guest::boot();
    let program = guest.path("no-program");
    std::fs::write(&program, [0; 64]).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let before = guest.processes();
    let reply =
        guest.begin_update(EXEC, &[&format!("--program={}", program.display())]).join().unwrap().unwrap();
    assert_eq!(guest.processes(), before, "another process answers, or the guardian is still there");
    let error = guest.came_back(&reply);
    assert!(error.contains("execve failed with errno 8"), "it said: {error}");
}

#[test]
fn a_successor_by_socket_that_never_calls_is_noticed() {
    fails(SOCKET, &["--sabotage=exit-at-once"], "the successor went away before it called: exit status: 3");
}

#[test]
fn a_successor_by_socket_that_exits_before_it_is_ready_is_noticed() {
    fails(SOCKET, &["--sabotage=exit-before-ready"], "went away; it was to become ready");
}

#[test]
fn a_successor_by_exec_that_exits_before_it_is_ready_is_replaced() {
    fails(EXEC, &["--sabotage=exit-before-ready"], "the new program died before it committed");
}

#[test]
fn a_successor_by_socket_that_is_killed_between_offer_and_commit_is_noticed() {
    fails(SOCKET, &["--sabotage=die-after-offer"], "went away; it was to commit");
}

#[test]
fn a_successor_by_exec_that_is_killed_between_offer_and_commit_is_replaced() {
    fails(EXEC, &["--sabotage=die-after-offer"], "the new program died before it committed");
}

#[test]
fn a_successor_by_socket_that_hangs_past_the_deadline_loses_the_offer() {
    fails(SOCKET, &["--sabotage=hang-after-offer", "--blackout-ms=500"], "did not commit in time");
}

#[test]
fn a_successor_by_exec_that_hangs_past_the_deadline_is_replaced() {
    fails(EXEC, &["--sabotage=hang-after-offer", "--blackout-ms=500"], "did not commit in time");
}

#[test]
fn a_late_successor_by_socket_cannot_commit() {
    let mut guest = Guest::boot();
    let options = ["--sabotage=commit-late", "--blackout-ms=500"];
    let reply = guest.begin_update(SOCKET, &options).join().unwrap().unwrap();
    assert_eq!(guest.processes().len(), 2, "the late one is still to come");
    let error = guest.came_back(&reply);
    assert!(error.contains("did not commit in time"), "it said: {error}");
    let errors = std::fs::read_to_string(guest.path("errors")).unwrap();
    assert!(errors.contains("CommitLate\nluo-vmm: "), "the late one says why it leaves: {errors}");
}

#[test]
fn a_late_successor_by_exec_is_shut_out() {
    fails(EXEC, &["--sabotage=commit-late", "--blackout-ms=500"], "did not commit in time");
}

#[test]
fn a_damaged_handover_by_socket_is_not_believed() {
    fails(SOCKET, &["--sabotage-near=damage"], "refused: ");
}

#[test]
fn damaged_state_by_exec_is_not_believed() {
    fails(EXEC, &["--sabotage=misread"], "the new program refused: ");
}

#[test]
fn a_predecessor_by_socket_without_descriptors_goes_on() {
    fails(SOCKET, &["--sabotage-near=few-descriptors"], "24");
}

#[test]
fn a_predecessor_by_exec_without_descriptors_goes_on() {
    fails(EXEC, &["--sabotage-near=few-descriptors"], "errno 24");
}

#[test]
fn a_successor_by_socket_without_descriptors_says_so() {
    fails(SOCKET, &["--sabotage=few-descriptors"], "the successor went away before it called");
}

#[test]
fn a_successor_by_exec_without_descriptors_says_so() {
    fails(EXEC, &["--sabotage=few-descriptors"], "the new program refused: ");
}

#[test]
fn a_predecessor_by_exec_that_is_killed_after_the_offer_is_started_again() {
    let mut guest = Guest::boot();
    let old = guest.processes();
    let reply = guest.begin_update(EXEC, &["--sabotage-near=die-offering"]).join().unwrap().unwrap();
    assert_ne!(reply.number("pid"), old[0], "nobody comes back from the dead");
    let error = guest.came_back(&reply);
    assert!(error.contains("died before it committed"), "it said: {error}");
}

#[test]
fn a_predecessor_by_exec_that_hangs_after_the_offer_is_started_again() {
    fails(EXEC, &["--sabotage-near=hang-offering", "--blackout-ms=500"], "did not commit in time");
}

#[test]
fn a_predecessor_by_exec_that_panics_after_the_offer_is_started_again() {
    fails(EXEC, &["--sabotage-near=panic-offering"], "died before it committed");
}

#[test]
fn what_is_missing_from_the_folder_is_not_needed_on_the_way_back() {
    let mut guest = Guest::boot();
    std::fs::remove_file(guest.path("trace")).unwrap();
    let error = guest.update_fails(EXEC, &["--sabotage=refuse"]);
    assert!(error.contains("the new program refused"), "it said: {error}");
}

/// The successor has seen the offer, and takes its time. Then something happens, and it commits all the same.
fn while_offered(carrier: &str, happens: impl FnOnce(&Guest)) {
    let mut guest = Guest::boot();
    let update = guest.begin_update(carrier, &["--sabotage=commit-late", "--blackout-ms=60000"]);
    guest.wait_for_mark(5);
    happens(&guest);
    let reply = update.join().unwrap().unwrap();
    for number in guest.processes().into_iter().filter(|number| *number != reply.number("pid")) {
        assert_eq!(guest::state(number), Some('T'), "who is still here?");
        signal(number, Signal::KILL);
    }
    guest.crossed(&reply);
    guest.update_succeeds(SOCKET);
    guest.update_succeeds(EXEC);
}

#[test]
fn a_predecessor_by_socket_that_is_killed_before_its_offer_is_heard_is_not_needed() {
    let mut guest = Guest::boot();
    let reply = guest.begin_update(SOCKET, &["--sabotage-near=die-offering"]).join().unwrap().unwrap();
    guest.crossed(&reply);
    guest.update_succeeds(EXEC);
}

#[test]
fn a_predecessor_by_socket_that_hangs_before_its_offer_is_heard_is_not_needed() {
    let mut guest = Guest::boot();
    let reply = guest.begin_update(SOCKET, &["--sabotage-near=hang-offering"]).join().unwrap().unwrap();
    assert_ne!(reply.number("pid"), guest.first(), "the one that hangs answers");
    signal(guest.first(), Signal::KILL);
    guest.crossed(&reply);
    guest.update_succeeds(EXEC);
}

#[test]
fn a_predecessor_by_socket_that_is_killed_after_the_offer_is_not_needed() {
    while_offered(SOCKET, |guest| signal(guest.first(), Signal::KILL));
}

#[test]
fn a_predecessor_by_socket_that_is_killed_after_the_commit_is_not_needed() {
    // It lies still from before the commit until it is killed behind it.
    while_offered(SOCKET, |guest| signal(guest.first(), Signal::STOP));
}

#[test]
fn a_guardian_that_is_killed_after_the_offer_does_not_stop_the_update() {
    while_offered(EXEC, |guest| signal(guest.guardian().unwrap(), Signal::KILL));
}

#[test]
fn a_guardian_that_is_killed_before_the_offer_stops_the_update() {
    let mut guest = Guest::boot();
    // The VMM writes down the hash of what it froze, and goes on when somebody reads it.
    let gate = guest.path("hashes");
    mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let update = guest.begin_update(EXEC, &[]);
    guest.wait_for_mark(4);
    signal(guest.guardian().unwrap(), Signal::KILL);
    guest.wait_for("bury the guardian", |guest| guest.guardian().is_none());
    let frozen = std::fs::read_to_string(&gate).unwrap();
    let taken_back = std::fs::read_to_string(&gate).unwrap();
    let reply = update.join().unwrap().unwrap();
    std::fs::remove_file(&gate).unwrap();
    assert!(frozen.contains(" frozen ") && taken_back.contains(" taken back "), "{frozen}{taken_back}");
    std::fs::write(&gate, frozen + &taken_back).unwrap();
    let error = guest.came_back(&reply);
    assert!(error.contains("the guardian is gone, so there would be no way back"), "it said: {error}");
}

/// Updates of one test; both together are a thousand. One in ten is looked at in the beginning, and one in ten at the
/// end: how many descriptors there are depends on whether the last guardian was reaped.
const MANY: u64 = 500;
/// So many updates, and the last programs have no more than the first.
fn leaves_nothing(mut guest: Guest, carrier: &str, updates: u64) {
    let (mut first, mut last) = (Footprint::default(), Footprint::default());
    let looks = updates / 10;
    for nth in 0..updates {
        guest.update_quickly(carrier);
        if nth < looks {
            first = first.or(Footprint::of(&guest));
        } else if nth >= updates - looks {
            last = last.or(Footprint::of(&guest));
        }
    }
    assert!(last.fits_into(first), "{first:?} became {last:?}");
    guest.goes_on();
}

#[test]
fn five_hundred_updates_by_socket_leave_nothing_behind() {
    leaves_nothing(Guest::boot(), SOCKET, MANY);
}

#[test]
fn five_hundred_updates_by_exec_leave_nothing_behind() {
    leaves_nothing(Guest::boot(), EXEC, MANY);
}
