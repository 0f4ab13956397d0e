//! For tests: ways to go wrong while the guest changes hands. None of them is reached unless somebody asks for it.

use std::io;
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use luo_guestmemfd::linux::Slots;
use luo_guestmemfd::{Binding, Flags, GuestMemfd, Vm};
use luo_kho::FRAME_BYTES;
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};

/// What goes wrong, and when. On the side that it is asked for: the new program's, or the old one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// New: exits before it has said anything.
    ExitAtOnce,
    /// New: exits before it is ready for the offer.
    ExitBeforeReady,
    /// New: hangs before it is ready for the offer.
    HangBeforeReady,
    /// New: refuses what is on offer.
    Refuse,
    /// New: has no machine when it is about to commit.
    LoseMachine,
    /// New: is killed between offer and commit.
    DieAfterOffer,
    /// New: hangs between offer and commit.
    HangAfterOffer,
    /// New: commits long after the offer was made; it was revoked by then.
    CommitLate,
    /// New: is killed after the commit, before the guest runs. The guest is lost, and not doubled.
    DieAfterCommit,
    /// Old: is killed after its offer, before the new program hears of it.
    DieOffering,
    /// Old: hangs after its offer, before the new program hears of it.
    HangOffering,
    /// Old: panics after its offer, before the new program hears of it.
    PanicOffering,
    /// Old, by socket: damages what it hands over, until it takes it back.
    Damage,
    /// New: finds other bytes than were handed over.
    Misread,
    /// Old: is killed when another program has the guest.
    DieDeparted,
    /// Old, before exec, or new, after it: kills the guardian.
    KillGuardian,
    /// Either: may open no more descriptors.
    FewDescriptors,
    /// New: may not map as much as a region of guest memory.
    NoRoomToMap,
    /// New, with a virtual machine for guest memory: something is in the way in that.
    SlotInTheWay,
}

/// Longer than any test waits.
const FOR_GOOD: Duration = Duration::from_hours(1);
/// Later than any offer of a test stands.
const LATE: Duration = Duration::from_secs(4);

impl Sabotage {
    /// Goes wrong now, if it is `now` that somebody asked for.
    pub(super) fn strike(asked: Option<Self>, now: Self) {
        if asked != Some(now) {
            return;
        }
        eprintln!("luo-vmm: sabotage, as asked for: {now:?}");
        match now {
            Self::ExitAtOnce | Self::ExitBeforeReady => std::process::exit(3),
            Self::PanicOffering => panic!("sabotage, as asked for"),
            Self::HangBeforeReady | Self::HangAfterOffer | Self::HangOffering => thread::sleep(FOR_GOOD),
            Self::CommitLate => thread::sleep(LATE),
            Self::DieAfterOffer | Self::DieAfterCommit | Self::DieOffering | Self::DieDeparted => {
                // It cannot fail for a process of one's own.
                let _never = kill_process(getpid(), Signal::KILL);
            }
            Self::KillGuardian => children().into_iter().for_each(|child| {
                // It may be gone already.
                let _gone = kill_process(child, Signal::KILL);
            }),
            // These need more than a moment; whoever can do them looks for them.
            Self::Refuse
            | Self::LoseMachine
            | Self::Damage
            | Self::Misread
            | Self::FewDescriptors
            | Self::NoRoomToMap
            | Self::SlotInTheWay => {}
        }
    }
}

/// The children of this program: with exec, its guardian.
fn children() -> Vec<Pid> {
    let list = format!("/proc/self/task/{}/children", std::process::id());
    let list = std::fs::read_to_string(list).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Allows no more descriptors than are open, if that was asked for. What was allowed before.
pub(super) fn few_descriptors(asked: Option<Sabotage>) -> Option<Rlimit> {
    if asked != Some(Sabotage::FewDescriptors) {
        return None;
    }
    let before = getrlimit(Resource::Nofile);
    // The lowest number that is free.
    let next = std::fs::File::open("/dev/null").map_or(0, |file| file.as_raw_fd().unsigned_abs());
    let few = Rlimit { current: Some(u64::from(next)), maximum: before.maximum };
    eprintln!("luo-vmm: sabotage, as asked for: no more than {next} descriptors");
    allow_descriptors(few);
    Some(before)
}

/// Sets how many descriptors are allowed.
pub(super) fn allow_descriptors(limit: Rlimit) {
    // Less than before, or what it was before: both are always allowed.
    let _never = setrlimit(Resource::Nofile, limit);
}

/// Room for all that a program maps but guest memory.
const LITTLE: u64 = 4 << 20;

/// Allows to map little more than is mapped, if that was asked for.
pub(super) fn no_room_to_map(asked: Option<Sabotage>) {
    if asked != Some(Sabotage::NoRoomToMap) {
        return;
    }
    // Pages; the first number is all that is mapped.
    let mapped = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mapped = mapped.split_whitespace().next().and_then(|pages| pages.parse::<u64>().ok());
    let little = mapped.unwrap_or_default() * FRAME_BYTES + LITTLE;
    eprintln!("luo-vmm: sabotage, as asked for: no more than {little} bytes mapped");
    let maximum = getrlimit(Resource::As).maximum;
    // Less than before is always allowed.
    let _never = setrlimit(Resource::As, Rlimit { current: Some(little), maximum });
}

/// Puts a slot of one page where guest memory is to be, if that was asked for. It is there until it is dropped.
///
/// # Errors
///
/// The host's.
pub(super) fn slot_in_the_way(asked: Option<Sabotage>, vm: Option<&Vm>) -> io::Result<Option<Slots>> {
    let Some(vm) = vm.filter(|_| asked == Some(Sabotage::SlotInTheWay)) else { return Ok(None) };
    eprintln!("luo-vmm: sabotage, as asked for: the guest's first frame is taken");
    let page = GuestMemfd::create(vm, 1, Flags::OPEN)?;
    let told = page.told().bind(Binding { slot: 64, frame: 0, page: 0, count: 1 });
    told.map_err(io::Error::other)?;
    Slots::make(vm, &page).map(Some)
}
