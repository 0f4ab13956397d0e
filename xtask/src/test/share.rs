//! Sharing out what is scarce: the **stock** is what there is of it and nobody has.
//!
//! Tests stand in a queue. The next one to start is the first whose needs can be met now. A test that has to wait keeps
//! what it waits for from all who stand behind it, so that it starts as soon as those who run have ended: whoever needs
//! much does not starve behind many who need little.

use std::collections::{BTreeMap, BTreeSet};

use super::needs::{Bytes, Needs, size};

/// What there is and nobody has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stock {
    /// Tests that may run guests.
    pub(super) kvm: u64,
    pub(super) memory: Bytes,
    /// 1 if nobody has the pools of huge pages to itself.
    pub(super) pool: u64,
    /// Bytes of a page, and how many of them. `None`: they are not there yet, and will be if somebody needs them.
    pub(super) huge: Option<BTreeMap<Bytes, u64>>,
}

/// One thing that is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Good {
    Kvm,
    Memory,
    Pool,
    Huge(Bytes),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start the test at this place of the queue.
    Start(usize),
    /// Get huge pages: the test at this place needs some.
    Fetch(usize),
    /// Wait for somebody who has what is needed.
    Wait,
}

fn amounts(needs: &Needs) -> impl Iterator<Item = (Good, u64)> {
    let kvm = needs.kvm.map(|_| (Good::Kvm, 1));
    let memory = (needs.memory > 0).then_some((Good::Memory, needs.memory));
    let pool = needs.pool.then_some((Good::Pool, 1));
    let huge = needs.huge.iter().map(|(size, count)| (Good::Huge(*size), *count));
    kvm.into_iter().chain(memory).chain(pool).chain(huge)
}

impl Stock {
    fn of(&self, good: Good) -> u64 {
        match good {
            Good::Kvm => self.kvm,
            Good::Memory => self.memory,
            // What the runner has reserved is in the pools too.
            Good::Pool if self.huge.is_some() => 0,
            Good::Pool => self.pool,
            Good::Huge(size) => self.huge.as_ref().and_then(|huge| huge.get(&size)).copied().unwrap_or(0),
        }
    }

    /// Why this can never be met, even if nobody else runs. To be asked of a full stock.
    pub(super) fn never(&self, needs: &Needs) -> Option<String> {
        amounts(needs).find_map(|(good, amount)| {
            let there = self.of(good);
            match good {
                Good::Huge(_) if self.huge.is_none() => None,
                _ if amount <= there => None,
                Good::Pool => None,
                Good::Kvm => Some("needs /dev/kvm, and nobody may use it".to_owned()),
                Good::Memory => Some(format!("needs {} of memory, there are {}", size(amount), size(there))),
                Good::Huge(page) => {
                    Some(format!("needs {amount} huge pages of {}, there are {there}", size(page)))
                }
            }
        })
    }

