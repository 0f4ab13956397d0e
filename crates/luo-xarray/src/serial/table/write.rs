//! What a table says of its segment, and of its chunks.

use super::gauge::Extent;
use crate::serial::chunk::Form;
use crate::serial::wire::{ChunkWord, Kind, PartHead};

impl Extent {
    /// The table's record.
    pub(in crate::serial) const fn head(&self, body: u64) -> PartHead {
        PartHead { first: self.first, last: self.last, reference: self.reference, kind: Kind::Table, body }
    }
}

impl Form {
    /// The chunk's word. `at` is where its leaf begins, and then where the next one does.
    pub(in crate::serial) fn word(&self, at: &mut u64) -> ChunkWord {
        match *self {
            Self::Linear { value, step } => ChunkWord::Linear { value, step },
            Self::Leaf(shape) => {
                let here = *at;
                *at += u64::from(shape.bits());
                ChunkWord::Leaf { at: here, shape }
            }
        }
    }
}
