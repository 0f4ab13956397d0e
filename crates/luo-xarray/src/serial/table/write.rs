//! Writing a table.

use super::gauge::{Extent, TablePlan};
use super::source::{Loaded, Source};
use crate::serial::CHUNK_SHIFT;
use crate::serial::bits::{BitWriter, Fields, Sink};
use crate::serial::chunk::{ChunkStat, Form, Room, SLOTS, Scratch, write_leaf};
use crate::serial::wide::Wide;
use crate::serial::wire::{ChunkWord, Kind, PartHead};

impl Extent {
    /// The table's record.
    pub(in crate::serial) const fn head(&self, body: u64) -> PartHead {
        PartHead { first: self.first, last: self.last, reference: self.reference, kind: Kind::Table, body }
    }
}

impl TablePlan {
    /// The table's record, without the place of its body.
    pub(in crate::serial) const fn head(&self) -> PartHead {
        self.extent.head(0)
    }

    /// Writes the body, its first word without the checksum. `source` is what was measured.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn write<S: Source, W: Wide>(&self, wide: W, source: &S, sink: &mut impl Sink) {
        self.write_words(sink);
        let mut writer = BitWriter::new(sink);
        let (mut scratch, mut fields) = (Scratch::default(), Fields::default());
        let mut room: Room = [0; SLOTS];
        let mut mixed = self.lines.iter();
        let mut lines_of = |wanted| mixed.find(|(number, _)| *number == wanted).map(|(_, lines)| *lines);
        for (stat, form) in &self.chunks {
            let Form::Leaf(shape) = form else { continue };
            let (content, lines) = match source.load(wide, stat.number, &mut scratch) {
                Loaded::Mixed(content) => (Some(content), lines_of(stat.number)),
                Loaded::Linear(run) => {
                    let own = scratch.all_of(&run);
                    (own, own.map(|own| ChunkStat::of(wide, stat.number, &own).1))
                }
                Loaded::Absent => (None, None),
            };
            let Some((content, lines)) = content.zip(lines) else {
                unreachable!("a table is written from the entries that were measured")
            };
            fields.clear();
            write_leaf(
                wide,
                shape,
                (self.extent.reference, stat.min),
                &content,
                &lines,
                &mut fields,
                &mut room,
            );
            writer.append(&fields);
        }
        writer.finish();
    }

    /// Writes the first word, without its checksum, and the chunk words.
    fn write_words(&self, sink: &mut impl Sink) {
        sink.put(0);
        let mut at = 0;
        let mut next = self.extent.first >> CHUNK_SHIFT;
        for (chunk, form) in &self.chunks {
            (next..chunk.number).for_each(|_| sink.put(ChunkWord::Absent.encode()));
            next = chunk.number + 1;
            sink.put(form.word(&mut at).encode());
        }
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
