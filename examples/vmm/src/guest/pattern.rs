//! What memory holds before the first step, and what each step writes: functions of addresses and counters.
//!
//! Steps are counted from 1. Step `n` of a vCPU whose share has `P` pages goes to page `n * stride mod P`. A **lap** is
//! `P` steps: each page is visited once in it, at the word that the lap decides. So the last step that wrote a given
//! word is found by arithmetic, and nothing has to be replayed.

use super::layout::{PAGE, Share};

/// Words of a page.
const WORDS: u64 = PAGE / 8;
/// From lap to lap, words further in the page: odd, so that 512 laps visit each word.
pub(crate) const WORD_STRIDE: u64 = 73;
const _: () = assert!(WORD_STRIDE % 2 == 1 && WORDS.is_power_of_two());
/// A value is the counter times this: odd, so that no two counters give the same.
pub(super) const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// After so many steps a line is printed: `1 << LINE_SHIFT`.
pub(super) const LINE_SHIFT: u32 = 11;
/// After so many steps a line is printed.
pub(crate) const LINE_EVERY: u64 = 1 << LINE_SHIFT;
/// After so many steps the time stamp counter is read.
pub(crate) const SAMPLE_EVERY: u64 = 64;

/// What one step writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Where: the address of a word.
    pub(super) at: u64,
    /// What.
    pub(super) value: u64,
}

impl Step {
    /// Step `n`, counted from 1, of the vCPU with this share.
    pub(super) fn nth(share: &Share, n: u64) -> Self {
        let product = u128::from(n) * u128::from(share.stride) % u128::from(share.pages);
        let page = share.page(u64::try_from(product).unwrap_or(0));
        let word = n / share.pages * WORD_STRIDE % WORDS;
        Self { at: page + 8 * word, value: value(n) }
    }
}

/// What step `n` writes.
pub(crate) const fn value(n: u64) -> u64 {
    n.wrapping_mul(FACTOR)
}

/// The word at `at`, a multiple of 8, before the first step.
pub(super) const fn base(at: u64) -> u64 {
    // One round of a multiplicative hash: words differ, and pages are not zero.
    let mixed = (at ^ 0x5DEE_CE66_D1CE_4E5B).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mixed ^ (mixed >> 32)
}

/// Fills `words` with what page `nth` of a share holds after so many steps.
pub(super) fn page_after(share: &Share, nth: u64, steps: u64, words: &mut [u64]) {
    for (at, word) in (share.page(nth)..).step_by(8).zip(words.iter_mut()) {
        *word = base(at);
    }
    // Steps that go to this page: first, first + P, first + 2 P, ...
    let first = u128::from(nth) * u128::from(share.inverse) % u128::from(share.pages);
    let first = u64::try_from(first).unwrap_or(0);
    let Some(past) = steps.checked_sub(first) else { return };
    let newest = past / share.pages;
    // Step 0 is none.
    let oldest = u64::from(first == 0).max((newest + 1).saturating_sub(WORDS));
    for lap in oldest..=newest {
        let place = usize::try_from(lap * WORD_STRIDE % WORDS).ok();
        if let Some(word) = place.and_then(|place| words.get_mut(place)) {
            *word = value(first + lap * share.pages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::layout::Layout;
    use std::collections::BTreeMap;

    #[test]
    fn a_page_after_some_steps_is_what_replaying_them_leaves() {
        for (bytes, vcpus, vcpu) in [(8 << 20, 3, 1), (8 << 20, 1, 0), (12 << 20, 16, 15)] {
            let share = Layout::new(bytes, vcpus).unwrap().share(vcpu);
            let mut written = BTreeMap::new();
            let mut done = 0;
            for steps in [0, 1, 2, share.pages - 1, share.pages, share.pages + 1, 3 * share.pages + 7] {
                for n in done + 1..=steps {
                    let Step { at, value } = Step::nth(&share, n);
                    written.insert(at, value);
                }
                done = steps;
                for nth in (0..share.pages).step_by(5) {
                    let mut words = [0; 512];
                    page_after(&share, nth, steps, &mut words);
                    let replayed = (share.page(nth)..).step_by(8);
                    let replayed = replayed.map(|at| written.get(&at).copied().unwrap_or(base(at)));
                    assert!(
                        replayed.zip(words).all(|(one, other)| one == other),
                        "page {nth}, {steps} steps"
                    );
                }
            }
        }
    }

    #[test]
    fn after_many_laps_each_word_has_its_newest_value() {
        let share = Layout::new(8 << 20, 16).unwrap().share(3);
        let steps = 1300 * share.pages + 5;
        let mut words = [0; 512];
        page_after(&share, 7, steps, &mut words);
        let newest = |at: u64| (0..=steps).rev().take(520 * 97).find(|n| Step::nth(&share, *n).at == at);
        for place in [0, 1, 73, 511] {
            let at = share.page(7) + 8 * place as u64;
            assert_eq!(newest(at).map(value), Some(words[place]), "word {place}");
        }
    }
}
