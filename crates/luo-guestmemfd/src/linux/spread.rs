//! Work on many pages, **spread** over threads.
//!
//! A page of a new file exists when the kernel has found, zeroed and mapped it, one page at a time; that takes longer
//! than to copy into it. Several threads wait for each other there only a little, and the guest, which stands still
//! meanwhile, leaves its processors to them.

use alloc::vec::Vec;
use core::num::NonZero;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::panic::resume_unwind;
use std::thread::{Builder, available_parallelism, scope};

/// Pages that a thread takes at a time: 1 MiB. More leave the caches before they are copied.
const STEP: u64 = 256;
/// With fewer pages it stays with one thread: 16 MiB take about 12 ms, the start of a thread a hundredth of that.
const ALONE: u64 = 16 * STEP;
/// Threads, at most: other guests of the host go on.
const THREADS: usize = 4;

/// Does something to all pages, some at a time and in any order, on as many threads as this program has processors.
///
/// # Errors
///
/// One of those that there were; some pages may have been done all the same.
pub(super) fn spread<E: Send>(
    pages: Range<u64>,
    each: impl Fn(Range<u64>) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicU64::new(pages.start);
    let work = || loop {
        let from = next.fetch_add(STEP, Ordering::Relaxed);
        if from >= pages.end {
            return Ok(());
        }
        if let Err(error) = each(from..(from + STEP).min(pages.end)) {
            // Nobody needs to begin with more.
            next.store(pages.end, Ordering::Relaxed);
            return Err(error);
        }
    };
    let alone = pages.end.saturating_sub(pages.start) < ALONE;
    let threads = if alone { 1 } else { available_parallelism().map_or(1, NonZero::get).min(THREADS) };
    scope(|scope| {
        // One that cannot be had is not missed: this thread does what nobody else does.
        let others = (1..threads).filter_map(|_| Builder::new().spawn_scoped(scope, work).ok());
        let others: Vec<_> = others.collect();
        let own = work();
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        others.fold(own, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_page_is_done_once() {
        for pages in [0..0, 7..8, 5..5 + STEP, 3..ALONE + 1000] {
            let done = Mutex::new(vec![0; 2 * 4096]);
            let each = |pages: Range<u64>| {
                let mut done = done.lock().unwrap();
                pages.for_each(|page| done[usize::try_from(page).unwrap()] += 1);
                Ok::<_, ()>(())
            };
            spread(pages.clone(), each).unwrap();
            let done = done.into_inner().unwrap();
            assert!((0..).zip(done).all(|(page, times)| times == u64::from(pages.contains(&page))));
        }
    }

    #[test]
    fn an_error_is_heard_and_ends_the_work() {
        let failed =
            spread(0..1 << 40, |pages| if pages.start > 9 * STEP { Err(pages.start) } else { Ok(()) });
        assert!(failed.is_err_and(|page| page > 9 * STEP));
    }
}
