//! The observer: a thread on another processor that watches the guest's counter in the shared memory.
//!
//! - A **stall** is a time in which the counter stood still.
//! - The observer is **away** when it is not executed itself: it cannot tell then whether the guest was.
//! - A **sample** is the counter at a moment: from samples follow rates.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use vm_memory::{Bytes as _, FileOffset, MmapRegion, VolatileMemory as _};

use crate::guest::Board;
use crate::percentile::percentile;
use crate::trace::now;

/// Nanoseconds from which on a stall is noted.
const NOTED: u64 = 20_000;
/// The observer was away if it did not look for so many nanoseconds.
const AWAY: u64 = 50_000;
/// Nanoseconds between samples.
const EVERY: u64 = 100_000;
/// Nanoseconds over which a rate is taken.
const RATE_OVER: u64 = 1_000_000;
/// The priority of a benchmark, as of `nice`: what else the host does is not to be measured.
const FIRST: i32 = -10;
/// Bytes of the first region that are mapped: the boards are in there.
const MAPPED: usize = 2 << 20;
/// What the memory of the guest is called in `/proc`, whatever it is made of.
const NAMES: [&str; 2] = ["/memfd:luo-vmm-guest", "anon_inode:[kvm-gmem]"];

/// Keeps the calling thread, and those that it starts, on one processor.
pub(super) fn pin(processor: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    Ok(sched_setaffinity(None, &set)?)
}

/// Lets the calling thread, and what it starts, go before others of this host, where that is allowed.
pub(super) fn go_first() {
    let _not_allowed = setpriority_process(None, FIRST);
}

/// The counter of vCPU 0.
#[derive(Clone, Debug)]
pub(super) struct Counter(Arc<MmapRegion<()>>);

impl Counter {
    /// That of the guest which this program runs.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let folder = format!("/proc/{pid}/fd");
        let mut files: Vec<u32> = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let link = std::fs::read_link(&path).unwrap_or_default();
            let is_memory = NAMES.iter().any(|name| link.to_string_lossy().starts_with(name));
            files.extend(number(&path).filter(|_| is_memory));
        }
        // The first that was made is the first region.
        let first = files.iter().min().context("the VMM has no guest memory")?;
        // Not every sort can be opened by its path.
        let vmm = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such process")?;
        let vmm = pidfd_open(vmm, PidfdFlags::empty())?;
        let file = File::from(pidfd_getfd(vmm, i32::try_from(*first)?, PidfdGetfdFlags::empty())?);
        Ok(Self(Arc::new(MmapRegion::from_file(FileOffset::new(file, 0), MAPPED)?)))
    }

    fn load(&self) -> u64 {
        let place = usize::try_from(Board::of(0).at + Board::COUNTER).unwrap_or(usize::MAX);
        self.0.as_volatile_slice().load(place, Ordering::Relaxed).unwrap_or(0)
    }
}

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

/// See the room's head. Moments are those of the monotonic clock, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Stall {
    from: u64,
    to: u64,
    away: bool,
}

/// What was seen from when the observer began to when it was stopped.
#[derive(Debug, Default)]
pub(super) struct Seen {
    stalls: Vec<Stall>,
    samples: Vec<(u64, u64)>,
}

/// An observer at work.
pub(super) struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen, io::Error>>,
}

impl Observer {
    /// Begins to watch, on a processor of its own.
    pub(super) fn start(counter: &Counter, processor: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (until, counter) = (Arc::clone(&stop), counter.clone());
        let thread = thread::spawn(move || {
            pin(processor)?;
            Ok(watch(&until, || (now(), counter.load())))
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| anyhow!("the observer panicked"))??)
    }
}

fn watch(stop: &AtomicBool, mut look: impl FnMut() -> (u64, u64)) -> Seen {
    let mut seen = Seen::default();
    let (mut since, mut value) = look();
    let (mut before, mut away, mut sampled) = (since, false, 0);
    while !stop.load(Ordering::Relaxed) {
        let (at, found) = look();
        away |= at - before > AWAY;
        before = at;
        if found != value {
            if at - since >= NOTED {
                seen.stalls.push(Stall { from: since, to: at, away });
            }
            (since, value, away) = (at, found, false);
        }
        if at - sampled >= EVERY {
            seen.samples.push((at, found));
            sampled = at;
        }
    }
    seen
}

