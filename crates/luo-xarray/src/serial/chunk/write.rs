//! Writing a leaf.

use super::content::SLOTS;
use super::gauge::ChunkLines;
use super::lines::Lines;
use crate::serial::bits::{Fields, LEAF_WORDS};
use crate::serial::set::Bitmap;
use crate::serial::wide::{LANES, Wide};
use crate::serial::wire::{LeafOrder, LeafShape};

/// Room for the fields of one width. It can be used for one leaf after the other.
pub(in crate::serial) type Room = [u64; SLOTS];

/// The entries of a chunk, as its leaf needs them.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct LeafContent<'c> {
    pub(in crate::serial) present: &'c Bitmap,
    pub(in crate::serial) lines: &'c ChunkLines,
    pub(in crate::serial) values: Values<'c>,
}

/// Values of a chunk.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) enum Values<'c> {
    /// Of all entries, by rank.
    All(&'c [u64]),
    /// The first of each run, along what the leaf is written by.
    Heads(&'c [u64]),
}

/// Writes the leaf of a chunk. `reference` is the segment's, `min` the chunk's lowest value.
#[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
#[inline(always)]
pub(in crate::serial) fn write_leaf<W: Wide>(
    wide: W,
    shape: &LeafShape,
    (segment, min): (u64, u64),
    content: LeafContent<'_>,
    fields: &mut Fields,
    room: &mut Room,
) {
    let LeafContent { present, lines, values } = content;
    let mut reference = segment;
    if shape.own_reference {
        reference = min;
        fields.put(reference, u64::BITS);
    }
    let is_full = *present == Bitmap::FULL;
    if !is_full {
        let named = if shape.names_holes() { present.complement() } else { *present };
        shape.presence().write(&named, fields);
    }
    let lines = match shape.order {
        LeafOrder::Single => None,
        LeafOrder::Index => Some(&lines.by_index),
        LeafOrder::Rank => Some(lines.by_rank()),
    };
    if let Some(lines) = lines {
        let along_index = shape.order == LeafOrder::Index && !is_full;
        let starts = if along_index { at_positions(wide, &lines.starts, present) } else { lines.starts };
        shape.starts().write(&starts, fields);
        steps(wide, shape, lines, fields, room);
    }
    let values = if let (Values::All(values), Some(lines)) = (values, lines) {
        let runs = gather(values, &lines.starts, room);
        let (values, _) = room.split_at_mut(runs);
        for value in &mut *values {
            *value = value.wrapping_sub(reference);
        }
        values
    } else {
        let (Values::All(values) | Values::Heads(values)) = values;
        let (places, _) = room.split_at_mut(values.len());
        for (place, value) in places.iter_mut().zip(values) {
            *place = value.wrapping_sub(reference);
        }
        places
    };
    assert!(values.len() == shape.runs as usize, "a chunk is written as it was measured");
    fields.put_all(values, shape.width);
}

/// The positions of the entries with these ranks.
#[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
#[inline(always)]
pub(super) fn at_positions<W: Wide>(wide: W, ranks: &Bitmap, present: &Bitmap) -> Bitmap {
    let mut at = Bitmap::default();
    let mut rank = 0;
    for (place, word) in at.words_mut().iter_mut().zip(present.words()) {
        *place = wide.deposit(ranks.from(rank), *word);
        rank += word.count_ones();
    }
    at
}

/// The values at these ranks, together; how many.
#[inline]
pub(super) fn gather(values: &[u64], ranks: &Bitmap, room: &mut [u64]) -> usize {
    let mut len = 0;
    for (word, values) in ranks.words().iter().zip(values.chunks(LANES)) {
        let (mut word, count) = (*word, word.count_ones() as usize);
        for place in room.get_mut(len..len + count).unwrap_or_default() {
            *place = values.get(word.trailing_zeros() as usize).copied().unwrap_or(0);
            word &= word - 1;
        }
        len += count;
    }
    len
}

/// Writes the step of each run: what its second entry, if there is one, is joined by.
#[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
#[inline(always)]
fn steps<W: Wide>(wide: W, shape: &LeafShape, lines: &Lines, fields: &mut Fields, room: &mut Room) {
    let width = shape.alphabet.width();
    if width == 0 {
        return;
    }
    let second = |joined: &Bitmap| {
        let words = joined.words();
        let next = words.iter().skip(1).chain(&[0]);
        let mut moved = [0; 8];
        for ((moved, word), next) in moved.iter_mut().zip(words).zip(next) {
            *moved = word >> 1 | next << (LANES - 1);
        }
        moved
    };
    let mut places = room.iter_mut();
    let letters = second(&lines.down).into_iter().zip(second(&lines.flat));
    for (starts, (down, flat)) in lines.starts.words().iter().zip(letters) {
        let (down, flat) = (wide.extract(down, *starts), wide.extract(flat, *starts));
        if width == 1 {
            fields.put(down, starts.count_ones());
            continue;
        }
        for (at, place) in (0..starts.count_ones()).zip(&mut places) {
            *place = down >> at & 1 | (flat >> at & 1) << 1;
        }
    }
    if width > 1 {
        fields.put_all(room.split_at(lines.runs as usize).0, width);
    }
}

const _: () = assert!(64 + 512 + 512 + 2 * 512 + 64 * SLOTS <= 64 * (LEAF_WORDS - 2));
