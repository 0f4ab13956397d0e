//! The judge: what an update and a look at the guest have to show.

use crate::cli::Carrier;
use crate::control::Reply;

/// The guest's clock and the host's may drift apart by so many nanoseconds in a second, because neither knows the
/// processor's frequency better: 500 parts in a million, the most by which the host's clock is steered.
const DRIFT: u64 = 500_000;
/// And by so many nanoseconds in any time: cycles are counted in whole kHz.
const ROUNDING: u64 = 20_000;

/// What was seen before.
pub(super) struct Judge {
    vcpus: u32,
    /// The program that had the guest.
    pid: Option<u64>,
    /// What each vCPU showed at the last look.
    seen: Vec<Seen>,
    /// The most, in nanoseconds, by which a vCPU's clock and the host's went on differently between two looks.
    off: u64,
}

/// What a vCPU shows.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    steps: u64,
    lines: u64,
    /// Cycles of its clock, and so many in a millisecond; 0 if it was never looked at.
    clock: u64,
    khz: u64,
    /// The host's clock, before that was read and after.
    between: (u64, u64),
}

impl Seen {
    fn new(reply: &Reply, vcpu: u32) -> Self {
        let number = |key: &str| reply.number(&format!("{key}.{vcpu}")).unwrap_or(0);
        Self {
            steps: number("counter"),
            lines: number("lines"),
            clock: number("clock"),
            khz: number("clock_khz"),
            between: (number("clock_after"), number("clock_before")),
        }
    }

    /// By how many nanoseconds more the guest's clock went on since `before` than the host's, at least and at most: the
    /// host's is known as well as it was read. `None` if there was no look before.
    fn off(&self, before: &Self) -> Option<(i64, i64)> {
        if before.khz == 0 || self.khz == 0 {
            return None;
        }
        let cycles = i128::from(self.clock) - i128::from(before.clock);
        let guest = cycles * 1_000_000 / i128::from(self.khz);
        let more = |later: u64, earlier: u64| {
            i64::try_from(guest - (i128::from(later) - i128::from(earlier))).unwrap_or(i64::MAX)
        };
        Some((more(self.between.1, before.between.0), more(self.between.0, before.between.1)))
    }

    /// By how many nanoseconds its clock jumped, forwards or backwards, beyond what two clocks drift apart.
    fn jump(&self, before: &Self) -> i64 {
        let Some((least, most)) = self.off(before) else { return 0 };
        let time = self.between.1.saturating_sub(before.between.0);
        let drift = u128::from(time) * u128::from(DRIFT) / 1_000_000_000 + u128::from(ROUNDING);
        let slack = i64::try_from(drift).unwrap_or(i64::MAX);
        if least > slack {
            least
        } else if most < -slack {
            most
        } else {
            0
        }
    }
}

impl Judge {
    pub(super) fn new(vcpus: u32) -> Self {
        Self { vcpus, pid: None, seen: vec![Seen::default(); vcpus as usize], off: 0 }
    }

    /// What is wrong with an update.
    pub(super) fn update(
        &mut self,
        reply: &Reply,
        carrier: Carrier,
        generation: u64,
        to: u16,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(error) = reply.get("error") {
            problems.push(error.to_owned());
        }
        if reply.number("vmm_version") != Some(to.into()) {
            problems.push(format!("the VMM is not of version {to}"));
        }
        if reply.number("generation") != Some(generation) {
            problems.push(format!("it is not the handover number {generation}"));
        }
        let pid = reply.number("pid");
        let same = self.pid.is_none() || self.pid == pid;
        match carrier {
            Carrier::Exec if !same => problems.push("exec changed the process".to_owned()),
            Carrier::Socket if same && self.pid.is_some() => {
                problems.push("the process is the same as before".to_owned());
            }
            _ => {}
        }
        self.pid = pid;
        problems
    }

    /// The most, in nanoseconds, by which a vCPU's clock and the host's went on differently between two looks.
    pub(super) const fn off(&self) -> u64 {
        self.off
    }

