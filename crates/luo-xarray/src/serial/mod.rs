//! The serialized form: a map from u64 to u64 in plain bytes, read where it lies.
//!
//! - An **entry** is an index and its value. An index without an entry is a **hole**; a value of 0 is a value.
//! - A [`Run`] is neighbouring indices whose values go up by one, down by one, or stay ([`Step`]). Runs are cut
//!   from the lowest index up, each as long as it can be: a map has exactly one list of runs.
//! - A **chunk** is 512 indices (2 MiB of pages), a **segment** 512 chunks (1 GiB of pages), both aligned.
//! - A **part** is one record of the directory: a run by itself, a *list* of up to 128 runs, or the *table* of one
//!   segment, which finds each chunk by its number. Segments that make small tables get one; the runs of all
//!   others go into lists, across any distance. The bytes of a list or table are its **body**.
//! - A **word** is 8 bytes, little-endian. Everything is made of words, and frames hold whole words: no read ever
//!   has to be put together from two pieces of memory.
//!
//! [`Builder`] takes entries or runs in ascending order and gives an [`Encoded`]; [`SerialView`] reads the bytes in
//! place; [`SerializedXArray`] is the two of them in preserved frames. `docs/xarray-format.md` draws the bytes.
//!
//! # One encoding
//!
//! Every choice in the format follows from the content. [`SerialView::verify`] writes the content that it reads
//! once more, without keeping it, and refuses bytes that differ: damage under a matching checksum cannot give a
//! blob two meanings, and [`SerialView::get`] and the iterators agree on whatever was verified.
//!
//! # At most 16 bytes per entry
//!
//! A map of n entries takes at most `16 n +` [`CONSTANT_BYTES`] bytes, wherever its entries lie. Count bits against
//! a budget of 128 for each entry:
//!
//! 1. A table is only written if its bytes, record included, and 64 more are at most 16 per run of
//!    its segment. So it keeps 512 bits of its budget free.
//! 2. A list of n runs takes 256 bits of record, 64 of body header, at most 63 of padding, n-1 starts of `s` bits
//!    (the first is in the record), n lengths of `l` bits, n values of at most 64, and n times `a` <= 2 bits for
//!    steps. If `l` > 0, some run has 2^(l-1) entries beyond its first. If `a` > 0, two runs have some. So n(l + a),
//!    with n <= 128, is at most 128 bits more than the budget of those further entries: `l + a - further` is at
//!    most 1, reached by l = 1, a = 2 and by l = 2, a = 2.
//! 3. That leaves a list of n runs with an excess of 256 + 64 + 63 + 128 - 64 = 447 bits, less (64 - s) for each of
//!    its n-1 starts. A run by itself has an excess of 128.
//! 4. Lists are full (128 runs) except the last between two tables. That one, if it comes after a table, is paid by
//!    the 512 bits which that table left. At most one comes after no table: 447 bits.
//! 5. A full list has 127 starts: with s <= 60 it saves 508 bits and has no excess. A list with s > 60 spans at
//!    least 2^60 indices, and lists do not overlap, so there are few: the excess of one is at most 447, 320, 193 or
//!    66 bits at s = 64, 63, 62 or 61, and it uses up at least 8, 4, 2 or 1 of the 16 parts that 2^64 has. The
//!    dearest choice that fits into less than 16 is seven times s = 62 and once s = 61: 1417 bits.
//! 6. The header has 256 bits. 256 + 447 + 1417 = 2120 bits are 265 bytes.

mod batch;
mod bits;
mod builder;
mod chunk;
mod encoded;
mod error;
mod fill;
mod iter;
mod list;
mod look_up;
mod run;
mod set;
mod stored;
mod table;
mod verify;
mod view;
mod wire;
mod wide;
mod words;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use encoded::Encoded;
pub use error::{BuildError, Place, SerialError};
pub use iter::{Entries, Part, Runs};
pub use run::{Run, Step};
pub use stored::SerializedXArray;
pub use view::SerialView;

pub(crate) use run::Joiner;
pub(crate) use stored::store_slices;
pub(crate) use words::Words;

/// The layout's version. Bytes of another layout carry another number.
pub const VERSION: u16 = 1;
/// Beyond 16 bytes per entry, a map takes at most so many bytes. The module's documentation derives it.
pub const CONSTANT_BYTES: u64 = 272;

/// log2 of the indices in a chunk: 2 MiB of 4 KiB pages, what one entry of a page middle directory maps.
const CHUNK_SHIFT: u32 = 9;
/// Indices in a chunk.
const CHUNK_LEN: u32 = 1 << CHUNK_SHIFT;
/// log2 of the indices in a segment: 1 GiB of 4 KiB pages. A table of 512 words is then one frame.
const SEGMENT_SHIFT: u32 = 18;
/// Runs in a full list. More would save records and cost steps of the search.
const LIST_RUNS: usize = 128;
/// Bytes that a table must leave of the budget of its segment: it pays for a short list beside it.
const TABLE_SURPLUS: u64 = 64;
/// A table is taken until a list would be smaller by more than this factor: a table is read with one dependent
/// miss of the cache, a list is searched.
const TABLE_WEIGHT: u64 = 3;
/// A segment of fewer runs never gets a table. The smallest table has a record of 32 bytes, a header, one chunk and
/// one word of leaf; with the surplus that is more than 16 bytes for each of 7 runs, and 8 give exactly 128.
const TABLE_RUNS_MIN: usize = 7;

/// The number of the segment that holds `index`.
const fn segment_of(index: u64) -> u64 {
    index >> SEGMENT_SHIFT
}

/// The last index of a segment.
const fn segment_end(segment: u64) -> u64 {
    (segment << SEGMENT_SHIFT) | ((1 << SEGMENT_SHIFT) - 1)
}
