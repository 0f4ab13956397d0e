//! The serialized array beside other formats: bytes, building, reading everything, look-ups, opening, verifying.
//!
//! Every answer is compared with the slots before anything is timed.

mod corpus;
mod measure;
mod ours;
mod peers;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;

use self::corpus::{HOLE, Pattern};
use self::measure::{Compared, PAIRS, compare};
use self::ours::{Ours, threads, write};
use self::peers::{Fdt, Flat, Peer, Postcard, RkyvMap, RkyvVec, Roaring, dependent, independent};

/// Look-ups in one sample: at least so many, at most so many, and one for so many pages between them. Far above the
/// caches the same few would soon be in them.
const LOOKUPS_MIN: usize = 1 << 16;
const LOOKUPS_MAX: usize = 1 << 18;
const PAGES_PER_LOOKUP: usize = 1 << 8;

#[derive(Parser)]
struct Options {
    /// Only these patterns
    #[arg(long, value_enum, value_delimiter = ',')]
    patterns: Vec<Pattern>,
    /// Pages of the map: 4 Mi of 4 KiB pages are a guest of 16 GiB
    #[arg(long, default_value_t = 1 << 22)]
    pages: usize,
    /// Only beside Linux's flat array
    #[arg(long)]
    flat: bool,
    /// What cargo passes to a bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// One map, and what to ask it.
struct Case {
    pattern: Pattern,
    slots: Vec<u64>,
    entries: usize,
    indices: Vec<u64>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let patterns = if options.patterns.is_empty() { Pattern::ALL.to_vec() } else { options.patterns.clone() };
    threads(1)?.install(|| run(&options, patterns))?;
    Ok(ExitCode::SUCCESS)
}

/// On one thread, unless a row says otherwise.
fn run(options: &Options, patterns: Vec<Pattern>) -> Result<()> {
    println!(
        "{} pages, medians of {PAIRS} pairs; x: the peer's time over ours, with its interval of 95 %",
        options.pages
    );
    for pattern in patterns {
        let case = Case::new(pattern, options.pages)?;
        let ours = Ours::of(&case.slots)?;
        ours.check(&case)?;
        ours.report(&case)?;
        beside::<Flat>(&case, &ours)?;
        if !options.flat {
            beside::<Roaring>(&case, &ours)?;
            beside::<RkyvMap>(&case, &ours)?;
            beside::<RkyvVec>(&case, &ours)?;
            beside::<Postcard>(&case, &ours)?;
            beside::<Fdt>(&case, &ours)?;
        }
    }
    Ok(())
}

impl Case {
    fn new(pattern: Pattern, pages: usize) -> Result<Self> {
        let slots = pattern.slots(pages)?;
        let entries = slots.iter().filter(|slot| **slot != HOLE).count();
        let mut dice = corpus::Dice(11);
        let lookups = (pages / PAGES_PER_LOOKUP).clamp(LOOKUPS_MIN, LOOKUPS_MAX);
        let indices = (0..lookups).map(|_| dice.below(pages as u64)).collect();
        Ok(Self { pattern, slots, entries, indices })
    }

    /// What the map holds, according to the slots.
    fn expected(&self, index: u64) -> Option<u64> {
        self.slots.get(usize::try_from(index).ok()?).copied().filter(|slot| *slot != HOLE)
    }
}

/// Measures one peer beside ours.
fn beside<P: Peer>(case: &Case, ours: &Ours) -> Result<()> {
    let source = P::source(&case.slots);
    let mut peer = P::build(&case.slots, &source)?;
    let mut room = vec![HOLE; case.slots.len()];
    peer.restore(&mut room)?;
    ensure!(room == case.slots, "{} reads back other entries", P::NAME);
    let view = ours.view()?;

    let build = compare(|| write(&case.slots), || peer.build_again(&case.slots, &source));
    let mut other = vec![HOLE; case.slots.len()];
    let restore = compare(|| view.fill(0, &mut room, HOLE), || peer.restore(&mut other));
    println!("  {:<26} {:>10.5} B/entry", P::NAME, per(float(peer.bytes()), case.entries));
    show("build", "Me/s", &build, |seconds| float(case.entries) / seconds / 1e6);
    show("restore", "Me/s", &restore, |seconds| float(case.entries) / seconds / 1e6);
    let open = compare(|| ours.view().is_ok(), || peer.open().is_ok());
    show("open", "us", &open, |seconds| seconds * 1e6);
    let asked = peer.asked(|get| {
        for index in &case.indices {
            ensure!(get(*index) == case.expected(*index), "{} has another value at {index}", P::NAME);
        }
        let ask = |index| view.get(index).ok().flatten();
        let nanoseconds = |seconds: f64| seconds * 1e9 / float(case.indices.len());
        let free = compare(|| independent(&case.indices, ask), || independent(&case.indices, get));
        show("look-up", "ns", &free, nanoseconds);
        let bound = compare(|| dependent(&case.indices, ask), || dependent(&case.indices, get));
        show("look-up, dependent", "ns", &bound, nanoseconds);
        Ok(())
    });
    asked.unwrap_or(Ok(()))
}

fn per(total: f64, entries: usize) -> f64 {
    total / float(entries.max(1))
}

/// A count as a factor.
fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn show(what: &str, unit: &str, compared: &Compared, figure: impl Fn(f64) -> f64) {
    let Compared { ours, peer, ratio, low, high } = compared;
    println!(
        "    {what:<20} {:>9.1} {unit:<4} against {:>9.1}: {ratio:>8.2} x  [{low:.2}, {high:.2}]",
        figure(*ours),
        figure(*peer),
    );
}
