//! The records, byte for byte: the header, the directory's records, the first word of a body, the word of a chunk.
//!
//! | record | at | bytes |
//! |---|---|---|
//! | [`Header`] | 0 | 32 |
//! | [`Record`] | 32, one after the other | 32 each |
//! | bodies, in the order of their records | after the records | whole words |

use core::mem::{offset_of, size_of};

use luo_kho::checksum;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::bits::{Alphabet, mask};
use super::run::{Run, Step};
use super::{CHUNK_LEN, LIST_RUNS, VERSION};

/// `LXAR`, as the bytes stand in memory.
const MAGIC: u32 = u32::from_le_bytes(*b"LXAR");
/// Words in the header.
pub(super) const HEADER_WORDS: u64 = size_of::<Header>() as u64 / 8;
/// Words in a record.
pub(super) const RECORD_WORDS: u64 = size_of::<Record>() as u64 / 8;

/// The first 32 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    magic: U32,
    version: U16,
    reserved: U16,
    words: U64,
    records: U64,
    directory_sum: U32,
    sum: U32,
}

/// One part of the map, as it stands in the directory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Record {
    first: U64,
    last: U64,
    reference: U64,
    place: U64,
}

const _: () = assert!(size_of::<Header>() == 32 && size_of::<Record>() == 32);
const _: () = assert!(offset_of!(Header, version) == 4 && offset_of!(Header, words) == 8);
const _: () = assert!(offset_of!(Header, records) == 16 && offset_of!(Header, directory_sum) == 24);
const _: () = assert!(offset_of!(Header, sum) == 28);
const _: () = assert!(offset_of!(Record, last) == 8 && offset_of!(Record, reference) == 16);
const _: () = assert!(offset_of!(Record, place) == 24);

/// What the header says, believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Words in the whole blob.
    pub(super) words: u64,
    /// Records in the directory.
    pub(super) records: u64,
    /// The checksum of the directory.
    pub(super) directory_sum: u32,
}

/// Why a header is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHead {
    Magic(u32),
    Version(u16),
    Checksum { found: u32, computed: u32 },
    Reserved,
}

/// A record, believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartHead {
    /// The first index that has an entry.
    pub(super) first: u64,
    /// The last index that has an entry.
    pub(super) last: u64,
    /// What is added to the values that a body holds; of a run by itself, its first value.
    pub(super) reference: u64,
    pub(super) kind: Kind,
    /// The first word of the body, counted from the first body.
    pub(super) body: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One run, without a body.
    Run(Step),
    /// So many runs.
    List(u32),
    /// The chunks of one segment.
    Table,
}

/// The high half of a list's first word: how wide its fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListHead {
    /// Bits of a start, a length and a value.
    pub(super) start: u32,
    pub(super) length: u32,
    pub(super) value: u32,
    pub(super) alphabet: Alphabet,
    /// Values are counted from a line that rises by one per index.
    pub(super) slanted: bool,
}

/// What the word of a chunk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkWord {
    /// No entry.
    Absent,
    /// One run through all 512 indices; its first value, less the table's reference.
    Linear { value: u64, step: Step },
    /// A leaf, at this bit after the chunk words.
    Leaf { at: u64, shape: LeafShape },
}

/// What a leaf holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeafShape {
    pub(super) order: LeafOrder,
    /// The leaf starts with a reference of its own.
    pub(super) own_reference: bool,
    pub(super) alphabet: Alphabet,
    /// Bits of a value, 0 to 64.
    pub(super) width: u32,
    /// Entries, 1 to 512.
    pub(super) entries: u32,
    /// Runs, 1 to the number of entries.
    pub(super) runs: u32,
}

/// What runs of a chunk are counted along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeafOrder {
    /// The index: values go on behind a hole as if it were filled. What a hole punched into a run leaves.
    Index,
    /// The rank, the number of entries before: values go on behind a hole where they stopped. What pages that are
    /// allocated in order of their index look like.
    Rank,
    /// Neither: each entry has a value of its own.
    Single,
}

/// Bits of a body's offset in [`Record`]: 2^44 words are the address space of a program.
const BODY_BITS: u32 = 44;

impl Head {
    pub(super) fn encode(self) -> Header {
        let mut header = Header {
            magic: U32::new(MAGIC),
            version: U16::new(VERSION),
            reserved: U16::ZERO,
            words: U64::new(self.words),
            records: U64::new(self.records),
            directory_sum: U32::new(self.directory_sum),
            sum: U32::ZERO,
        };
        header.sum = U32::new(header.sum());
        header
    }

