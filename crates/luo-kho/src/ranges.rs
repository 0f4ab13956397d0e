//! A set of frames as disjoint runs, merged where they touch.

use alloc::collections::BTreeMap;

use crate::{FrameRange, Pfn};

/// Runs by their first frame, each with the number of the first frame past it. No two overlap or touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    ends: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds frames of which none may be in the set.
    pub(crate) fn insert(&mut self, range: FrameRange) {
        assert!(!self.meets(range), "{range} are added to a set that holds some of them");
        let (mut start, mut end) = (range.start().get(), range.end());
        if let Some((&before, &touch)) = self.ends.range(..start).next_back()
            && touch == start
        {
            start = before;
        }
        if let Some(behind) = self.ends.remove(&end) {
            end = behind;
        }
        self.ends.insert(start, end);
    }

    /// Takes frames out, all of which must be in the set.
    pub(crate) fn remove(&mut self, range: FrameRange) {
        let (from, to) = (range.start().get(), range.end());
        let run = self.ends.range(..=from).next_back().map(|(&start, &end)| (start, end));
        let Some((start, end)) = run.filter(|&(_, end)| to <= end) else {
            unreachable!("{range} are taken out of a set that does not hold all of them")
        };
        if start < from {
            self.ends.insert(start, from);
        } else {
            self.ends.remove(&start);
        }
        if to < end {
            self.ends.insert(to, end);
        }
    }

    /// Moves what of `range` is in this set into `other`, which holds none of it.
    pub(crate) fn move_into(&mut self, other: &mut Self, range: FrameRange) {
        while let Some(part) = self.first_within(range) {
            self.remove(part);
            other.insert(part);
        }
    }

    /// The runs that meet `range`, clipped to it, ascending.
    pub(crate) fn within(&self, range: FrameRange) -> impl DoubleEndedIterator<Item = FrameRange> {
        let start = range.start().get();
        let first = match self.ends.range(..start).next_back() {
            Some((&before, &end)) if end > start => before,
            _ => start,
        };
        self.ends
            .range(first..range.end())
            .filter_map(move |(&start, &end)| FrameRange::from_bounds(start, end)?.intersection(range))
    }

    /// The first run that meets `range`, clipped to it.
    pub(crate) fn first_within(&self, range: FrameRange) -> Option<FrameRange> {
        self.within(range).next()
    }

    /// Whether any frame of `range` is in the set.
    pub(crate) fn meets(&self, range: FrameRange) -> bool {
        self.first_within(range).is_some()
    }

    /// Whether all frames of `range` are in the set.
    pub(crate) fn covers(&self, range: FrameRange) -> bool {
        self.first_within(range) == Some(range)
    }

    /// Whether `pfn` is in the set.
    pub(crate) fn contains(&self, pfn: Pfn) -> bool {
        self.meets(pfn.as_range())
    }

    /// Every run, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = FrameRange> {
        self.ends.iter().filter_map(|(&start, &end)| FrameRange::from_bounds(start, end))
    }

    /// How many frames are in the set.
    pub(crate) fn frames(&self) -> u64 {
        self.ends.iter().map(|(start, end)| end - start).sum()
    }
}

impl FromIterator<FrameRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = FrameRange>>(ranges: I) -> Self {
        let mut set = Self::default();
        set.extend(ranges);
        set
    }
}

impl Extend<FrameRange> for RangeSet {
    fn extend<I: IntoIterator<Item = FrameRange>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, len: u64) -> FrameRange {
        FrameRange::from_bounds(start, start + len).unwrap()
    }

    fn runs_of(model: &BTreeSet<u64>) -> Vec<FrameRange> {
        let mut runs: Vec<FrameRange> = Vec::new();
        for &frame in model {
            match runs.last_mut() {
                Some(last) if last.end() == frame => {
                    *last = range(last.start().get(), frame + 1 - last.start().get());
                }
                _ => runs.push(range(frame, 1)),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_single_frames(
            changes in prop::collection::vec((any::<bool>(), 0u64..48, 1u64..9), 1..80)
        ) {
            let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
            for (add, start, len) in changes {
                let range = range(start, len);
                let held: Vec<u64> = (start..start + len).filter(|frame| model.contains(frame)).collect();
                prop_assert_eq!(set.meets(range), !held.is_empty());
                prop_assert_eq!(set.covers(range), held.len() as u64 == len);
                if add && held.is_empty() {
                    set.insert(range);
                    model.extend(start..start + len);
                } else if !add && held.len() as u64 == len {
                    set.remove(range);
                    model.retain(|frame| !(start..start + len).contains(frame));
                } else if !add {
                    let mut aside = RangeSet::default();
                    set.move_into(&mut aside, range);
                    prop_assert_eq!(aside.frames(), held.len() as u64);
                    model.retain(|frame| !(start..start + len).contains(frame));
                }
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), runs_of(&model));
                prop_assert_eq!(set.frames(), model.len() as u64);
            }
        }
    }

    #[test]
    fn the_last_frame_there_can_be_is_a_frame_like_any_other() {
        let last = FrameRange::from_bounds(crate::PFN_END - 1, crate::PFN_END).unwrap();
        let mut set = RangeSet::default();
        set.insert(last);
        assert!(set.covers(last));
        set.remove(last);
        assert_eq!(set.frames(), 0);
    }
}
