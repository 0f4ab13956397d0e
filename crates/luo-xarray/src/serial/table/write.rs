//! Writing a table.

use super::TablePlan;
use super::gauge::chunks_of;
use crate::serial::CHUNK_SHIFT;
use crate::serial::bits::{BitWriter, Sink};
use crate::serial::chunk::{ChunkImage, ChunkStat, Form};
use crate::serial::run::Run;
use crate::serial::wire::{ChunkWord, Kind, PartHead};

/// Writes the body of a table while the runs of its segment pass by a second time.
pub(in crate::serial) struct TableWriter<'s, S: Sink> {
    chunks: alloc::vec::IntoIter<ChunkStat>,
    reference: u64,
    /// The chunk whose runs pass by.
    number: Option<u64>,
    /// Its leaf, if it needs one.
    leaf: Option<(ChunkStat, ChunkImage)>,
    writer: BitWriter<'s, S>,
}

impl TablePlan {
    /// The table's record.
    pub(in crate::serial) const fn head(&self, body: u64) -> PartHead {
        PartHead { first: self.first, last: self.last, reference: self.reference, kind: Kind::Table, body }
    }
}

impl<'s, S: Sink> TableWriter<'s, S> {
    /// Writes the first word, without its checksum, and the chunk words.
    pub(in crate::serial) fn new(plan: TablePlan, sink: &'s mut S) -> Self {
        sink.put(0);
        let mut at = 0;
        let mut next = plan.first >> CHUNK_SHIFT;
        for chunk in &plan.chunks {
            (next..chunk.number).for_each(|_| sink.put(ChunkWord::Absent.encode()));
            next = chunk.number + 1;
            let word = match chunk.form(plan.reference) {
                Form::Linear { value, step } => ChunkWord::Linear { value, step },
                Form::Leaf(shape) => {
                    let here = at;
                    at += u64::from(shape.bits());
                    ChunkWord::Leaf { at: here, shape }
                }
            };
            sink.put(word.encode());
        }
        let TablePlan { reference, chunks, .. } = plan;
        let writer = BitWriter::new(sink);
        Self { chunks: chunks.into_iter(), reference, number: None, leaf: None, writer }
    }

    /// Takes the next run, which lies in the segment.
    pub(in crate::serial) fn push(&mut self, run: &Run) {
        for piece in chunks_of(run) {
            let number = piece.first() >> CHUNK_SHIFT;
            if self.number != Some(number) {
                self.close();
                self.open(number);
            }
            if let Some((_, image)) = &mut self.leaf {
                image.push(&piece);
            }
        }
    }

    /// Prepares for the chunk of this number, if it has a leaf.
    fn open(&mut self, number: u64) {
        self.number = Some(number);
        let chunk = self.chunks.next().filter(|chunk| chunk.number == number);
        let chunk =
            chunk.unwrap_or_else(|| unreachable!("a table is written from the runs that were measured"));
        if let Form::Leaf(shape) = chunk.form(self.reference) {
            self.leaf = Some((chunk, ChunkImage::new(shape)));
        }
    }

    fn close(&mut self) {
        if let Some((chunk, image)) = self.leaf.take() {
            image.write(self.reference, chunk.min, &mut self.writer);
        }
    }

    pub(in crate::serial) fn finish(mut self) {
        self.close();
        self.writer.finish();
    }
}
