//! Work for several threads, where there are any.
//!
//! Reading and writing files can be done side by side; changing preserved memory cannot. So threads read, and one
//! writes what they read; or threads write to a file what one has laid out.

use core::num::NonZeroUsize;

use crate::HostError;

/// More threads than these only wait for memory.
#[cfg(feature = "std")]
const THREADS_MAX: usize = 4;
/// Less work than this is done before a thread has begun.
#[cfg(feature = "std")]
const ITEMS_MIN: usize = 4;

/// How many threads work on so many items: 1 for the caller alone.
#[cfg(feature = "std")]
fn threads_for(items: usize, asked: Option<NonZeroUsize>) -> usize {
    if items <= ITEMS_MIN {
        return 1;
    }
    let sensible = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX));
    asked.map_or_else(sensible, NonZeroUsize::get).min(items)
}

/// Makes something of each item, side by side, and gives each to `take`, in any order.
///
/// # Errors
///
/// The first of either; what has begun is ended.
#[cfg(feature = "std")]
pub(super) fn pipeline<T: Sync, E: From<HostError>>(
    items: &[T],
    threads: Option<NonZeroUsize>,
    make: impl Fn(&T, &mut alloc::vec::Vec<u8>) -> Result<(), HostError> + Sync,
    mut take: impl FnMut(&T, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    use core::sync::atomic::{AtomicUsize, Ordering};

    let threads = threads_for(items.len(), threads);
    if threads < 2 {
        return one_by_one(items, &make, &mut take);
    }
    let next = AtomicUsize::new(0);
    let (full, filled) = crossbeam_channel::bounded(threads);
    let (empty, emptied) = crossbeam_channel::unbounded::<alloc::vec::Vec<u8>>();
    std::thread::scope(|scope| {
        let work = |full: crossbeam_channel::Sender<_>| {
            while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut buffer = emptied.try_recv().unwrap_or_default();
                let made = make(item, &mut buffer).map(|()| buffer);
                // Nobody listens any more: somebody failed.
                if full.send((item, made)).is_err() {
                    break;
                }
            }
        };
        let begun = (0..threads).filter(|_| {
            let full = full.clone();
            std::thread::Builder::new().spawn_scoped(scope, move || work(full)).is_ok()
        });
        if begun.count() == 0 {
            return one_by_one(items, &make, &mut take);
        }
        drop(full);
        // One for each item, or until the first failure, which drops the receiver.
        for _ in items {
            // None is to come: a worker panicked, and this thread does when it leaves the scope.
            let Ok((item, made)) = filled.recv() else { break };
            let outcome = made.map_err(E::from).and_then(|buffer| {
                take(item, &buffer)?;
                Ok(buffer)
            });
            match outcome {
                // The workers may all have ended: then nobody needs it.
                Ok(buffer) => drop(empty.send(buffer)),
                Err(error) => {
                    drop(filled);
                    return Err(error);
                }
            }
        }
        Ok(())
    })
}

/// As with threads, without.
#[cfg(not(feature = "std"))]
pub(super) fn pipeline<T, E: From<HostError>>(
    items: &[T],
    _threads: Option<NonZeroUsize>,
    make: impl Fn(&T, &mut alloc::vec::Vec<u8>) -> Result<(), HostError>,
    mut take: impl FnMut(&T, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    one_by_one(items, &make, &mut take)
}

fn one_by_one<T, E: From<HostError>>(
    items: &[T],
    make: &impl Fn(&T, &mut alloc::vec::Vec<u8>) -> Result<(), HostError>,
    take: &mut impl FnMut(&T, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = alloc::vec::Vec::new();
    for item in items {
        make(item, &mut buffer)?;
        take(item, &buffer)?;
    }
    Ok(())
}

/// Does something with each item, side by side.
///
/// # Errors
///
/// One that happened; items that nobody had begun with are left.
#[cfg(feature = "std")]
pub(super) fn each<T: Sync>(
    items: &[T],
    threads: Option<NonZeroUsize>,
    act: impl Fn(&T) -> Result<(), HostError> + Sync,
) -> Result<(), HostError> {
    use core::sync::atomic::{AtomicUsize, Ordering};

    let threads = threads_for(items.len(), threads);
    if threads < 2 {
        return items.iter().try_for_each(act);
    }
    let next = AtomicUsize::new(0);
    let failed = std::sync::OnceLock::new();
    std::thread::scope(|scope| {
        let work = || {
            while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                if failed.get().is_some() {
                    break;
                }
                if let Err(error) = act(item) {
                    let _ = failed.set(error);
                }
            }
        };
        for _ in 1..threads {
            // Where no thread can be had, this one does it all.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// As with threads, without.
#[cfg(not(feature = "std"))]
pub(super) fn each<T>(
    items: &[T],
    _threads: Option<NonZeroUsize>,
    act: impl Fn(&T) -> Result<(), HostError>,
) -> Result<(), HostError> {
    items.iter().try_for_each(act)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const ERROR: HostError = HostError { call: "pread", errno: 5 };

    fn threads(count: usize) -> Option<NonZeroUsize> {
        NonZeroUsize::new(count)
    }

    #[test]
    fn every_item_goes_through_once_with_any_number_of_threads() {
        let items: Vec<u32> = (0..1000).collect();
        for count in [1, 2, 7] {
            let mut taken = BTreeSet::new();
            let make = |item: &u32, buffer: &mut Vec<u8>| {
                buffer.clear();
                buffer.extend(item.to_le_bytes());
                Ok(())
            };
            let outcome: Result<(), HostError> = pipeline(&items, threads(count), make, |item, bytes| {
                assert_eq!(bytes, item.to_le_bytes());
                assert!(taken.insert(*item));
                Ok(())
            });
            assert_eq!((outcome, taken.len()), (Ok(()), 1000));
            let sum = AtomicU64::new(0);
            let add = |item: &u32| {
                sum.fetch_add(u64::from(*item), Ordering::Relaxed);
                Ok(())
            };
            assert_eq!((each(&items, threads(count), add), sum.into_inner()), (Ok(()), 499_500));
        }
    }

    #[test]
    fn the_first_failure_ends_it_wherever_it_happens() {
        let items: Vec<u32> = (0..1000).collect();
        let fails = |item: &u32| if *item == 20 { Err(ERROR) } else { Ok(()) };
        for count in [1, 3] {
            assert_eq!(pipeline(&items, threads(count), |item, _| fails(item), |_, _| Ok(())), Err(ERROR));
            let mut taken = 0;
            let take = |item: &u32, _: &[u8]| {
                taken += 1;
                fails(item)
            };
            assert_eq!(pipeline(&items, threads(count), |_, _| Ok(()), take), Err(ERROR));
            assert!(taken < 1000);
            assert_eq!(each(&items, threads(count), fails), Err(ERROR));
        }
    }

    #[test]
    fn a_panic_in_a_thread_is_one_of_the_caller() {
        let items: Vec<u32> = (0..1000).collect();
        for count in [1, 3] {
            let make = |item: &u32, _: &mut Vec<u8>| {
                assert_ne!(*item, 20, "a port gives up");
                Ok(())
            };
            let run = || pipeline(&items, threads(count), make, |_, _| Ok::<(), HostError>(()));
            assert!(std::panic::catch_unwind(run).is_err(), "{count} threads");
        }
    }
}
