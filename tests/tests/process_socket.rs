//! Promise: a program that hands its guest to a successor over a socket loses it to nobody but that successor, and
//! keeps it whatever goes wrong before the successor owns it.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::os::unix::fs::PermissionsExt as _;

use luo_tests::actor::{Actor, Folder};

const ACTOR: &str = env!("CARGO_BIN_EXE_process-actor");

/// An old program with a guest that has ticked five times, which listens; a new one; what the guest looks like.
struct Pair {
    folder: Folder,
    old: Actor,
    new: Actor,
    guest: String,
}

impl Pair {
    fn new(test: &str, blackout: u32) -> Self {
        let folder = Folder::new(test);
        let (mut old, new) = (Actor::start(ACTOR), Actor::start(ACTOR));
        let listen = format!("listen {} {blackout}", folder.path("socket").display());
        old.tell(&["found", "tick 5", &listen]);
        let guest = old.tell(&["look"]);
        Self { folder, old, new, guest }
    }

    fn connect(&self) -> String {
        format!("connect {}", self.folder.path("socket").display())
    }

    /// The old one prepares, the new one calls and waits for the offer, and the old one offers. Nobody has committed.
    fn offered(test: &str, blackout: u32) -> Self {
        let mut pair = Self::new(test, blackout);
        pair.old.order("prepare");
        pair.new.tell(&[&pair.connect()]);
        pair.new.order("adopt");
        assert_eq!(pair.old.hear().unwrap(), "0");
        pair.old.tell(&["offer"]);
        pair.old.order("hand-over");
        assert_eq!(pair.new.hear().unwrap(), "adopted");
        pair
    }

    /// The old one is told `error`, and goes on as if nothing had happened; then another successor takes over.
    fn goes_on(mut self, error: &str) {
        assert_eq!(self.old.hear().unwrap_err(), error);
        assert_eq!(self.old.tell(&["look"]), self.guest, "not a byte was changed");
        assert_eq!(self.old.tell(&["cancel", "tick"]), "6");
        let mut next = Actor::start(ACTOR);
        self.old.order("prepare");
        next.tell(&[&self.connect()]);
        next.order("adopt");
        self.old.hear().unwrap();
        self.old.tell(&["offer"]);
        self.old.order("hand-over");
        next.hear().unwrap();
        assert_eq!(next.tell(&["commit", "tick"]), "7");
        assert_eq!(self.old.hear().unwrap(), "departed");
        assert!(self.old.ask("tick").is_err());
    }
}

#[test]
fn the_guest_goes_on_in_the_successor() {
    let mut pair = Pair::offered("socket-crosses", 20_000);
    assert_eq!(pair.new.tell(&["commit"]), "generation 1");
    assert_eq!(pair.old.hear().unwrap(), "departed");
    assert_eq!(pair.new.tell(&["look"]), pair.guest);
    assert_eq!(pair.new.tell(&["tick"]), "6");
    assert_eq!(pair.old.ask("tick").unwrap_err(), "not the owner");
}

#[test]
fn many_successors_in_a_row_leave_nothing_behind() {
    let mut pair = Pair::new("socket-row", 20_000);
    let mut open = None;
    for generation in 1..=10 {
        pair.old.order("prepare");
        pair.new.tell(&[&pair.connect()]);
        pair.new.order("adopt");
        pair.old.hear().unwrap();
        pair.old.tell(&["offer"]);
        pair.old.order("hand-over");
        pair.new.hear().unwrap();
        assert_eq!(pair.new.tell(&["commit"]), format!("generation {generation}"));
        assert_eq!(pair.old.hear().unwrap(), "departed");
        let state = pair.new.state();
        assert_eq!(*open.get_or_insert(state.open), state.open, "descriptors leak");
        pair.old = std::mem::replace(&mut pair.new, Actor::start(ACTOR));
        let listen = format!("listen {}", pair.folder.path("socket").display());
        pair.old.tell(&[&listen]);
    }
    assert_eq!(pair.old.tell(&["look"]), pair.guest);
}

#[test]
fn a_successor_that_refuses_says_why() {
    let mut pair = Pair::new("socket-refuses", 20_000);
    pair.old.order("prepare");
    pair.new.tell(&[&pair.connect()]);
    pair.new.order("refuse");
    pair.goes_on("the successor refused: unknown version");
}

#[test]
fn a_successor_that_exits_before_it_is_ready_is_noticed() {
    let mut pair = Pair::new("socket-exits", 20_000);
    pair.old.order("prepare");
    pair.new.tell(&[&pair.connect()]);
    pair.new.kill();
    pair.goes_on("the successor went away; it was to become ready");
}

#[test]
fn a_successor_that_is_killed_after_the_offer_loses_it() {
    let mut pair = Pair::offered("socket-killed", 20_000);
    pair.new.kill();
    pair.goes_on("the successor went away; it was to commit");
}

#[test]
fn a_successor_does_not_believe_a_damaged_handover() {
    let damages = [
        (0, "address 0x0 does not hold a header of an arena"),
        (41, "the header of an arena at address 0x0 has checksum"),
    ];
    for (at, why) in damages {
        let mut pair = Pair::new("socket-damaged", 20_000);
        pair.old.order("prepare");
        pair.new.tell(&[&pair.connect()]);
        pair.new.order("adopt");
        pair.old.hear().unwrap();
        pair.old.tell(&["offer", &format!("damage {at}")]);
        pair.old.order("hand-over");
        let error = pair.new.hear().unwrap_err();
        assert!(error.starts_with(why), "{error}");
        pair.goes_on(&format!("the successor refused: {error}"));
    }
}