impl Seen {
    /// The stall in which this moment lies, in nanoseconds; `None` if there is none, or the observer was away.
    pub(super) fn stall_at(&self, moment: u64) -> Option<u64> {
        let stall = self.stalls.iter().find(|stall| (stall.from..=stall.to).contains(&moment))?;
        (!stall.away).then_some(stall.to - stall.from)
    }

    /// The longest stall that was surely one, in nanoseconds. Shorter ones than are noted count as none.
    pub(super) fn longest(&self) -> u64 {
        let sure = self.stalls.iter().filter(|stall| !stall.away);
        sure.map(|stall| stall.to - stall.from).max().unwrap_or(0)
    }

    /// Steps in a second, over each millisecond: when that begins, and how many.
    fn rates(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut rest = self.samples.iter();
        self.samples.iter().filter_map(move |(from, old)| {
            let (to, new) = rest.as_slice().iter().find(|(to, _)| to - from.min(to) >= RATE_OVER)?;
            while rest.as_slice().first().is_some_and(|(at, _)| at < to) {
                rest.next();
            }
            Some((*from, (new - old).saturating_mul(1_000_000_000).checked_div(to - from)?))
        })
    }

    /// The rate at which the guest was in half of all milliseconds, in steps in a second.
    pub(super) fn usual_rate(&self) -> u64 {
        percentile(&self.rates().map(|(_, rate)| rate).collect::<Vec<_>>(), 50).unwrap_or(0)
    }

    /// Nanoseconds from a moment until the guest is at 90 % of this rate, over a millisecond.
    pub(super) fn back(&self, from: u64, usual: u64) -> Option<u64> {
        let enough = usual / 10 * 9;
        let (at, _) = self.rates().find(|(at, rate)| *at >= from && *rate >= enough)?;
        Some(at - from)
    }

    /// Percent of this rate that the guest had between two moments.
    pub(super) fn percent_between(&self, from: u64, to: u64, usual: u64) -> Option<u64> {
        let within = || self.samples.iter().filter(|(at, _)| (from..=to).contains(at));
        let ((first, old), (last, new)) = (within().next()?, within().next_back()?);
        let nanoseconds = u128::from(last.checked_sub(*first)?);
        let expected = u128::from(usual) * nanoseconds / 1_000_000_000;
        u64::try_from((u128::from(new - old) * 100).checked_div(expected)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter that goes up by one in each microsecond, and stands still in this range.
    fn seen(still: core::ops::Range<u64>, away: core::ops::Range<u64>) -> Seen {
        let (stop, mut micros, mut counter) = (AtomicBool::new(false), 1000, 0);
        watch(&stop, || {
            micros += 1;
            if micros == away.start {
                micros = away.end;
            }
            counter += u64::from(!still.contains(&micros));
            stop.store(micros >= 9000, Ordering::Relaxed);
            (micros * 1000, counter)
        })
    }

    #[test]
    fn a_stall_is_as_long_as_the_counter_stands_still() {
        let seen = seen(3000..3400, 0..0);
        assert_eq!(seen.longest(), 401_000);
        assert_eq!(seen.stall_at(3_200_000), Some(401_000));
        assert_eq!(seen.stall_at(2_000_000), None);
    }

    #[test]
    fn what_the_observer_did_not_see_is_no_stall() {
        let seen = seen(3000..3400, 3100..3900);
        assert_eq!((seen.longest(), seen.stall_at(3_200_000)), (0, None));
    }

    #[test]
    fn the_guest_is_back_when_its_rate_is() {
        let seen = seen(3000..5000, 0..0);
        assert!((990_000..1_010_000).contains(&seen.usual_rate()), "{}", seen.usual_rate());
        let back = seen.back(3_000_000, 1_000_000).unwrap();
        // From about 4.9 ms on, nine of ten microseconds count.
        assert!((1_800_000..2_000_000).contains(&back), "{back}");
        assert_eq!(seen.back(3_000_000, 2_000_000), None);
        assert_eq!(seen.percent_between(3_000_000, 4_900_000, 1_000_000), Some(0));
    }
}
