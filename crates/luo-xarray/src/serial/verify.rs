//! Verifying everything.
//!
//! The content is read, measured and encoded once more, word by word against the words that are there; nothing of
//! it is kept. Whatever passes is what [`Builder`](super::Builder) would have written, and so has one meaning.
//!
//! Time: each stored run costs a bounded number of steps, and one that stays within a segment at most one step for
//! each of its 512 chunks. Memory: the measure of one segment.

use alloc::vec::Vec;

use super::bits::Sink;
use super::builder::{covers_segments, segments_of};
use super::error::{Place, SerialError};
use super::iter::Pieces;
use super::list::{ListImage, ListPacker};

use super::bits::Fields;
use super::chunk::{ChunkLines, ChunkStat, Decoder, Form, Room, SLOTS, Scratch, write_leaf};
use super::segment_of;
use super::table::{Bounds, Chunk, Extent, ListEstimate, SegmentGauge, Table};
use super::view::{Content, SerialView};
use super::wide::{Task, Wide, best};
use super::wire::Kind;
use super::words::{Block, Source as _};

/// Words from which on it is worth to wake other threads.
#[cfg(feature = "std")]
const PARALLEL_FROM: u64 = 1 << 13;

/// Compares words with those of a body.
struct Comparison<'v> {
    body: Block<'v>,
    at: u64,
    same: bool,
}

impl<'v> Comparison<'v> {
    const fn with(body: Block<'v>) -> Self {
        Self { body, at: 0, same: true }
    }

    /// Whether all words were the same, and as many.
    fn is_same(&self) -> bool {
        self.same && self.at == self.body.len()
    }
}

impl Sink for Comparison<'_> {
    fn put(&mut self, word: u64) {
        let mut found = self.body.word(self.at);
        if self.at == 0 {
            // The low half of the first word is the checksum, which was compared before.
            found = found.map(|found| found & !u64::from(u32::MAX));
        }
        self.same &= found == Some(word);
        self.at += 1;
    }
}

/// Decoding a table and encoding it anew, chunk by chunk, against its own bytes.
struct Reencode<'t, 'v>(&'t Table<Block<'v>>);

/// What was decoded.
struct Reencoded {
    extent: Extent,
    bounds: Bounds,
    /// Bytes of the record and the body.
    bytes: u64,
}

const DIFFERS: &str = "its body has other bytes";

impl Task for Reencode<'_, '_> {
    type Output = Result<Reencoded, Flaw>;

    #[expect(clippy::inline_always, reason = "compiled for the level that runs it")]
    #[inline(always)]
    fn run<W: Wide>(self, wide: W) -> Self::Output {
        let Self(table) = self;
        let (mut extent, mut bounds, mut bits) = (Extent::EMPTY, Bounds::default(), 0);
        let (mut decoder, mut scratch) = (Decoder::default(), Scratch::default());
        let (mut lines, mut fields) = (ChunkLines::default(), Fields::default());
        let mut room: Room = [0; SLOTS];
        for number in table.chunks() {
            let at = bits;
            let (stat, form, first, last) = match table.chunk(number)? {
                Chunk::Absent => continue,
                Chunk::Linear(run) => {
                    let stat = ChunkStat::linear(&run);
                    (stat, stat.form(table.reference()), run.first(), run.last())
                }
                Chunk::Leaf(leaf) => {
                    leaf.decode(wide, &mut decoder, &mut scratch)?;
                    let content = scratch.content().ok_or("a leaf without an entry")?;
                    let stat = ChunkStat::of(wide, number, &content, &mut lines);
                    let form = stat.form(table.reference());
                    let Form::Leaf(shape) = form else {
                        return Err(Flaw::Other(DIFFERS));
                    };
                    let at = table.leaves() + at;
                    fields.begin(at);
                    let references = (table.reference(), stat.min);
                    write_leaf(wide, &shape, references, content.leaf(&lines), &mut fields, &mut room);
                    if !fields.are_at(table.body(), at) {
                        return Err(Flaw::Other(DIFFERS));
                    }
                    let (first, last) = content.ends(number);
                    (stat, form, first, last)
                }
            };
            if form.word(&mut bits).encode() != table.word(number)? {
                return Err(Flaw::Other(DIFFERS));
            }
            bounds.add(&stat);
            extent.add(&stat, first, last);
        }
        if !ends_with(table, bits) {
            return Err(Flaw::Other(DIFFERS));
        }
        Ok(Reencoded { extent, bounds, bytes: extent.table_bytes(bits) })
    }
}

/// Whether a table's body ends with so many bits of leaves and padding, and has nothing in its first word but the
/// checksum.
fn ends_with(table: &Table<Block<'_>>, bits: u64) -> bool {
    let (body, end) = (table.body(), table.leaves() + bits);
    let padding = u32::try_from(end.next_multiple_of(64) - end).unwrap_or(0);
    body.len() * 64 == end.next_multiple_of(64)
        && body.field(end, padding) == Some(0)
        && body.word(0).is_some_and(|word| word >> 32 == 0)
}

