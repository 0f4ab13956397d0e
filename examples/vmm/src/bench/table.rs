//! Tables: what many measurements come to, for people to read.

use core::fmt::Write as _;

use super::Measured;
use crate::cli::Carrier;
use crate::machine::Backing;
use crate::percentile::percentile;

/// Percent of measurements, and what the columns are called; 100 is the largest.
const COLUMNS: [(usize, &str); 4] = [(50, "p50"), (90, "p90"), (99, "p99"), (100, "max")];
/// Nanoseconds: what a blackout by socket may take above one and a half floors, by exec above the floor, and how long
/// the pause may look from outside.
const SOCKET_ABOVE: u64 = 100_000;
const EXEC_ABOVE: u64 = 1_500_000;
const OUTSIDE: u64 = 800_000;

/// Nanoseconds as milliseconds.
fn ms(nanoseconds: u64) -> String {
    format!("{}.{:03}", nanoseconds / 1_000_000, nanoseconds / 1000 % 1000)
}

/// Thousandths of a ratio, as text.
fn ratio(of: u64, to: u64) -> String {
    let hundredths = of.saturating_mul(100).checked_div(to).unwrap_or(0);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn row(text: &mut String, name: &str, values: &[u64]) {
    let cells = COLUMNS.map(|(percent, _)| percentile(values, percent).map_or("-".to_owned(), ms));
    // Writing to a string cannot fail.
    let _never = writeln!(
        text,
        "| {name:<44} | {:>4} | {} |",
        values.len(),
        cells.map(|cell| format!("{cell:>9}")).join(" | ")
    );
}

/// What one way across came to, at one size of memory.
pub(super) fn draw(measured: &Measured) -> String {
    let names = COLUMNS.map(|(_, name)| format!("{name:>9}")).join(" | ");
    let mut text = format!("| {:<44} | {:>4} | {names} |\n", "milliseconds", "n");
    let _never = writeln!(text, "|{}|-----:|{}", "-".repeat(46), "----------:|".repeat(COLUMNS.len()));
    let floor = match measured.carrier {
        Carrier::Socket => "floor: the bare calls and one wake-up",
        Carrier::Exec => "floor: VM, slots, vCPU after an execve",
    };
    row(&mut text, "blackout, by time stamps", &measured.blackouts);
    row(&mut text, floor, &measured.floors);
    row(&mut text, "pause seen from outside", &measured.pauses);
    row(&mut text, "longest stall seen during an update", &measured.longest);
    row(&mut text, "longest stall in as long without one", &measured.quiet);
    row(&mut text, "back at 90 % of the rate, from the entry", &measured.back);
    row(&mut text, "preparation, while the guest runs", &measured.prepared);
    for (name, values) in &measured.phases {
        row(&mut text, name, values);
    }
    text + &remarks(measured)
}

fn remarks(measured: &Measured) -> String {
    let half = |values: &[u64]| percentile(values, 50).unwrap_or(0);
    let mut text =
        format!("During the preparation the guest had {} % of its rate. ", half(&measured.percent));
    let (updates, pauses) = (measured.blackouts.len(), measured.pauses.len());
    if pauses < updates {
        let _never = write!(text, "The observer was away in {} of {updates} pauses. ", updates - pauses);
    }
    if measured.back.len() < updates {
        let _never = write!(
            text,
            "In {} updates the guest was not back within {} ms. ",
            updates - measured.back.len(),
            super::TAIL.as_millis()
        );
    }
    text + "\n" + &targets(measured)
}

/// Each target of this way across, and whether it was met.
fn targets(measured: &Measured) -> String {
    let half = |values: &[u64]| percentile(values, 50).unwrap_or(u64::MAX);
    let (blackout, floor) = (half(&measured.blackouts), half(&measured.floors));
    let mut text = format!("p50 is {} times the floor.\n", ratio(blackout, floor));
    if measured.copied {
        let rate = measured.memory.saturating_mul(1_000_000_000).checked_div(blackout).unwrap_or(0);
        return text
            + &format!("Guest memory is copied in the pause: {} MiB in a second of it.\n", rate >> 20);
    }
    let mut target = |what: String, found: u64, most: u64| {
        let verdict = if found <= most { "met" } else { "MISSED" };
        let _never = writeln!(text, "- {what}: {} of {} ms: {verdict}", ms(found), ms(most));
    };
    match measured.carrier {
        Carrier::Socket => {
            let most = (floor / 2).saturating_mul(3).saturating_add(SOCKET_ABOVE);
            target("p50 at most 1.5 x floor + 0.1 ms".to_owned(), blackout, most);
            if !measured.pauses.is_empty() {
                target("p50 from outside at most 0.8 ms".to_owned(), half(&measured.pauses), OUTSIDE);
            }
        }
        Carrier::Exec => {
            let most = floor.saturating_add(EXEC_ABOVE);
            target("p50 at most 1.5 ms above the floor".to_owned(), blackout, most);
        }
    }
    text
}

/// How the sizes of memory compare, and what others take.
pub(super) fn close(all: &[Measured]) -> String {
    let first = all.first().map(|measured| measured.backing);
    let by_socket =
        all.iter().filter(|measured| measured.carrier == Carrier::Socket && Some(measured.backing) == first);
    let halves: Vec<_> = by_socket.filter_map(|measured| percentile(&measured.blackouts, 50)).collect();
    let mut text = String::new();
    if let (Some(least), Some(most), true) = (halves.iter().min(), halves.iter().max(), halves.len() > 1) {
        let met = most.saturating_mul(2) <= least.saturating_mul(3);
        let verdict = if met { "met" } else { "MISSED" };
        let _never = writeln!(
            text,
            "socket, p50 of all sizes within a factor of 1.5: {}: {verdict}",
            ratio(*most, *least)
        );
    }
    text += &beside_memfds(all);
    text + "For scale (published, not measured here): QEMU 11.1.3 `cpr-exec`, watched from outside on such a machine, \
            pauses 38 to 62 ms.\n"
}

/// How other sorts of memory compare with memfds in the same run.
fn beside_memfds(all: &[Measured]) -> String {
    let mut text = String::new();
    // A pause in which all of memory is copied is compared with nothing that does not grow with memory.
    for measured in all.iter().filter(|measured| measured.backing != Backing::Memfd && !measured.copied) {
        let Measured { carrier, backing, memory, blackouts, .. } = measured;
        let beside = all.iter().find(|other| {
            (other.carrier, other.backing, other.memory) == (*carrier, Backing::Memfd, *memory)
        });
        let halves = (percentile(blackouts, 50), beside.and_then(|beside| percentile(&beside.blackouts, 50)));
        let (Some(own), Some(memfd)) = halves else { continue };
        let verdict = if own.saturating_mul(2) <= memfd.saturating_mul(3) { "met" } else { "MISSED" };
        let _never = writeln!(
            text,
            "{carrier:?}, {} MiB: p50 of {backing:?} is {} times that of memfds, at most 1.5: {verdict}",
            memory >> 20,
            ratio(own, memfd)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        assert_eq!((ms(1_234_567).as_str(), ratio(3, 2).as_str()), ("1.234", "1.50"));
    }

    #[test]
    fn a_target_is_met_or_missed_by_its_own_rule() {
        let verdict = |carrier, blackout| {
            let mut measured = Measured::new(carrier, Backing::Memfd, 1 << 30);
            (measured.blackouts, measured.floors) = (vec![blackout], vec![200_000]);
            targets(&measured).contains("MISSED")
        };
        assert!(!verdict(Carrier::Socket, 400_000));
        assert!(verdict(Carrier::Socket, 400_001));
        assert!(!verdict(Carrier::Exec, 1_700_000));
        assert!(verdict(Carrier::Exec, 1_700_001));
    }
}
