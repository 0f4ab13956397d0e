//! Marks: three independent bits that an entry carries besides its value.
//!
//! What a [`Mark`] means is the caller's affair: dirty, towed, pinned. Every inner node of the tree remembers
//! which of its children have marked entries, so that the next marked one is found without visiting the others.
//! A stored entry starts without marks; the pieces of an entry that is split keep the marks of the whole.

use core::ops::RangeBounds;

use super::{Block, Entry, Iter, Path, XArray};

/// One of the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The first mark.
    M0,
    /// The second mark.
    M1,
    /// The third mark.
    M2,
}

/// A set of marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    bits: u8,
}

impl Mark {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::M0, Self::M1, Self::M2];

    const fn bit(self) -> u8 {
        match self {
            Self::M0 => 1,
            Self::M1 => 2,
            Self::M2 => 4,
        }
    }
}

impl Marks {
    /// No marks.
    pub const NONE: Self = Self { bits: 0 };

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// Whether `mark` is one of them.
    pub const fn contains(self, mark: Mark) -> bool {
        self.bits & mark.bit() != 0
    }

    /// These and `mark`.
    #[must_use]
    pub const fn with(self, mark: Mark) -> Self {
        Self { bits: self.bits | mark.bit() }
    }

    /// These without `mark`.
    #[must_use]
    pub const fn without(self, mark: Mark) -> Self {
        Self { bits: self.bits & !mark.bit() }
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.into_iter().filter(move |mark| self.contains(*mark))
    }
}

impl FromIterator<Mark> for Marks {
    fn from_iter<I: IntoIterator<Item = Mark>>(marks: I) -> Self {
        marks.into_iter().fold(Self::NONE, Self::with)
    }
}

/// The marks of the 64 slots of a node: a bitmap for each mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotMarks {
    m0: u64,
    m1: u64,
    m2: u64,
}

impl SlotMarks {
    /// No slot has a mark.
    pub(super) const EMPTY: Self = Self { m0: 0, m1: 0, m2: 0 };

    /// The slots with `mark`.
    pub(super) const fn bits(&self, mark: Mark) -> u64 {
        match mark {
            Mark::M0 => self.m0,
            Mark::M1 => self.m1,
            Mark::M2 => self.m2,
        }
    }

    /// The marks of the slots of which `slots` has the bit, together.
    pub(super) fn of(&self, slots: u64) -> Marks {
        let bit = |bits: u64, mark: Mark| if bits & slots != 0 { mark.bit() } else { 0 };
        Marks { bits: bit(self.m0, Mark::M0) | bit(self.m1, Mark::M1) | bit(self.m2, Mark::M2) }
    }

    /// Gives the slots of which `slots` has the bit these marks and no others; says whether anything changed.
    pub(super) const fn put(&mut self, slots: u64, marks: Marks) -> bool {
        let m0 = self.m0 & !slots | if marks.contains(Mark::M0) { slots } else { 0 };
        let m1 = self.m1 & !slots | if marks.contains(Mark::M1) { slots } else { 0 };
        let m2 = self.m2 & !slots | if marks.contains(Mark::M2) { slots } else { 0 };
        let changed = m0 != self.m0 || m1 != self.m1 || m2 != self.m2;
        *self = Self { m0, m1, m2 };
        changed
    }
}

impl<V, S> XArray<V, S> {
    /// Marks the entry that covers `index`; all its indices are marked. Says whether there is one.
    pub fn set_mark(&mut self, index: u64, mark: Mark) -> bool {
        self.change_marks(index, |marks| marks.with(mark))
    }

    /// Takes the mark off the entry that covers `index`. Says whether there is one.
    pub fn clear_mark(&mut self, index: u64, mark: Mark) -> bool {
        self.change_marks(index, |marks| marks.without(mark))
    }

    fn change_marks(&mut self, index: u64, change: impl FnOnce(Marks) -> Marks) -> bool {
        let mut path = Path::new();
        self.tree.enter(&mut path, Block::single(index));
        let Some(top) = path.top() else { return false };
        let node = self.tree.node_mut(top.id);
        let Some(start) = node.start_of(top.slot) else { return false };
        if node.put_marks(start, change(node.marks_at(start))) {
            self.tree.refresh_marks(&path);
        }
        true
    }

    /// Whether the entry that covers `index` has `mark`.
    pub fn is_marked(&self, index: u64, mark: Mark) -> bool {
        self.entry(index).is_some_and(|entry| entry.marks.contains(mark))
    }

    /// Whether any entry has `mark`. Looks at one node.
    pub fn any_marked(&self, mark: Mark) -> bool {
        self.tree.root().is_some_and(|root| self.tree.node(root).all_marks().contains(mark))
    }

    /// The first entry with `mark` that covers an index in `range`.
    pub fn next_marked(&self, range: impl RangeBounds<u64>, mark: Mark) -> Option<Entry<'_, V>> {
        self.iter_marked(range, mark).next()
    }

    /// The entries with `mark` that cover an index in `range`, ascending.
    pub fn iter_marked(&self, range: impl RangeBounds<u64>, mark: Mark) -> Iter<'_, V> {
        Iter::new(&self.tree, &range, Some(mark))
    }
}
