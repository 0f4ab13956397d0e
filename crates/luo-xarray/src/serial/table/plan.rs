//! Measuring a segment and writing its table, each entry being looked at once: what a leaf needs of them is kept.

use alloc::vec::Vec;

use zerocopy::little_endian::U64;

use super::gauge::{Bounds, Extent, ListEstimate};
use super::source::{Loaded, Source};
use crate::serial::bits::{BitWriter, Fields, Sink as _};
use crate::serial::chunk::{
    ChunkLines, ChunkStat, Form, Heads, HeadsOf, LeafContent, Room, Row, SLOTS, Scratch, Values, write_leaf,
};
use crate::serial::run::{Joiner, Run};
use crate::serial::set::Bitmap;
use crate::serial::wide::Wide;
use crate::serial::wire::{ChunkWord, PartHead};
use crate::serial::words::WORD_BYTES;
use crate::serial::{CHUNK_SHIFT, TABLE_RUNS_MIN};

/// A row of more groups of neighbours seldom goes into a list.
const GROUPS_MAX: u32 = 8;

/// All that has to be known of a segment before its table is written. It can be used for one segment after another.
#[derive(Debug)]
pub(in crate::serial) struct TablePlan {
    extent: Extent,
    /// The chunks that have entries, ascending.
    chunks: Vec<ChunkStat>,
    /// How each of them is written.
    forms: Vec<Form>,
    /// Those of them that were not found to be linear, ascending.
    leaves: Leaves,
    heads: Heads,
    /// The segment's runs of neighbours, if it goes into lists.
    runs: Vec<Run>,
    scratch: Scratch,
    fields: Fields,
    room: Room,
}

/// What is kept of a chunk for its leaf.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    number: u64,
    present: Bitmap,
    lines: ChunkLines,
    heads: HeadsOf,
}

/// What is kept of many chunks. Each is written where the last segment's was: it is large.
#[derive(Debug, Default)]
struct Leaves {
    places: Vec<Kept>,
    len: usize,
}

/// Runs of neighbours, as long as they come without much work.
struct Neighbours<'r> {
    runs: &'r mut Vec<Run>,
    joiner: Option<Joiner>,
}

impl Default for TablePlan {
    fn default() -> Self {
        Self {
            extent: Extent::EMPTY,
            chunks: Vec::new(),
            forms: Vec::new(),
            leaves: Leaves::default(),
            heads: Heads::default(),
            runs: Vec::new(),
            scratch: Scratch::default(),
            fields: Fields::default(),
            room: [0; SLOTS],
        }
    }
}

