//! The phases of an update, from mark to mark; and what many of them come to.

use super::Row;
use crate::cli::Carrier;
use crate::percentile::percentile;
use crate::trace::Mark;

/// A part of the blackout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    /// One letter, for the terminal.
    pub(super) letter: char,
    /// What happens in it.
    pub(super) name: &'static str,
    /// Colours: of the terminal (256), and of the picture.
    pub(super) terminal: u8,
    pub(super) picture: &'static str,
    pub(super) from: Mark,
    pub(super) to: Mark,
}

/// The blackout, in order: nothing is left out between them.
pub(super) const BLACKOUT: [Phase; 4] = [
    Phase {
        letter: 's',
        name: "the old program writes the last of the state",
        terminal: 67,
        picture: "#4c78a8",
        from: Mark::Stopped,
        to: Mark::Frozen,
    },
    Phase {
        letter: 'c',
        name: "it is offered and carried across",
        terminal: 173,
        picture: "#d08a3e",
        from: Mark::Frozen,
        to: Mark::Adopted,
    },
    Phase {
        letter: 'r',
        name: "the new program sets the state",
        terminal: 71,
        picture: "#5a9e5a",
        from: Mark::Adopted,
        to: Mark::Restored,
    },
    Phase {
        letter: 'e',
        name: "it commits, and enters the first vCPU",
        terminal: 167,
        picture: "#c0504d",
        from: Mark::Restored,
        to: Mark::Entered,
    },
];

/// What many blackouts come to, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) count: usize,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

/// The blackouts of one way across, or of all.
pub(super) fn summary(rows: &[Row], carrier: Option<Carrier>) -> Option<Summary> {
    let of_carrier = |row: &&Row| carrier.is_none_or(|carrier| carrier == row.carrier);
    let blackouts: Vec<_> = rows.iter().filter(of_carrier).filter_map(|row| row.marks.blackout()).collect();
    summarize(&blackouts)
}

fn summarize(values: &[u64]) -> Option<Summary> {
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(values, percent));
    Some(Summary { count: values.len(), p50: p50?, p99: p99?, max: max? })
}

/// Nanoseconds as milliseconds, for people.
pub(super) fn ms(nanoseconds: u64) -> String {
    let micros = nanoseconds.div_ceil(1000);
    match micros {
        0..10_000 => format!("{}.{:03} ms", micros / 1000, micros % 1000),
        10_000..100_000 => format!("{}.{:01} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{} ms", micros / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_without_a_gap() {
        for [one, next] in BLACKOUT.array_windows() {
            assert_eq!(one.to, next.from);
        }
        assert_eq!((BLACKOUT[0].from, BLACKOUT[3].to), (Mark::Stopped, Mark::Entered));
    }

    #[test]
    fn many_blackouts_come_to_a_few_numbers() {
        assert_eq!(summarize(&[]), None);
        let many: Vec<_> = (1..=200).rev().collect();
        let many = summarize(&many).unwrap();
        assert_eq!((many.count, many.p50, many.p99, many.max), (200, 100, 198, 200));
    }

    #[test]
    fn times_are_short_to_read() {
        let texts = [1, 412_300, 9_999_000, 12_345_678, 1_234_567_890].map(ms);
        assert_eq!(texts, ["0.001 ms", "0.413 ms", "9.999 ms", "12.3 ms", "1234 ms"]);
    }
}