    /// Which of the queue comes next.
    pub(super) fn next<'n>(&self, queue: impl IntoIterator<Item = &'n Needs>) -> Next {
        let mut awaited = BTreeSet::new();
        let mut fetch = None;
        for (place, needs) in queue.into_iter().enumerate() {
            if self.huge.is_none() && !needs.huge.is_empty() {
                if self.pool > 0 && !awaited.contains(&Good::Pool) {
                    fetch = fetch.or(Some(place));
                }
                awaited.insert(Good::Pool);
                continue;
            }
            let free = |(good, amount)| amount <= self.of(good) && !awaited.contains(&good);
            if amounts(needs).all(free) {
                return fetch.map_or(Next::Start(place), Next::Fetch);
            }
            awaited.extend(amounts(needs).map(|(good, _)| good));
        }
        fetch.map_or(Next::Wait, Next::Fetch)
    }

    fn change(&mut self, needs: &Needs, by: impl Fn(u64, u64) -> u64) {
        for (good, amount) in amounts(needs) {
            match good {
                Good::Kvm => self.kvm = by(self.kvm, amount),
                Good::Memory => self.memory = by(self.memory, amount),
                Good::Pool => self.pool = by(self.pool, amount),
                Good::Huge(size) => {
                    if let Some(count) = self.huge.as_mut().and_then(|huge| huge.get_mut(&size)) {
                        *count = by(*count, amount);
                    }
                }
            }
        }
    }

    /// A test starts.
    pub(super) fn take(&mut self, needs: &Needs) {
        self.change(needs, u64::saturating_sub);
    }

    /// A test has ended.
    pub(super) fn give_back(&mut self, needs: &Needs) {
        self.change(needs, u64::saturating_add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(words: &str) -> Needs {
        words.parse().unwrap()
    }

    fn stock(kvm: u64, memory: u64, huge: u64) -> Stock {
        Stock { kvm, memory: memory << 20, pool: 1, huge: Some(BTreeMap::from([(2 << 20, huge)])) }
    }

    fn next(stock: &Stock, queue: &[&str]) -> Next {
        let queue: Vec<_> = queue.iter().map(|words| needs(words)).collect();
        stock.next(&queue)
    }

    #[test]
    fn the_first_that_can_start_does() {
        assert_eq!(next(&stock(0, 8, 0), &["kvm", "memory=16M", "", "memory=1M"]), Next::Start(2));
        assert_eq!(next(&stock(0, 8, 0), &["kvm"]), Next::Wait);
        assert_eq!(next(&stock(1, 8, 4), &["huge-2M=4 kvm", ""]), Next::Start(0));
    }

    /// Many small tests would each fit; the large one is not kept waiting by those behind it.
    #[test]
    fn who_needs_much_does_not_starve() {
        let mut stock = stock(0, 10, 0);
        let (large, small) = (needs("memory=10M"), needs("memory=1M"));
        let mut queue = vec![small.clone(), small.clone(), large.clone()];
        queue.extend(std::iter::repeat_n(small.clone(), 100));
        for _ in 0..2 {
            assert_eq!(stock.next(&queue), Next::Start(0));
            stock.take(&queue.remove(0));
        }
        assert_eq!(stock.next(&queue), Next::Wait, "who stands behind the large one waits too");
        stock.give_back(&small);
        assert_eq!(stock.next(&queue), Next::Wait);
        stock.give_back(&small);
        assert_eq!(stock.next(&queue), Next::Start(0));
        stock.take(&large);
        assert_eq!(stock.memory, 0);
    }

    #[test]
    fn who_waits_for_one_thing_does_not_hold_up_who_needs_another() {
        let queue = ["huge-2M=8 memory=1M", "memory=1M", "kvm", ""];
        assert_eq!(next(&stock(1, 64, 4), &queue), Next::Start(2));
    }

    /// Either the runner reserves, or one test does.
    #[test]
    fn the_pools_have_one_master() {
        let mut bare = Stock { huge: None, ..stock(0, 8, 0) };
        assert_eq!(next(&bare, &["pool", "huge-2M=1"]), Next::Start(0));
        bare.take(&needs("pool"));
        assert_eq!(next(&bare, &["pool", "huge-2M=1", ""]), Next::Start(2));
        assert_eq!(next(&bare, &["huge-2M=1", "pool"]), Next::Wait);
        bare.give_back(&needs("pool"));
        assert_eq!(next(&bare, &["huge-2M=1", "pool"]), Next::Fetch(0));
        assert_eq!(next(&stock(0, 8, 4), &["pool", "huge-2M=1"]), Next::Start(1));
        assert_eq!(stock(0, 8, 4).never(&needs("pool")), None);
    }

    #[test]
    fn huge_pages_are_fetched_when_somebody_needs_them() {
        let bare = Stock { huge: None, ..stock(0, 8, 0) };
        assert_eq!(next(&bare, &["", "huge-2M=1"]), Next::Start(0));
        assert_eq!(next(&bare, &["huge-2M=1", ""]), Next::Fetch(0));
        assert_eq!(bare.never(&needs("huge-2M=1000")), None, "nobody knows yet");
        assert_eq!(
            stock(0, 8, 3).never(&needs("huge-2M=4")),
            Some("needs 4 huge pages of 2 MiB, there are 3".to_owned())
        );
    }
}
