//! Times, compared honestly: ours and a peer's take turns in one process, each pair gives one ratio, and what is shown
//! is the median of the ratios with the interval that holds the true median in 95 of 100 cases (bootstrap).

use std::hint::black_box;
use std::time::Instant;

use crate::corpus::Dice;

/// Pairs of every comparison.
pub(crate) const PAIRS: usize = 31;
/// Samples drawn anew for an interval.
const RESAMPLES: usize = 1000;

/// One comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    /// Median seconds of ours and of the peer.
    pub(crate) ours: f64,
    pub(crate) peer: f64,
    /// Median of the peer's time over ours, and its interval.
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Seconds of one call.
pub(crate) fn seconds<T>(work: &mut impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    let result = black_box(work());
    let seconds = start.elapsed().as_secs_f64();
    drop(result);
    seconds
}

/// The median of several calls.
pub(crate) fn alone<T>(mut work: impl FnMut() -> T) -> f64 {
    seconds(&mut work);
    median(&mut (0..PAIRS).map(|_| seconds(&mut work)).collect::<Vec<_>>())
}

/// Ours and the peer's in turn.
pub(crate) fn compare<T, U>(mut ours: impl FnMut() -> T, mut peer: impl FnMut() -> U) -> Compared {
    seconds(&mut ours);
    seconds(&mut peer);
    let pairs: Vec<(f64, f64)> = (0..PAIRS).map(|_| (seconds(&mut ours), seconds(&mut peer))).collect();
    let ratios: Vec<f64> = pairs.iter().map(|(ours, peer)| peer / ours).collect();
    let mut dice = Dice(1);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn =
                (0..PAIRS).filter_map(|_| ratios.get(usize::try_from(dice.below(PAIRS as u64)).ok()?));
            median(&mut drawn.copied().collect::<Vec<_>>())
        })
        .collect();
    let ratio = median(&mut ratios.clone());
    medians.sort_by(f64::total_cmp);
    let at = |part: usize| medians.get(RESAMPLES * part / 1000).copied().unwrap_or(f64::NAN);
    Compared {
        ours: median(&mut pairs.iter().map(|pair| pair.0).collect::<Vec<_>>()),
        peer: median(&mut pairs.iter().map(|pair| pair.1).collect::<Vec<_>>()),
        ratio,
        low: at(25),
        high: at(974),
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