/// What is wrong with a body.
enum Flaw {
    /// It cannot be read.
    Impossible(&'static str),
    /// It has another encoding.
    Other(&'static str),
}

impl From<&'static str> for Flaw {
    fn from(why: &'static str) -> Self {
        Self::Impossible(why)
    }
}

fn not_canonical(number: u64, why: &'static str) -> SerialError {
    SerialError::NotCanonical { place: Place::Part(number), why }
}

impl SerialView<'_> {
    /// Checks every byte: checksums, each field, that runs and entries ascend, and that the content has no other
    /// encoding. Afterwards no reading of the map fails, and all agree.
    ///
    /// Takes time in proportion to the bytes, and at most 64 KiB of memory on each thread.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong; with several threads, one of the wrong things.
    pub fn verify(&self) -> Result<(), SerialError> {
        self.verify_bodies()?;
        self.verify_lists()
    }

    fn verify_bodies(&self) -> Result<(), SerialError> {
        #[cfg(feature = "std")]
        if self.len() >= PARALLEL_FROM {
            use rayon::iter::{IntoParallelIterator, ParallelIterator};

            return (0..self.part_count()).into_par_iter().try_for_each(|number| self.verify_body(number));
        }
        (0..self.part_count()).try_for_each(|number| self.verify_body(number))
    }

    /// Checks the checksum of a body, and all of a table.
    fn verify_body(&self, number: u64) -> Result<(), SerialError> {
        let head = self.head(number)?;
        if matches!(head.kind, Kind::Run(_)) {
            return Ok(());
        }
        let place = Place::Part(number);
        let body = self.body(number, &head)?;
        let sums = body.word(0).zip(body.checksum_of_body());
        let (word, computed) = sums.ok_or(SerialError::Impossible { place, why: "a body without words" })?;
        if word & u64::from(u32::MAX) != u64::from(computed) {
            let found = u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
            return Err(SerialError::Checksum { place, found, computed });
        }
        match self.content(number)? {
            Content::Table(table) => self.verify_table(number, &table),
            Content::Run(_) | Content::List(_) => Ok(()),
        }
    }

    fn verify_table(&self, number: u64, table: &Table<Block<'_>>) -> Result<(), SerialError> {
        let bad = |why| SerialError::Impossible { place: Place::Part(number), why };
        let Reencoded { extent, bounds, bytes } = best(Reencode(table)).map_err(|flaw| match flaw {
            Flaw::Impossible(why) => bad(why),
            Flaw::Other(why) => not_canonical(number, why),
        })?;
        let head = self.head(number)?;
        if extent.head(head.body) != head {
            return Err(not_canonical(number, "its record does not say what its body holds"));
        }
        let mut taken = bounds.surely_take_table(extent.first, bytes);
        if !taken {
            let mut estimate = ListEstimate::default();
            let (mut table, mut runs) = (table.runs(), Vec::new());
            while table.next_chunk(&mut runs).map_err(bad)? {
                runs.drain(..).for_each(|run| estimate.push(run));
            }
            taken = estimate.take_table(bytes);
        }
        if taken { Ok(()) } else { Err(not_canonical(number, "its segment gets no table")) }
    }

    /// Checks all lists and runs by themselves: their parts between two tables at a time.
    fn verify_lists(&self) -> Result<(), SerialError> {
        let mut number = 0;
        while number < self.part_count() {
            let first = number;
            while number < self.part_count() && self.head(number)?.kind != Kind::Table {
                number += 1;
            }
            ListCheck { view: self, next: first, end: number }.check()?;
            number += 1;
        }
        Ok(())
    }
}

/// Packs the runs of neighbouring parts anew and compares.
struct ListCheck<'v> {
    view: &'v SerialView<'v>,
    /// The part that the next list is to be.
    next: u64,
    /// The first part that is not in the comparison.
    end: u64,
}

impl ListCheck<'_> {
    fn check(mut self) -> Result<(), SerialError> {
        let mut packer = ListPacker::default();
        let mut gauge = SegmentGauge::default();
        let mut last: Option<u64> = None;
        let pieces = Pieces::new(self.view, self.next, self.end);
        for run in pieces {
            for piece in segments_of(&run?) {
                if last.is_some_and(|last| segment_of(last) != segment_of(piece.first())) {
                    self.expect_list(&mut gauge)?;
                }
                last = Some(piece.last());
                if !covers_segments(&piece) {
                    gauge.push(&piece);
                }
                if let Some(list) = packer.push(piece) {
                    self.compare(&list)?;
                }
            }
        }
        self.expect_list(&mut gauge)?;
        if let Some(list) = packer.finish() {
            self.compare(&list)?;
        }
        if self.next == self.end {
            Ok(())
        } else {
            Err(not_canonical(self.next, "its runs fit into fewer lists"))
        }
    }

    fn expect_list(&self, gauge: &mut SegmentGauge) -> Result<(), SerialError> {
        if gauge.finish() {
            Err(not_canonical(self.next, "one of its segments gets a table"))
        } else {
            Ok(())
        }
    }

    fn compare(&mut self, list: &ListImage) -> Result<(), SerialError> {
        let number = self.next;
        if number >= self.end {
            return Err(not_canonical(number.saturating_sub(1), "its runs make more lists"));
        }
        self.next += 1;
        let head = self.view.head(number)?;
        let body = self.view.body(number, &head)?;
        let mut comparison = Comparison::with(body);
        let same = list.write(head.body, &mut comparison) == head && comparison.is_same();
        if same { Ok(()) } else { Err(not_canonical(number, "its list has other bytes")) }
    }
}