    pub(super) fn decode(header: &Header) -> Result<Self, BadHead> {
        let Header { magic, version, reserved, words, records, directory_sum, sum } = *header;
        if magic.get() != MAGIC {
            return Err(BadHead::Magic(magic.get()));
        }
        if version.get() != VERSION {
            return Err(BadHead::Version(version.get()));
        }
        if sum.get() != header.sum() {
            return Err(BadHead::Checksum { found: sum.get(), computed: header.sum() });
        }
        if reserved.get() != 0 {
            return Err(BadHead::Reserved);
        }
        Ok(Self { words: words.get(), records: records.get(), directory_sum: directory_sum.get() })
    }
}

impl Header {
    fn sum(&self) -> u32 {
        let (summed, _) = self.as_bytes().split_at(offset_of!(Self, sum));
        checksum::crc32c(summed)
    }
}

impl Record {
    /// Its words, as they stand there.
    #[cfg(test)]
    fn words(&self) -> [u64; 4] {
        let Self { first, last, reference, place } = *self;
        [first, last, reference, place].map(U64::get)
    }
}

impl PartHead {
    pub(super) fn encode(self) -> Record {
        let Self { first, last, reference, kind, body } = self;
        assert!(body <= mask(BODY_BITS), "2^44 words of bodies do not fit into an address space");
        let kind = match kind {
            Kind::Run(step) => step.code() << 2,
            Kind::List(runs) => 1 | u64::from(runs - 1) << 4,
            Kind::Table => 2,
        };
        Record {
            first: U64::new(first),
            last: U64::new(last),
            reference: U64::new(reference),
            place: U64::new(body | kind << BODY_BITS),
        }
    }

    /// The words of a [`Record`].
    pub(super) fn decode(words: [u64; 4]) -> Result<Self, &'static str> {
        let head = Self::read(words)?;
        if let Kind::Run(step) = head.kind {
            let run = Run::from_bounds(head.first, head.last, head.reference, step);
            if run.ok_or("a run that cannot be")?.step() != step {
                return Err("one entry with a step");
            }
        }
        if head.first > head.last {
            return Err("a part that ends before it begins");
        }
        Ok(head)
    }

    /// The first word of the body, of a record with this place; `None` if it is not a table's.
    #[inline]
    pub(super) const fn table_at(place: u64) -> Option<u64> {
        if place >> BODY_BITS == 2 { Some(place & mask(BODY_BITS)) } else { None }
    }

    /// What a record says, of a directory that was checked: no matter whether it can be.
    #[inline]
    pub(super) fn read([first, last, reference, place]: [u64; 4]) -> Result<Self, &'static str> {
        let kind = place >> BODY_BITS;
        let (tag, step, runs) = (kind & 3, kind >> 2 & 3, kind >> 4);
        let kind = if kind == 2 {
            Kind::Table
        } else if tag == 0 && runs == 0 {
            Kind::Run(Step::from_code(step).ok_or("a step with an unknown number")?)
        } else if tag == 1 && step == 0 && (1..LIST_RUNS as u64).contains(&runs) {
            Kind::List(short(runs) + 1)
        } else {
            return Err("a part of an unknown kind");
        };
        Ok(Self { first, last, reference, kind, body: place & mask(BODY_BITS) })
    }
}

impl ListHead {
    pub(super) fn encode(self) -> u64 {
        let Self { start, length, value, alphabet, slanted } = self;
        let fields = u64::from(start) | u64::from(length) << 7 | u64::from(value) << 14;
        (fields | alphabet.code() << 21 | u64::from(slanted) << 24) << 32
    }

    #[inline]
    pub(super) fn decode(word: u64) -> Option<Self> {
        let fields = word >> 32;
        let head = Self {
            start: short(fields & 127),
            length: short(fields >> 7 & 127),
            value: short(fields >> 14 & 127),
            alphabet: Alphabet::from_code(fields >> 21 & 7)?,
            slanted: fields >> 24 & 1 == 1,
        };
        let fit = head.start <= 64 && head.length <= 64 && head.value <= 64;
        (fit && fields >> 25 == 0).then_some(head)
    }
}

impl ChunkWord {
    /// A linear chunk holds values below this, counted from the reference.
    pub(super) const LINEAR_END: u64 = 1 << 60;

