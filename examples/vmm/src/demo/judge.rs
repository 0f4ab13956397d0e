//! The judge: what an update and a look at the guest have to show.

use crate::cli::Carrier;
use crate::control::Reply;

/// A step of the guest's clock may be so much longer than the blackout: the host may do something else for a while.
const ALLOWANCE_MS: u64 = 500;

/// What was seen before.
pub(super) struct Judge {
    vcpus: u32,
    /// The program that had the guest.
    pid: Option<u64>,
    /// Steps and lines of each vCPU, at the last look.
    seen: Vec<(u64, u64)>,
}

impl Judge {
    pub(super) fn new(vcpus: u32) -> Self {
        Self { vcpus, pid: None, seen: vec![(0, 0); vcpus as usize] }
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

    /// What is wrong with the guest.
    pub(super) fn verify(&mut self, reply: &Reply, blackout: Option<u64>) -> Vec<String> {
        let mut problems = Vec::new();
        if reply.get("ok") != Some("true") {
            let said = reply.get("error").or_else(|| reply.get("problems"));
            problems.push(said.unwrap_or("the VMM did not answer").to_owned());
        }
        let khz = reply.number("clock_khz").unwrap_or(0);
        for (vcpu, seen) in (0..self.vcpus).zip(&mut self.seen) {
            let number = |key: &str| reply.number(&format!("{key}.{vcpu}")).unwrap_or(0);
            let now = (number("counter"), number("lines"));
            if now.0 <= seen.0 || now.1 < seen.1 {
                problems.push(format!("vcpu {vcpu} does not go on: {} steps, then {}", seen.0, now.0));
            }
            *seen = now;
            let widest_ms = number("widest").checked_div(khz).unwrap_or(0);
            if let Some(blackout) = blackout
                && widest_ms > blackout / 1_000_000 + ALLOWANCE_MS
            {
                problems.push(format!("the clock of vcpu {vcpu} jumped {widest_ms} ms"));
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

    #[test]
    fn a_guest_goes_on_and_its_clock_does_not_jump() {
        let look = |counter: u64, widest: u64| {
            Reply::default()
                .with("ok", true)
                .with("clock_khz", 1000)
                .with("counter.0", counter)
                .with("lines.0", counter / 10)
                .with("widest.0", widest)
        };
        let mut judge = Judge::new(1);
        assert_eq!(judge.verify(&look(10, 1000), Some(2_000_000)), [""; 0]);
        assert_eq!(judge.verify(&look(10, 1000), None).len(), 1, "it stands still");
        assert_eq!(judge.verify(&look(20, 600_000), Some(50_000_000)).len(), 1, "its clock jumps");
        assert_eq!(judge.verify(&look(30, 600_000), Some(200_000_000)), [""; 0]);
        assert_eq!(judge.verify(&look(40, 0).with("ok", false).with("problems", "x"), None), ["x"]);
    }
}
