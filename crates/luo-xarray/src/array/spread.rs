//! What a value says about the indices that its entry covers.
//!
//! An entry of order n has one value for 2^n indices. How that value **spreads** over them is a property of the
//! array and is stated by its second type parameter:
//!
//! - [`Uniform`]: every index has the value itself. Flags, owners, states.
//! - [`Ascending`]: the value grows by one per index. A folio: frame f at its first page, f + 1 at the next.
//!
//! The difference shows when an entry is split: a piece that starts d indices further in keeps the value under
//! the first, and gets the value d steps further up under the second.

use luo_kho::Pfn;

/// A value with neighbours: what frame numbers have, and what makes runs.
///
/// Laws: `ahead(0)` is the value itself; `ahead(a)` and then `ahead(b)` is `ahead(a + b)`; where `ahead(n)` is
/// `Some`, it is for every smaller number too; `behind` is the way back.
pub trait Linear: Clone + PartialEq {
    /// The value `by` steps further up; `None` where there is none.
    fn ahead(&self, by: u64) -> Option<Self>;

    /// The value `by` steps further down; `None` where there is none.
    fn behind(&self, by: u64) -> Option<Self>;
}

/// How one value spreads over the indices of its entry.
pub trait Spread<V> {
    /// Whether the value grows by one per index inside an entry.
    const ASCENDS: bool;

    /// Whether the index `offset` places after the entry's first has a value.
    fn reaches(value: &V, offset: u64) -> bool;

    /// The value of the index `offset` places after the entry's first. Asked only within what
    /// [`reaches`](Self::reaches) confirmed when the entry was stored.
    fn at(value: &V, offset: u64) -> V;
}

/// Every index of an entry has the entry's value. The usual [`Spread`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uniform;

/// The value grows by one per index of an entry: the [`Spread`] of frame numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ascending;

impl<V: Clone> Spread<V> for Uniform {
    const ASCENDS: bool = false;

    fn reaches(_: &V, _: u64) -> bool {
        true
    }

    fn at(value: &V, _: u64) -> V {
        value.clone()
    }
}

impl<V: Linear> Spread<V> for Ascending {
    const ASCENDS: bool = true;

    fn reaches(value: &V, offset: u64) -> bool {
        offset == 0 || value.ahead(offset).is_some()
    }

    fn at(value: &V, offset: u64) -> V {
        match value.ahead(offset) {
            Some(ahead) => ahead,
            None => {
                unreachable!("a value that reached the end of its entry stops inside it: `Linear` is broken")
            }
        }
    }
}

impl Linear for u64 {
    fn ahead(&self, by: u64) -> Option<Self> {
        self.checked_add(by)
    }

    fn behind(&self, by: u64) -> Option<Self> {
        self.checked_sub(by)
    }
}

impl Linear for Pfn {
    fn ahead(&self, by: u64) -> Option<Self> {
        self.get().checked_add(by).and_then(Self::new)
    }

    fn behind(&self, by: u64) -> Option<Self> {
        self.get().checked_sub(by).and_then(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use luo_kho::PFN_END;

    #[test]
    fn frame_numbers_end_where_frames_end() {
        let last = Pfn::new(PFN_END - 1).unwrap();
        assert_eq!(last.ahead(1), None);
        assert_eq!(last.ahead(u64::MAX), None);
        assert_eq!(last.behind(PFN_END - 1), Some(Pfn::ZERO));
        assert_eq!(Pfn::ZERO.behind(1), None);
        assert!(Ascending::reaches(&last, 0));
        assert!(!Ascending::reaches(&last, 1));
    }
}
