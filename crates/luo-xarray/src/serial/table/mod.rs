//! The table of a segment.
//!
//! Its body: one word with the checksum, one word for each chunk from the first to the last that has an entry,
//! then the leaves of the chunks that need one, as fields, in the order of the chunks and without gaps.
//!
//! The record's reference is the lowest value of the segment.

mod gauge;
mod plan;
mod read;
mod source;
mod stream;

pub(super) use gauge::{Bounds, Extent, ListEstimate};
pub(super) use plan::TablePlan;
pub(super) use read::{Chunk, GetInLeaf, Table, TableRuns};
pub(super) use source::{Slots, Source};
pub(super) use stream::SegmentGauge;
