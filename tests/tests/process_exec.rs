//! Promise: a program that replaces itself keeps its process, its descriptors and its guest, and whatever goes wrong
//! before the new one owns the guest, the old one goes on.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::os::unix::fs::PermissionsExt as _;

use luo_tests::actor::{Actor, Folder, await_death, is_dead, kill};

const ACTOR: &str = env!("CARGO_BIN_EXE_process-actor");

/// An actor that owns a guest which has ticked five times.
fn founded() -> Actor {
    let mut actor = Actor::start(ACTOR);
    actor.tell(&["found", "tick 5"]);
    actor
}

#[test]
fn the_guest_goes_on_in_the_same_process_many_times() {
    let mut actor = founded();
    let guest = actor.tell(&["look"]);
    let mut first = None;
    for generation in 1..=200 {
        let arrived = actor.tell(&["exec", "prepare", "offer", "hand-over"]);
        assert_eq!(arrived, format!("arrived forth; generation {generation}"));
        assert_eq!(actor.tell(&["tick 0", "reap"]), "true");
        let state = actor.state();
        assert_eq!(state.pid, actor.pid().as_raw_nonzero().get());
        assert_eq!((state.crossing, state.blocked.as_str()), (0, "0000000000000000"));
        // The standard library of the new program ignores SIGPIPE (13) again; nothing else.
        assert_eq!(state.ignored, "0000000000001000");
        let taken = (state.open, state.blocks);
        assert_eq!(*first.get_or_insert(taken), taken, "descriptors or frames leak");
    }
    assert_eq!(actor.tell(&["look"]), guest);
    assert_eq!(actor.tell(&["tick 2"]), "7");
}

#[test]
fn an_exec_that_fails_leaves_everything_as_it_was() {
    let folder = Folder::new("exec-fails");
    let broken = folder.path("broken");
    std::fs::write(&broken, [0; 64]).unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut actor = founded();
    actor.tell(&["leak"]);
    let before = (actor.state(), actor.tell(&["look"]));
    for _ in 0..3 {
        actor.tell(&[&format!("exec {}", broken.display()), "prepare", "offer"]);
        let error = actor.ask("hand-over").unwrap_err();
        assert_eq!(error, format!("execve failed with errno {}", rustix::io::Errno::NOEXEC.raw_os_error()));
        actor.tell(&["cancel"]);
        assert_eq!((actor.state(), actor.tell(&["look"])), before);
    }
    let arrived = actor.tell(&["tick", "exec", "prepare", "offer", "hand-over"]);
    assert_eq!(arrived, "arrived forth; generation 1");
    assert_eq!(actor.state().crossing, 0, "what was not carried did not cross");
}

#[test]
fn a_program_that_is_not_there_is_noticed_while_the_guest_runs() {
    let mut actor = founded();
    actor.tell(&["exec /nonexistent/program"]);
    assert_eq!(actor.ask("prepare").unwrap_err(), "access failed on the host with errno 2");
    assert_eq!(actor.tell(&["tick"]), "6");
}

#[test]
fn any_thread_may_hand_over() {
    let mut actor = founded();
    for generation in 1..=20 {
        let arrived = actor.tell(&["exec", "prepare", "offer", "hand-over-elsewhere"]);
        assert_eq!(arrived, format!("arrived forth; generation {generation}"));
    }
    assert_eq!(actor.state().pid, actor.pid().as_raw_nonzero().get());
    assert_eq!(actor.tell(&["tick"]), "6");
}

#[test]
fn without_a_guardian_it_works_too() {
    let mut actor = founded();
    let arrived = actor.tell(&["exec self adopt,commit 20000 unguarded", "prepare", "offer", "hand-over"]);
    assert_eq!(arrived, "arrived forth; generation 1");
    assert_eq!(actor.tell(&["tick"]), "6");
}

#[test]
fn a_guardian_that_dies_before_the_offer_stops_the_update() {
    let mut actor = founded();
    let guardian = actor.tell(&["exec", "prepare"]).parse().unwrap();
    kill(guardian);
    actor.tell(&["offer"]);
    let error = actor.ask("hand-over").unwrap_err();
    assert_eq!(error, "the guardian is gone, so there would be no way back");
    assert_eq!(actor.tell(&["tick"]), "6");
    let arrived = actor.tell(&["cancel", "exec", "prepare", "offer", "hand-over"]);
    assert_eq!(arrived, "arrived forth; generation 1");
}

#[test]
fn a_guardian_that_dies_after_the_offer_does_not_stop_it() {
    let mut actor = founded();
    let guardian = actor.tell(&["exec self adopt", "prepare"]).parse().unwrap();
    actor.tell(&["offer", "hand-over"]);
    kill(guardian);
    assert_eq!(actor.tell(&["commit", "tick"]), "6");
    assert_eq!(actor.tell(&["reap"]), "true");
}

#[test]
fn a_cancelled_update_leaves_no_guardian() {
    let mut actor = founded();
    let before = actor.state();
    let guardian = actor.tell(&["exec", "prepare"]).parse().unwrap();
    assert!(!is_dead(guardian));
    actor.tell(&["cancel"]);
    assert!(is_dead(guardian));
    assert_eq!(actor.state(), before);
}