    pub(super) fn encode(self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Linear { value, step } => 1 | step.code() << 2 | value << 4,
            Self::Leaf { at, shape } => {
                let LeafShape { order, own_reference, alphabet, width, entries, runs } = shape;
                let order = match order {
                    LeafOrder::Index => 0,
                    LeafOrder::Rank => 1,
                    LeafOrder::Single => 2,
                };
                let low = 2 | order << 2 | u64::from(own_reference) << 4 | alphabet.code() << 5;
                low | u64::from(width) << 8
                    | u64::from(entries - 1) << 15
                    | u64::from(runs - 1) << 24
                    | at << 33
            }
        }
    }

    /// The value at an index, if its chunk has this word and is linear, and all of its values are there.
    #[inline]
    pub(super) fn linear_at(word: u64, reference: u64, index: u64) -> Option<u64> {
        let step = Step::from_code(word >> 2 & 3).filter(|_| word & 3 == 1)?;
        let value = reference.checked_add(word >> 4)?;
        step.apply(value, u64::from(CHUNK_LEN) - 1)?;
        step.apply(value, index % u64::from(CHUNK_LEN))
    }

    /// Whether the chunk has a leaf.
    pub(super) const fn is_leaf(word: u64) -> bool {
        word & 3 == 2
    }

    #[inline]
    pub(super) fn decode(word: u64) -> Option<Self> {
        match word & 3 {
            0 => (word == 0).then_some(Self::Absent),
            1 => Some(Self::Linear { value: word >> 4, step: Step::from_code(word >> 2 & 3)? }),
            2 => {
                let shape = LeafShape {
                    order: match word >> 2 & 3 {
                        0 => LeafOrder::Index,
                        1 => LeafOrder::Rank,
                        2 => LeafOrder::Single,
                        _ => return None,
                    },
                    own_reference: word >> 4 & 1 == 1,
                    alphabet: Alphabet::from_code(word >> 5 & 7)?,
                    width: short(word >> 8 & 127),
                    entries: short(word >> 15 & 511) + 1,
                    runs: short(word >> 24 & 511) + 1,
                };
                let single = shape.order == LeafOrder::Single;
                let fit = shape.width <= 64
                    && shape.runs <= shape.entries
                    && (!single || (shape.runs == shape.entries && shape.alphabet.width() == 0));
                fit.then_some(Self::Leaf { at: word >> 33, shape })
            }
            _ => None,
        }
    }
}

// The longest leaf times the chunks of a segment: a bit offset has 31 bits.
const _: () = assert!((64 + 2 * CHUNK_LEN + 2 * CHUNK_LEN + 64 * CHUNK_LEN) as u64 * 512 < 1 << 31);
const _: () = assert!(CHUNK_LEN == 512, "an entry count less one has 9 bits");

/// A field of a few bits.
#[expect(clippy::cast_possible_truncation, reason = "callers have masked it to a few bits")]
const fn short(field: u64) -> u32 {
    field as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_unknown_bits_are_refused() {
        for kind in [Kind::Run(Step::Down), Kind::List(2), Kind::List(128), Kind::Table] {
            let head = PartHead { first: 5, last: 9, reference: 77, kind, body: 0xABC_DEF0 };
            let record = head.encode();
            assert_eq!(PartHead::decode(record.words()), Ok(head));
            for bit in BODY_BITS..64 {
                let mut other = record;
                other.place = U64::new(record.place.get() ^ 1 << bit);
                assert_ne!(
                    PartHead::decode(other.words()),
                    Ok(head),
                    "bit {bit} has a meaning or is refused"
                );
            }
        }
        let backwards = PartHead { first: 9, last: 5, reference: 0, kind: Kind::Table, body: 0 };
        assert!(PartHead::decode(backwards.encode().words()).is_err());
    }

    #[test]
    fn chunk_words_read_back_and_mean_one_thing() {
        let shape = LeafShape {
            order: LeafOrder::Rank,
            own_reference: true,
            alphabet: Alphabet::from_code(3).unwrap(),
            width: 64,
            entries: 512,
            runs: 511,
        };
        let words = [
            ChunkWord::Absent,
            ChunkWord::Linear { value: ChunkWord::LINEAR_END - 1, step: Step::Flat },
            ChunkWord::Leaf { at: (1 << 31) - 1, shape },
        ];
        for word in words {
            assert_eq!(ChunkWord::decode(word.encode()), Some(word));
        }
        for word in (0..64).map(|bit| 1_u64 << bit).chain([3, u64::MAX, 0b1101]) {
            if let Some(meaning) = ChunkWord::decode(word) {
                assert_eq!(meaning.encode(), word, "{word:#x} has a second spelling");
            }
        }
    }
}
