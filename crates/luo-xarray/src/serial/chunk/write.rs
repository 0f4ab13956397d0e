//! Writing a leaf.

use alloc::vec::Vec;

use super::gauge::position_of;
use crate::serial::CHUNK_LEN;
use crate::serial::bits::{BitWriter, Sink};
use crate::serial::run::{Joiner, Run, Step};
use crate::serial::set::Bitmap;
use crate::serial::wire::{LeafOrder, LeafShape};

/// Collects the runs of one chunk in the shape that was chosen for it, then writes them.
#[derive(Debug)]
pub(in crate::serial) struct ChunkImage {
    shape: LeafShape,
    entries: u32,
    presence: Bitmap,
    starts: Bitmap,
    /// The first value and the step of each run.
    runs: Vec<(u64, Step)>,
    joiner: Joiner,
}

impl ChunkImage {
    pub(in crate::serial) fn new(shape: LeafShape) -> Self {
        Self {
            shape,
            entries: 0,
            presence: Bitmap::default(),
            starts: Bitmap::default(),
            runs: Vec::with_capacity(shape.runs as usize),
            joiner: Joiner::across_holes(),
        }
    }

    /// Takes the next run, which lies in this chunk.
    pub(in crate::serial) fn push(&mut self, run: &Run) {
        let (first, last) = (position_of(run.first()), position_of(run.last()));
        self.presence.insert_range(first, last);
        let done = match self.shape.order {
            LeafOrder::Index => self.joiner.push(run.moved_to(u64::from(first))),
            LeafOrder::Rank => self.joiner.push(run.moved_to(u64::from(self.entries))),
            LeafOrder::Single => {
                let values = run.indices().filter_map(|index| run.value_at(index));
                self.runs.extend(values.map(|value| (value, Step::Up)));
                None
            }
        };
        if let Some(done) = done {
            self.start(&done);
        }
        self.entries += last - first + 1;
    }

    fn start(&mut self, run: &Run) {
        self.starts.insert(position_of(run.first()));
        self.runs.push((run.value(), run.step()));
    }

    /// Writes the leaf. `reference` is the segment's, `min` the chunk's lowest value.
    pub(in crate::serial) fn write<S: Sink>(
        mut self,
        reference: u64,
        min: u64,
        writer: &mut BitWriter<'_, S>,
    ) {
        if let Some(run) = self.joiner.finish() {
            self.start(&run);
        }
        let Self { shape, entries, presence, starts, runs, joiner: _ } = self;
        assert!(
            entries == shape.entries && runs.len() == shape.runs as usize,
            "a chunk is written as it was measured"
        );
        let mut reference = reference;
        if shape.own_reference {
            reference = min;
            writer.put(reference, u64::BITS);
        }
        if entries < CHUNK_LEN {
            let named = if shape.names_holes() { presence.complement() } else { presence };
            shape.presence().write(&named, writer);
        }
        if shape.order != LeafOrder::Single {
            shape.starts().write(&starts, writer);
        }
        for (_, step) in &runs {
            writer.put(shape.alphabet.letter(*step), shape.alphabet.width());
        }
        for (value, _) in &runs {
            writer.put(value - reference, shape.width);
        }
    }
}
