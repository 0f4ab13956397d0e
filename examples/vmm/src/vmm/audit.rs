//! What a VMM says of its guest: how far it is, and, once it has stopped, whether everything is as it has to be.

use crate::control::Reply;
use crate::devices::Counts;
use crate::guest::{Findings, LINE_EVERY, books, hash as hash_of, verify as verify_memory};
use crate::machine::{Clock, Kind, Machine, Saved};

/// How far the guest is. It may be running.
pub(super) fn status(saved: &Saved) -> Reply {
    let Some(machine) = &saved.machine else { return Reply::error("there is no machine") };
    let layout = machine.layout();
    let mut reply = Reply::default()
        .with("guest", kind_name(machine.kind()))
        .with("memory", layout.bytes())
        .with("vcpus", layout.vcpus())
        .with("running", machine.is_running());
    for vcpu in 0..layout.vcpus() {
        match books(machine.memory().guest(), vcpu) {
            Ok(books) => reply = reply.with(&format!("counter.{vcpu}"), books.counter),
            Err(error) => reply = reply.with("error", error),
        }
    }
    reply
}

pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Kvm => "kvm",
        Kind::Thread => "thread",
    }
}

/// Hashes of all regions. The guest has stopped.
pub(super) fn hashes(machine: &Machine) -> String {
    match hash_of(machine.memory().guest(), machine.layout()) {
        Ok(hashes) => hashes.iter().map(|hash| format!("{hash:08x}")).collect::<Vec<_>>().join("-"),
        Err(error) => error.to_string(),
    }
}

/// As [`hashes`], for whoever asks.
pub(super) fn hash(saved: &Saved) -> Reply {
    match &saved.machine {
        Some(machine) => Reply::default().with("hash", hashes(machine)),
        None => Reply::error("there is no machine"),
    }
}

/// Compares all of memory, and everything that was counted. The guest has stopped.
pub(super) fn verify(saved: &Saved) -> Reply {
    let Some(machine) = &saved.machine else { return Reply::error("there is no machine") };
    let findings = match verify_memory(machine.memory().guest(), machine.layout()) {
        Ok(findings) => findings,
        Err(error) => return Reply::error(error),
    };
    let counts: Vec<_> = saved.devices.lock().counts().collect();
    let problems = problems(&findings, &counts);
    let mut reply = Reply::default()
        .with("ok", problems.is_empty())
        .with("problems", problems.join("; "))
        .with("compared", findings.compared)
        .with("wrong", findings.wrong);
    for (vcpu, (books, counts)) in findings.books.iter().zip(&counts).enumerate() {
        reply = reply
            .with(&format!("counter.{vcpu}"), books.counter)
            .with(&format!("interrupts.{vcpu}"), books.interrupts)
            .with(&format!("rings.{vcpu}"), counts.rings)
            .with(&format!("lines.{vcpu}"), counts.lines)
            .with(&format!("widest.{vcpu}"), books.widest);
    }
    match machine.clocks() {
        Ok(clocks) => (0..).zip(clocks).fold(reply, |reply: Reply, (vcpu, clock): (u32, _)| {
            let Clock { cycles, khz, between: (before, after) } = clock;
            reply
                .with(&format!("clock.{vcpu}"), cycles)
                .with(&format!("clock_khz.{vcpu}"), khz)
                .with(&format!("clock_after.{vcpu}"), before)
                .with(&format!("clock_before.{vcpu}"), after)
        }),
        Err(error) => reply.with("error", error),
    }
}

/// What is not as it has to be.
fn problems(findings: &Findings, counts: &[Counts]) -> Vec<String> {
    let mut problems = Vec::new();
    if findings.wrong > 0 {
        let first: Vec<_> = findings
            .first
            .iter()
            .map(|word| format!("{:#x} holds {:#x} and not {:#x}", word.at, word.found, word.expected))
            .collect();
        problems.push(format!("{} words of memory are wrong: {}", findings.wrong, first.join(", ")));
    }
    for (vcpu, (books, counts)) in findings.books.iter().zip(counts).enumerate() {
        let due = books.counter / LINE_EVERY;
        // A line is printed character by character: the last one may be under way.
        if counts.faults > 0 || counts.lines > due || counts.lines + 1 < due {
            let (lines, faults) = (counts.lines, counts.faults);
            problems.push(format!("vcpu {vcpu} printed {lines} lines of {due}, {faults} of them wrong"));
        }
        // The last ring may be pending, no more and no less.
        if !(books.interrupts..=books.interrupts + 1).contains(&counts.rings) {
            let (rings, interrupts) = (counts.rings, books.interrupts);
            problems.push(format!("vcpu {vcpu} counted {interrupts} interrupts of {rings}"));
        }
        if books.backwards > 0 {
            problems.push(format!("the clock of vcpu {vcpu} went backwards {} times", books.backwards));
        }
    }
    problems
}