/// Hands over to a program that does `first` and nothing else; the old one comes back, says why, and goes on.
fn comes_back(first: &str, blackout: u32, why: &str, meanwhile: impl FnOnce(&mut Actor)) {
    let mut actor = founded();
    let guest = actor.tell(&["look"]);
    let order = format!("exec self {first} {blackout}");
    let guardian: i32 = actor.tell(&[&order, "prepare"]).parse().unwrap();
    actor.tell(&["offer"]);
    actor.order("hand-over");
    meanwhile(&mut actor);
    assert_eq!(actor.hear().unwrap(), format!("arrived back: {why}; generation 1"));
    let state = actor.state();
    assert_eq!(state.pid, guardian, "the guardian became the old program");
    assert!(is_dead(actor.pid().as_raw_nonzero().get()));
    assert_eq!((state.crossing, state.blocked.as_str()), (0, "0000000000000000"));
    assert_eq!(actor.tell(&["look"]), guest, "not a byte was changed");
    assert_eq!(actor.tell(&["tick"]), "6");
    let again = actor.tell(&["exec", "prepare", "offer", "hand-over"]);
    assert_eq!(again, "arrived forth; generation 2", "the next update works");
    assert_eq!(actor.state().pid, guardian);
    assert_eq!(actor.tell(&["tick", "reap"]), "true");
}

#[test]
fn a_successor_that_is_killed_before_it_commits_is_replaced_by_the_old_program() {
    comes_back("adopt", 20_000, "died", |actor| {
        assert_eq!(actor.hear().unwrap(), "arrived forth; adopted");
        actor.kill();
    });
}

#[test]
fn a_successor_that_aborts_is_replaced_by_the_old_program() {
    comes_back("adopt,die", 20_000, "died", |_| {});
}

#[test]
fn a_successor_that_refuses_is_replaced_by_the_old_program_which_learns_why() {
    comes_back("refuse", 20_000, "refused: unknown version", |_| {});
}

#[test]
fn the_service_manager_is_told_which_process_came_back() {
    let folder = Folder::new("exec-notify");
    let manager = std::os::unix::net::UnixDatagram::bind(folder.path("notify")).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_mins(1))).unwrap();
    let mut actor = Actor::start_with(ACTOR, "NOTIFY_SOCKET", folder.path("notify"));
    let guardian = actor.tell(&["found", "exec self adopt,die", "prepare"]);
    actor.tell(&["offer"]);
    assert_eq!(actor.ask("hand-over").unwrap(), "arrived back: died; generation 1");
    actor.state();
    let mut message = [0; 64];
    let len = manager.recv(&mut message).unwrap();
    assert_eq!(String::from_utf8_lossy(&message[..len]), format!("MAINPID={guardian}"));
}

#[test]
fn a_successor_that_hangs_is_replaced_by_the_old_program() {
    comes_back("adopt,hang", 300, "late", |_| {});
}

#[test]
fn a_program_that_is_something_else_is_replaced_by_the_old_one() {
    // It reads its input for ever, and does not know what an update is.
    let cat = ["/bin/cat", "/usr/bin/cat"].into_iter().find(|path| std::path::Path::new(path).exists());
    let Some(cat) = cat else {
        println!("SKIPPED: a_program_that_is_something_else_is_replaced_by_the_old_one: there is no cat");
        return;
    };
    let mut actor = founded();
    actor.tell(&[&format!("exec {cat} - 300"), "prepare", "offer"]);
    actor.order("hand-over");
    assert_eq!(actor.hear().unwrap(), "arrived back: late; generation 1");
    actor.state();
    assert_eq!(actor.tell(&["tick"]), "6");
}

#[test]
fn a_program_that_dies_between_offer_and_exec_comes_back() {
    let mut actor = founded();
    let guest = actor.tell(&["look"]);
    actor.tell(&["exec", "prepare", "offer"]);
    actor.kill();
    assert_eq!(actor.hear().unwrap(), "arrived back: died; generation 1");
    actor.state();
    assert_eq!(actor.tell(&["look"]), guest);
    assert_eq!(actor.tell(&["tick"]), "6");
}

#[test]
fn a_program_that_hangs_between_offer_and_exec_comes_back() {
    let mut actor = founded();
    actor.tell(&["exec self adopt,commit 300", "prepare", "offer"]);
    actor.order("hang");
    assert_eq!(actor.hear().unwrap(), "arrived back: late; generation 1");
    actor.state();
    assert_eq!(actor.tell(&["tick"]), "6");
}

#[test]
fn a_program_that_dies_before_the_offer_just_dies() {
    let mut actor = founded();
    let guardian: i32 = actor.tell(&["exec", "prepare"]).parse().unwrap();
    actor.kill();
    assert!(actor.is_silent(), "nobody comes back");
    await_death(guardian);
}

#[test]
fn an_offer_that_was_taken_back_leaves_the_guardian_waiting() {
    let mut actor = founded();
    let guardian: i32 = actor.tell(&["exec self adopt,commit 200", "prepare"]).parse().unwrap();
    actor.tell(&["offer", "revoke"]);
    // Longer than the blackout of an offer that stands.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!((actor.tell(&["tick"]).as_str(), is_dead(guardian)), ("6", false));
    // An exec gets the time that it may need on a busy machine.
    actor.tell(&["cancel", "exec self adopt,commit 20000", "prepare"]);
    assert_eq!(actor.tell(&["offer", "hand-over"]), "arrived forth; generation 1");
}

#[test]
fn without_descriptors_left_nothing_is_prepared_and_nothing_lost() {
    let mut actor = founded();
    let before = actor.state();
    for left in 0..12 {
        actor.tell(&[&format!("hoard {left}"), "exec"]);
        if actor.ask("prepare").is_ok() {
            assert!(left > 4, "it takes some");
            actor.tell(&["cancel"]);
        }
    }
    actor.tell(&["hoard 4000000"]);
    assert_eq!(actor.state(), before);
    assert_eq!(actor.tell(&["tick", "exec", "prepare", "offer", "hand-over"]), "arrived forth; generation 1");
}