    /// What is wrong with the guest.
    pub(super) fn verify(&mut self, reply: &Reply) -> Vec<String> {
        let mut problems = Vec::new();
        if reply.get("ok") != Some("true") {
            let said = reply.get("error").or_else(|| reply.get("problems"));
            problems.push(said.unwrap_or("the VMM did not answer").to_owned());
        }
        for (vcpu, seen) in (0..self.vcpus).zip(&mut self.seen) {
            let before = core::mem::replace(seen, Seen::new(reply, vcpu));
            if seen.steps <= before.steps || seen.lines < before.lines {
                let (was, is) = (before.steps, seen.steps);
                problems.push(format!("vcpu {vcpu} does not go on: {was} steps, then {is}"));
            }
            if let Some((least, most)) = seen.off(&before) {
                self.off = self.off.max(least.midpoint(most).unsigned_abs());
            }
            let jump = seen.jump(&before);
            if jump != 0 {
                problems.push(format!("the clock of vcpu {vcpu} jumped by {jump} ns"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(pid: u64, generation: u64) -> Reply {
        Reply::default().with("pid", pid).with("generation", generation).with("vmm_version", 1)
    }

    #[test]
    fn an_update_is_what_was_asked_for() {
        let mut judge = Judge::new(1);
        assert_eq!(judge.update(&updated(7, 1), Carrier::Exec, 1, 1), [""; 0]);
        assert_eq!(judge.update(&updated(7, 2), Carrier::Exec, 2, 1), [""; 0]);
        assert_eq!(judge.update(&updated(8, 3), Carrier::Socket, 3, 1), [""; 0]);
        assert_eq!(judge.update(&updated(8, 4), Carrier::Socket, 4, 1).len(), 1, "no other process");
        assert_eq!(judge.update(&updated(9, 5), Carrier::Exec, 5, 1).len(), 1, "another process");
        assert_eq!(
            judge.update(&updated(9, 5), Carrier::Exec, 6, 2).len(),
            2,
            "neither version nor handover"
        );
        let refused = updated(9, 6).with("error", "no");
        assert_eq!(judge.update(&refused, Carrier::Exec, 6, 1), ["no"]);
    }

    /// What a guest shows after so many milliseconds, if its clock is off by so many.
    fn look(counter: u64, ms: u64, off: i64) -> Reply {
        let cycles = (ms * 2_000_000).saturating_add_signed(off * 2_000_000);
        Reply::default()
            .with("ok", true)
            .with("counter.0", counter)
            .with("lines.0", counter / 10)
            .with("clock.0", cycles)
            .with("clock_khz.0", 2_000_000)
            .with("clock_after.0", ms * 1_000_000 - 10_000)
            .with("clock_before.0", ms * 1_000_000 + 10_000)
    }

    #[test]
    fn a_guest_goes_on() {
        let mut judge = Judge::new(1);
        assert_eq!(judge.verify(&look(10, 1000, 0)), [""; 0]);
        assert_eq!(judge.verify(&look(10, 1100, 0)).len(), 1, "it stands still");
        assert_eq!(judge.verify(&look(11, 1200, 0)), [""; 0]);
        assert_eq!(judge.verify(&look(12, 1300, 0).with("ok", false).with("problems", "x")), ["x"]);
        assert_eq!(judge.verify(&Reply::error("gone")).len(), 2);
    }

    #[test]
    fn its_clock_goes_with_the_host_through_any_pause() {
        let mut judge = Judge::new(1);
        for (nth, ms) in [1000, 1001, 5000, 3_600_000].into_iter().enumerate() {
            assert_eq!(judge.verify(&look(10 + nth as u64, ms, 0)), [""; 0]);
        }
        let jump = |off| {
            let mut judge = Judge::new(1);
            assert_eq!(judge.verify(&look(10, 1000, 0)), [""; 0]);
            judge.verify(&look(20, 1500, off))
        };
        assert_eq!(jump(1).len(), 1, "forwards");
        assert_eq!(jump(-1).len(), 1, "it stood still");
        assert_eq!(jump(-600).len(), 1, "backwards");
    }
}
