//! How independent work is done: one after the other, in a seeded order, or on threads.
//!
//! Only work that has no effect outside its own item is executed this way, so that results do not depend on the
//! choice; they are recorded in registration order whatever the order of execution was.

/// How the surveys of files are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Execution {
    /// In registration order.
    Inline,
    /// In an order that the seed decides: for simulations.
    Seeded(u64),
    /// On all threads of rayon's global pool.
    #[cfg(feature = "std")]
    Threads,
}

impl Execution {
    pub(crate) fn run<T: Send>(self, items: &mut [T], work: impl Fn(&mut T) + Send + Sync) {
        match self {
            Self::Inline => items.iter_mut().for_each(work),
            Self::Seeded(seed) => run_seeded(seed, items, work),
            #[cfg(feature = "std")]
            Self::Threads => {
                use rayon::prelude::*;
                items.par_iter_mut().for_each(work);
            }
        }
    }
}

fn run_seeded<T>(seed: u64, items: &mut [T], work: impl Fn(&mut T)) {
    let mut order: alloc::vec::Vec<usize> = (0..items.len()).collect();
    let mut state = seed;
    for last in (1..order.len()).rev() {
        // SplitMix64 (Steele, Lea, Flood 2014): small, and good enough for an order.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let other = luo_kho::ByteLen::new((mixed ^ (mixed >> 31)) % (last as u64 + 1)).as_usize();
        order.swap(last, other);
    }
    for index in order {
        if let Some(item) = items.get_mut(index) {
            work(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use std::sync::Mutex;

    #[test]
    fn every_item_is_worked_on_once_in_any_execution() {
        let all = [
            Execution::Inline,
            Execution::Seeded(7),
            #[cfg(feature = "std")]
            Execution::Threads,
        ];
        for execution in all {
            let mut items: Vec<u32> = (0..100).collect();
            execution.run(&mut items, |item| *item += 1000);
            assert_eq!(items, (1000..1100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_seed_decides_the_order() {
        let order = |seed| {
            let seen = Mutex::new(Vec::new());
            Execution::Seeded(seed)
                .run(&mut (0..20).collect::<Vec<u32>>(), |item| seen.lock().unwrap().push(*item));
            seen.into_inner().unwrap()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
