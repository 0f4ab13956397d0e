//! Which page of the file is copied to which slot.
//!
//! - A **slot** is one of the frames that prepare reserved, counted from 0.
//! - A **piece** is neighbouring pages in neighbouring slots.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use luo_xarray::page_map::SlotRun as Piece;

/// More pages are populated than there are slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfSlots {
    pub(super) populated: u64,
    pub(super) slots: u64,
}

/// The slots and what is in them. Pages and slots are each used once.
#[derive(Clone, Debug)]
pub(super) struct Placing {
    /// By page: slot and count.
    pieces: BTreeMap<u64, (u64, u64)>,
    /// Slots that hold nothing; taken from the last range.
    free: Vec<Range<u64>>,
    slots: u64,
    pages: u64,
}

impl Placing {
    /// So many slots, all of them free.
    pub(super) fn new(slots: u64) -> Self {
        Self { pieces: BTreeMap::new(), free: core::iter::once(0..slots).collect(), slots, pages: 0 }
    }

    pub(super) const fn slots(&self) -> u64 {
        self.slots
    }

    /// How many pages have a slot.
    pub(super) const fn pages(&self) -> u64 {
        self.pages
    }

    /// All pieces, ascending.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> {
        self.pieces.iter().map(|(&page, &(slot, count))| Piece { page, slot, count })
    }

    /// The pieces that meet `pages`, clipped to them, ascending.
    pub(super) fn within(&self, pages: Range<u64>) -> impl Iterator<Item = Piece> {
        let before = self.pieces.range(..pages.start).next_back();
        let first = before.map_or(pages.start, |(&page, _)| page);
        let meeting = self.pieces.range(first..pages.end.max(first));
        meeting.filter_map(move |(&page, &(slot, count))| {
            let (from, to) = (page.max(pages.start), (page + count).min(pages.end));
            (from < to).then(|| Piece { page: from, slot: slot + (from - page), count: to - from })
        })
    }

    /// From now on exactly `populated` of the pages in `regions` have slots; those outside keep theirs. Says whether
    /// anything changed. Both ascend and do not overlap; `populated` lies in `regions`, each range in one of them.
    ///
    /// Holes give their slots back before any page gets one: in whatever order they lie, only the sum has to fit.
    ///
    /// # Errors
    ///
    /// Nothing has changed.
    pub(super) fn settle(
        &mut self,
        regions: &[Range<u64>],
        populated: &[Range<u64>],
    ) -> Result<bool, OutOfSlots> {
        let inside = regions.iter().flat_map(|region| self.within(region.clone()));
        let inside: u64 = inside.map(|piece| piece.count).sum();
        let wanted: u64 = populated.iter().map(|pages| pages.end - pages.start).sum();
        let after = self.pages - inside + wanted;
        if after > self.slots {
            return Err(OutOfSlots { populated: after, slots: self.slots });
        }
        let mut changed = false;
        let mut rest = populated;
        for region in regions {
            let inside = rest.partition_point(|pages| pages.end <= region.end);
            let (these, behind) = rest.split_at(inside);
            let starts = these.iter().map(|pages| pages.start).chain([region.end]);
            let ends = [region.start].into_iter().chain(these.iter().map(|pages| pages.end));
            for hole in ends.zip(starts).filter(|(end, start)| end < start) {
                changed |= self.vacate(hole.0..hole.1);
            }
            rest = behind;
        }
        for pages in populated {
            changed |= self.occupy(pages.clone());
        }
        Ok(changed)
    }

    /// Takes the slots of these pages back. Whether there were any.
    fn vacate(&mut self, pages: Range<u64>) -> bool {
        let gone: Vec<Piece> = self.within(pages.clone()).collect();
        for piece in &gone {
            let whole = self.pieces.range(..=piece.page).next_back().map(|(&page, &(slot, count))| Piece {
                page,
                slot,
                count,
            });
            let Some(whole) = whole else { continue };
            self.pieces.remove(&whole.page);
            if whole.page < piece.page {
                self.pieces.insert(whole.page, (whole.slot, piece.page - whole.page));
            }
            if piece.end() < whole.end() {
                self.pieces.insert(piece.end(), (piece.slot + piece.count, whole.end() - piece.end()));
            }
            self.free.push(piece.slot..piece.slot + piece.count);
            self.pages -= piece.count;
        }
        !gone.is_empty()
    }

    /// Those of these pages that have no slot, ascending.
    pub(super) fn missing(&self, pages: Range<u64>) -> Vec<Range<u64>> {
        let mut at = pages.start;
        let mut missing = Vec::new();
        for piece in self.within(pages.clone()) {
            missing.push(at..piece.page);
            at = piece.end();
        }
        missing.push(at..pages.end);
        missing.retain(|gap| !gap.is_empty());
        missing
    }

    /// Gives slots to those of these pages that have none. Whether there were any.
    fn occupy(&mut self, pages: Range<u64>) -> bool {
        let mut changed = false;
        for mut gap in self.missing(pages) {
            while gap.start < gap.end {
                let taken = self.take(gap.end - gap.start);
                let count = taken.end - taken.start;
                assert!(count > 0, "`settle` has counted the slots");
                self.pieces.insert(gap.start, (taken.start, count));
                self.pages += count;
                gap.start += count;
                changed = true;
            }
        }
        changed
    }

    /// At most `want` neighbouring free slots; none only if there are none.
    fn take(&mut self, want: u64) -> Range<u64> {
        while let Some(last) = self.free.last_mut() {
            let taken = last.start..last.end.min(last.start + want);
            last.start = taken.end;
            if !taken.is_empty() {
                return taken;
            }
            self.free.pop();
        }
        0..0
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn slots_of(placing: &Placing) -> BTreeMap<u64, u64> {
        placing
            .pieces()
            .flat_map(|piece| (0..piece.count).map(move |n| (piece.page + n, piece.slot + n)))
            .collect()
    }

    fn settle(
        placing: &mut Placing,
        region: Range<u64>,
        populated: &[Range<u64>],
    ) -> Result<bool, OutOfSlots> {
        placing.settle(core::slice::from_ref(&region), populated)
    }

    fn runs(pages: &BTreeSet<u64>) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for &page in pages {
            match runs.last_mut() {
                Some(run) if run.end == page => run.end += 1,
                _ => runs.push(page..page + 1),
            }
        }
        runs
    }

    #[test]
    fn a_fresh_file_is_placed_in_order() {
        let mut placing = Placing::new(6);
        assert_eq!(settle(&mut placing, 0..100, &[3..5, 7..8]), Ok(true));
        let expected = [Piece { page: 3, slot: 0, count: 2 }, Piece { page: 7, slot: 2, count: 1 }];
        assert_eq!(placing.pieces().collect::<Vec<_>>(), expected);
        assert_eq!(settle(&mut placing, 0..100, &[3..5, 7..8]), Ok(false));
        assert_eq!(
            placing.within(4..8).collect::<Vec<_>>(),
            [Piece { page: 4, slot: 1, count: 1 }, Piece { page: 7, slot: 2, count: 1 }]
        );
        assert_eq!(placing.within(5..5).count(), 0);
    }

    #[test]
    fn one_page_too_many_changes_nothing() {
        let mut placing = Placing::new(2);
        settle(&mut placing, 0..9, &[0..1, 1..2]).unwrap();
        let error = settle(&mut placing, 4..9, &[5..6, 6..6]).unwrap_err();
        assert_eq!(error, OutOfSlots { populated: 3, slots: 2 });
        assert_eq!(slots_of(&placing).into_iter().collect::<Vec<_>>(), [(0, 0), (1, 1)]);
        assert_eq!(settle(&mut placing, 0..9, &[1..2, 5..6]), Ok(true), "what becomes a hole makes room");
        let later = placing.settle(&[3..4, 5..6], core::slice::from_ref(&(3..4)));
        assert_eq!(later, Ok(true), "also where it lies behind the page that takes it");
        assert_eq!(settle(&mut Placing::new(0), 0..9, &[]), Ok(false));
    }

    proptest! {
        #[test]
        fn agrees_with_a_map_of_single_pages(
            steps in prop::collection::vec((0u64..40, 0u64..40, prop::collection::btree_set(0u64..40, 0..30)), 1..20)
        ) {
            let mut placing = Placing::new(24);
            let mut model: BTreeMap<u64, u64> = BTreeMap::new();
            for (from, to, pages) in steps {
                let region = from.min(to)..from.max(to);
                let pages: BTreeSet<u64> = pages.into_iter().filter(|page| region.contains(page)).collect();
                let outside = model.keys().filter(|page| !region.contains(page)).count();
                let settled = settle(&mut placing, region.clone(), &runs(&pages));
                prop_assert_eq!(settled.is_err(), outside + pages.len() > 24);
                let found = slots_of(&placing);
                if settled.is_err() {
                    prop_assert_eq!(&found, &model);
                    continue;
                }
                prop_assert_eq!(settled.unwrap(), found != model);
                let expected: BTreeSet<u64> =
                    model.keys().copied().filter(|page| !region.contains(page)).chain(pages).collect();
                prop_assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), expected);
                for (page, slot) in &found {
                    prop_assert!(model.get(page).is_none_or(|before| before == slot), "a page was moved");
                    prop_assert!(*slot < 24);
                }
                prop_assert_eq!(found.values().collect::<BTreeSet<_>>().len(), found.len(), "a slot is used twice");
                prop_assert_eq!(placing.pages(), found.len() as u64);
                model = found;
            }
        }
    }
}