#[test]
fn a_successor_that_hangs_loses_the_offer() {
    let mut pair = Pair::offered("socket-hangs", 200);
    pair.new.order("hang");
    pair.goes_on("the successor did not commit in time");
}

#[test]
fn a_successor_that_commits_too_late_departs() {
    let mut pair = Pair::offered("socket-late", 200);
    assert_eq!(pair.old.hear().unwrap_err(), "the successor did not commit in time");
    let error = pair.new.ask("commit").unwrap_err();
    assert!(error.starts_with("the memory went to somebody else"), "{error}");
    assert!(pair.new.ask("tick").is_err());
    assert_eq!(pair.old.tell(&["tick"]), "6");
}

#[test]
fn a_predecessor_that_dies_after_the_offer_is_not_needed() {
    let mut pair = Pair::offered("socket-orphan", 20_000);
    pair.old.kill();
    assert_eq!(pair.new.tell(&["commit", "look"]), pair.guest);
    assert_eq!(pair.new.tell(&["tick"]), "6");
}

#[test]
fn a_predecessor_that_dies_after_the_commit_is_not_needed() {
    let mut pair = Pair::offered("socket-done", 20_000);
    pair.new.tell(&["commit"]);
    pair.old.kill();
    assert_eq!(pair.new.tell(&["tick"]), "6");
}

#[test]
fn a_predecessor_that_dies_before_the_offer_is_a_plain_crash() {
    let mut pair = Pair::new("socket-crash", 20_000);
    pair.old.order("prepare");
    pair.new.tell(&[&pair.connect()]);
    pair.new.order("adopt");
    pair.old.hear().unwrap();
    pair.old.kill();
    assert_eq!(pair.new.hear().unwrap_err(), "the other side went away; it was to make its offer");
}

#[test]
fn a_successor_without_room_for_descriptors_says_so() {
    let mut pair = Pair::new("socket-full", 20_000);
    // Room for the connection and for some of what comes.
    pair.new.tell(&["hoard 3"]);
    pair.old.order("prepare");
    let lost = pair.new.ask(&pair.connect()).unwrap_err();
    assert_eq!(lost, "descriptors were lost on the way: too many may be open here");
    let told = format!("the successor refused: {lost}");
    pair.goes_on(&told);
}

#[test]
fn a_predecessor_without_descriptors_left_goes_on() {
    let mut pair = Pair::new("socket-out", 20_000);
    for left in 0..2 {
        pair.old.tell(&[&format!("hoard {left}")]);
        pair.old.order("prepare");
        // With none left it cannot even answer the call; with one, it has none for the bell.
        let connect = pair.connect();
        let _turned_away = pair.new.ask(&format!("{connect} manifest 500")).unwrap_err();
        let error = pair.old.hear().unwrap_err();
        assert!(error.contains("errno 24"), "{error}");
    }
    assert_eq!(pair.old.tell(&["hoard 4000000", "cancel", "tick"]), "6");
    pair.old.order("prepare");
    pair.new.tell(&[&pair.connect()]);
    pair.new.order("adopt");
    assert_eq!(pair.old.hear().unwrap(), "0");
}

#[test]
fn only_the_same_user_and_root_may_call() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only_the_same_user_and_root_may_call: only root can be somebody else");
        return;
    }
    let mut pair = Pair::new("socket-user", 20_000);
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = pair.folder.path("");
    open(&folder, 0o755);
    // Another user has to reach the program as well.
    let program = folder.join("actor");
    std::fs::copy(ACTOR, &program).unwrap();
    open(&program, 0o755);
    let mut stranger = Actor::start_as(&program, 65_534);
    let connect = pair.connect();
    assert_eq!(stranger.ask(&connect).unwrap_err(), "connect failed with errno 13", "mode 0600");
    // The file system is not the only guard.
    open(&pair.folder.path("socket"), 0o666);
    pair.old.order("prepare");
    let refused = stranger.ask(&connect).unwrap_err();
    let expected = "refused: only programs of the same user, or of root, may call here";
    assert!(refused == expected || refused.starts_with("the other side went away"), "{refused}");
    // The wait has gone on.
    pair.new.tell(&[&connect]);
    pair.new.order("adopt");
    pair.old.hear().unwrap();
    assert_eq!(pair.old.tell(&["cancel", "tick"]), "6");
}

#[test]
fn whoever_listens_as_somebody_else_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: whoever_listens_as_somebody_else_is_not_believed: only root can be somebody else");
        return;
    }
    let folder = Folder::new("socket-impostor");
    std::fs::set_permissions(folder.path(""), std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.path("actor");
    std::fs::copy(ACTOR, &program).unwrap();
    let mut impostor = Actor::start_as(&program, 65_534);
    let path = folder.path("socket");
    impostor.tell(&["found", &format!("listen {}", path.display())]);
    let mut new = Actor::start(ACTOR);
    let error = new.ask(&format!("connect {}", path.display())).unwrap_err();
    assert_eq!(error, "the other side runs as user 65534, which is neither this one nor root");
}
