//! Reading in place.

use zerocopy::{FromBytes, IntoBytes};

use super::error::{Place, SerialError};
use super::list::List;
use super::look_up::{Map, Near};
use super::run::Run;
use super::segment_of;
use super::table::Table;
use super::wide::Level;
use super::wire::{BadHead, HEADER_WORDS, Head, Header, Kind, PartHead, RECORD_WORDS};
use super::words::{Block, Source as _, Words};

/// A serialized map where it lies.
///
/// [`open`](Self::open) has checked the header and the directory. Bodies are read when they are asked for and are
/// hostile until [`verify`](Self::verify) has said otherwise: reading them gives an answer or an error, in bounded
/// time, whatever they hold.
#[derive(Clone, Debug)]
pub struct SerialView<'a> {
    words: Words<'a>,
    parts: u64,
    /// The first word of the first body.
    bodies: u64,
    /// The segment of the first index.
    origin: u64,
    /// The whole map, if it is one run.
    row: Option<Run>,
    level: Level,
}

/// A part with its body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'v> {
    Run(Run),
    List(List<Block<'v>>),
    Table(Table<Block<'v>>),
}

fn bad_header(why: &'static str) -> SerialError {
    SerialError::Impossible { place: Place::Header, why }
}

pub(super) fn bad_part(number: u64, why: &'static str) -> SerialError {
    SerialError::Impossible { place: Place::Part(number), why }
}

impl<'a> SerialView<'a> {
    /// Checks the header and the directory, in time proportional to the directory.
    ///
    /// The bytes may lie in any number of pieces; each is whole 8-byte words. For more than one piece this takes
    /// memory for one entry per piece.
    ///
    /// # Errors
    ///
    /// What the header or the directory say that cannot be.
    pub fn open(pieces: &[&'a [u8]]) -> Result<Self, SerialError> {
        let words = Words::new(pieces).ok_or(bad_header("the bytes are not whole words"))?;
        Self::from_words(words)
    }

    pub(crate) fn from_words(words: Words<'a>) -> Result<Self, SerialError> {
        let header = words.array::<4>(0).ok_or(bad_header("the bytes end within the header"))?;
        let header = Header::read_from_bytes(header.as_bytes());
        let header = header.map_err(|_| bad_header("the header has 32 bytes"))?;
        let head = Head::decode(&header).map_err(|bad| match bad {
            BadHead::Magic(found) => SerialError::Magic { found },
            BadHead::Version(found) => SerialError::Version { found },
            BadHead::Checksum { found, computed } => {
                SerialError::Checksum { place: Place::Header, found, computed }
            }
            BadHead::Reserved => bad_header("reserved bytes are not zero"),
        })?;
        if head.words != words.len() {
            return Err(bad_header("the length is not that of the bytes"));
        }
        let bodies = head.records.checked_mul(RECORD_WORDS).and_then(|len| len.checked_add(HEADER_WORDS));
        let bodies = bodies.filter(|bodies| *bodies <= head.words);
        let bodies = bodies.ok_or(bad_header("the directory does not fit into the bytes"))?;
        let origin = words.word(HEADER_WORDS).filter(|_| head.records > 0).map_or(0, segment_of);
        let level = Level::detect();
        let mut view = Self { words, parts: head.records, bodies, origin, row: None, level };
        view.check_directory(head.directory_sum)?;
        if view.parts == 1
            && let Content::Run(run) = view.content(0)?
        {
            view.row = Some(run);
        }
        Ok(view)
    }

    fn check_directory(&self, found: u32) -> Result<(), SerialError> {
        let place = Place::Directory;
        let directory = self.words.block(HEADER_WORDS, self.bodies);
        let computed = directory.ok_or(bad_header("the directory does not fit into the bytes"))?.checksum();
        if computed != found {
            return Err(SerialError::Checksum { place, found, computed });
        }
        let mut before: Option<PartHead> = None;
        for number in 0..self.parts {
            let head = self.head(number)?;
            let end = self.body_end(number)?;
            let fits = match head.kind {
                Kind::Run(_) => end == head.body,
                Kind::List(_) => end > head.body,
                Kind::Table => end > head.body + 1 && segment_of(head.first) == segment_of(head.last),
            };
            let apart = before.is_none_or(|before| {
                if before.kind == Kind::Table || head.kind == Kind::Table {
                    segment_of(before.last) < segment_of(head.first)
                } else {
                    before.last < head.first
                }
            });
            if !fits || !apart || (before.is_none() && head.body != 0) {
                return Err(bad_part(number, "its indices or its body are not where they can be"));
            }
            before = Some(head);
        }
        if before.is_none() && self.bodies != self.words.len() {
            return Err(SerialError::Impossible { place, why: "bodies without records" });
        }
        Ok(())
    }

    /// Words in all.
    #[cfg(feature = "std")]
    pub(super) const fn len(&self) -> u64 {
        self.words.len()
    }

    /// Parts in the directory.
    pub(super) const fn part_count(&self) -> u64 {
        self.parts
    }

    /// The record of part `number`.
    #[inline]
    pub(super) fn head(&self, number: u64) -> Result<PartHead, SerialError> {
        let record = self.words.all().array(HEADER_WORDS + number * RECORD_WORDS);
        let record = record.ok_or_else(|| bad_part(number, "a record outside the directory"))?;
        PartHead::decode(record).map_err(|why| bad_part(number, why))
    }

    /// Where the body of part `number` ends, counted as its start is.
    fn body_end(&self, number: u64) -> Result<u64, SerialError> {
        if number + 1 < self.parts {
            return Ok(self.head(number + 1)?.body);
        }
        Ok(self.words.len() - self.bodies)
    }

    /// The body of part `number`.
    pub(super) fn body(&self, number: u64, head: &PartHead) -> Result<Block<'_>, SerialError> {
        let end = self.body_end(number)?;
        let block = self.words.block(self.bodies + head.body, self.bodies + end);
        block.ok_or(bad_part(number, "a body outside the bytes"))
    }

    pub(super) fn content(&self, number: u64) -> Result<Content<'_>, SerialError> {
        let head = self.head(number)?;
        let content = match head.kind {
            Kind::Run(step) => {
                let run = Run::from_bounds(head.first, head.last, head.reference, step);
                run.map(Content::Run).ok_or("a run that cannot be")
            }
            Kind::List(runs) => List::new(&head, runs, self.body(number, &head)?).map(Content::List),
            Kind::Table => Table::new(&head, self.body(number, &head)?).map(Content::Table),
        };
        content.map_err(|why| bad_part(number, why))
    }

    /// The value at `index`, or `None` for a hole.
    ///
    /// # Errors
    ///
    /// What the body of the index's part says that cannot be. None, if the bytes were verified.
    #[inline]
    pub fn get(&self, index: u64) -> Result<Option<u64>, SerialError> {
        if let Some(row) = &self.row {
            return Ok(row.value_at(index));
        }
        let Self { parts, bodies, origin, level, .. } = *self;
        if let Block::Whole(words) = self.words.all()
            && let Ok(value) = (Near { words, parts, bodies, origin }).get(level, index)
        {
            return Ok(value);
        }
        self.get_anywhere(index)
    }

    /// The value at `index`, in whatever part and however the words lie.
    #[inline(never)]
    pub(super) fn get_anywhere(&self, index: u64) -> Result<Option<u64>, SerialError> {
        self.map().get(self.level, index)
    }

    /// The last part that starts at or before `index`.
    pub(super) fn find(&self, index: u64) -> Option<u64> {
        self.map().find(index)
    }

    const fn map(&self) -> Map<Block<'_>> {
        Map { words: self.words.all(), parts: self.parts }
    }
}
