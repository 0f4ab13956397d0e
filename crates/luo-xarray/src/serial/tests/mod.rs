//! The serialized form against a dumb model, over many patterns; its sizes; hostile bytes; golden bytes.

mod golden;
mod hostile;
mod model;
mod patterns;
mod sizes;
mod stored;
mod slots;
mod threads;
mod wide;

use alloc::vec::Vec;

use super::{Builder, Encoded, Run, SerialView, Step};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // splitmix64: public domain constants by Sebastiano Vigna.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn run(first: u64, last: u64, value: u64, step: Step) -> Run {
    Run::new(first..=last, value, step).unwrap()
}

fn encode(runs: &[Run]) -> Encoded {
    let mut builder = Builder::new();
    for run in runs {
        builder.add(*run).unwrap();
    }
    builder.encode()
}

fn encode_entries(entries: &[(u64, u64)]) -> Encoded {
    let mut builder = Builder::new();
    for (index, value) in entries {
        builder.push(*index, *value).unwrap();
    }
    builder.encode()
}

/// The entries of runs that are not too long.
fn entries_of(runs: &[Run]) -> Vec<(u64, u64)> {
    let entries = |run: &Run| {
        let run = *run;
        run.indices().map(move |index| (index, run.value_at(index).unwrap()))
    };
    runs.iter().flat_map(entries).collect()
}

fn pieces(bytes: &[u8], len: usize) -> Vec<&[u8]> {
    bytes.chunks(len).collect()
}

fn view(bytes: &[u8]) -> SerialView<'_> {
    SerialView::open(&[bytes]).unwrap()
}