impl TablePlan {
    /// Measures a segment. Whether it gets a table.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn judge<S: Source, W: Wide>(&mut self, wide: W, source: &S) -> bool {
        self.runs.clear();
        let (bounds, counted) = self.measure(wide, source);
        if counted && self.runs.len() < TABLE_RUNS_MIN {
            return false;
        }
        self.forms.clear();
        self.forms.extend(self.chunks.iter().map(|stat| stat.form(self.extent.reference)));
        if bounds.surely_take_table(self.extent.first, self.bytes()) {
            return true;
        }
        if !counted {
            self.runs.clear();
            source.each_run(|run| self.runs.push(run));
        }
        let mut estimate = ListEstimate::default();
        self.runs.iter().for_each(|run| estimate.push(*run));
        estimate.take_table(self.bytes())
    }

    /// Measures all chunks. Whether the segment's runs were counted on the way.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn measure<S: Source, W: Wide>(&mut self, wide: W, source: &S) -> (Bounds, bool) {
        let Self { extent, chunks, leaves, heads, runs, scratch, .. } = self;
        chunks.clear();
        leaves.clear();
        heads.clear();
        *extent = Extent::EMPTY;
        let mut bounds = Bounds::default();
        let mut neighbours = Neighbours { runs, joiner: Some(Joiner::new()) };
        for number in source.chunks() {
            let (stat, (first, last)) = match source.load(wide, number, scratch) {
                Loaded::Absent => continue,
                Loaded::Linear(run) => {
                    neighbours.push(run);
                    (ChunkStat::linear(&run), (run.first(), run.last()))
                }
                Loaded::Row(row) => {
                    neighbours.push_row(&row);
                    let (stat, lines) = ChunkStat::row(&row);
                    let heads = heads.add(&lines, &[row.value()]);
                    *leaves.next(number) = Kept { number, present: *row.present(), lines, heads };
                    (stat, row.ends())
                }
                Loaded::Mixed(content) => {
                    neighbours.joiner = None;
                    let kept = leaves.next(number);
                    let stat = ChunkStat::of(wide, number, &content, &mut kept.lines);
                    kept.present = *content.present();
                    kept.heads = heads.add(&kept.lines, content.values());
                    (stat, content.ends(number))
                }
            };
            extent.add(&stat, first, last);
            bounds.add(&stat);
            chunks.push(stat);
        }
        (bounds, neighbours.finish())
    }

    /// The runs of a segment that gets no table.
    pub(in crate::serial) fn take_runs(&mut self) -> Vec<Run> {
        core::mem::take(&mut self.runs)
    }

    /// The table's record, without the place of its body.
    pub(in crate::serial) const fn head(&self) -> PartHead {
        self.extent.head(0)
    }

    /// Bytes of the record and the body.
    fn bytes(&self) -> u64 {
        let leaves = self.forms.iter().map(|form| match form {
            Form::Linear { .. } => 0,
            Form::Leaf(shape) => u64::from(shape.bits()),
        });
        self.extent.table_bytes(leaves.sum())
    }

    /// Appends the body to `words`, its first word without the checksum. `source` is what was measured.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn write<S: Source, W: Wide>(&mut self, wide: W, source: &S, words: &mut Vec<U64>) {
        words.reserve(luo_kho::ByteLen::new(self.bytes() / WORD_BYTES).as_usize());
        self.write_words(words);
        let mut writer = BitWriter::new(words);
        let Self { extent, chunks, forms, leaves, heads, scratch, fields, room, .. } = self;
        let mut leaves = leaves.kept().peekable();
        for (stat, form) in chunks.iter().zip(forms.iter()) {
            let kept = leaves.next_if(|kept| kept.number == stat.number);
            let Form::Leaf(shape) = form else { continue };
            fields.begin(writer.filled());
            let references = (extent.reference, stat.min);
            let (linear, reloaded);
            let content = match kept {
                None => {
                    linear = stat.as_linear();
                    LeafContent { present: &Bitmap::FULL, lines: &linear.0, values: Values::All(&linear.1) }
                }
                Some(Kept { present, lines, heads: own, .. }) => {
                    let values = if let Some(heads) = heads.get(*own, shape) {
                        Values::Heads(heads)
                    } else {
                        reloaded = source.reload(wide, stat.number, present, scratch);
                        Values::All(reloaded.map_or(&[], |content| content.values()))
                    };
                    LeafContent { present, lines, values }
                }
            };
            write_leaf(wide, shape, references, content, fields, room);
            writer.append(fields);
        }
        writer.finish();
    }

    /// Writes the first word, without its checksum, and the chunk words.
    fn write_words(&self, words: &mut Vec<U64>) {
        words.put(0);
        let mut at = 0;
        let mut next = self.extent.first >> CHUNK_SHIFT;
        for (chunk, form) in self.chunks.iter().zip(&self.forms) {
            (next..chunk.number).for_each(|_| words.put(ChunkWord::Absent.encode()));
            next = chunk.number + 1;
            words.put(form.word(&mut at).encode());
        }
    }
}

impl Leaves {
    fn clear(&mut self) {
        self.len = 0;
    }

    /// The place for one more chunk. It holds anything.
    fn next(&mut self, number: u64) -> &mut Kept {
        if self.len == self.places.len() {
            self.places.push(Kept::default());
        }
        self.len += 1;
        let Some(kept) = self.places.get_mut(self.len - 1) else { unreachable!("pushed if it was missing") };
        kept.number = number;
        kept
    }

    fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.places.iter().take(self.len)
    }
}

impl Neighbours<'_> {
    #[inline]
    fn push(&mut self, run: Run) {
        if let Some(joiner) = &mut self.joiner {
            self.runs.extend(joiner.push(run));
        }
    }

    fn push_row(&mut self, row: &Row) {
        if row.groups() > GROUPS_MAX {
            self.joiner = None;
        } else if self.joiner.is_some() {
            row.each_run(|run| self.push(run));
        }
    }

    /// Whether all came.
    fn finish(self) -> bool {
        let Some(mut joiner) = self.joiner else { return false };
        self.runs.extend(joiner.finish());
        true
    }
}
