//! Writing a leaf.

use super::content::{Content, SLOTS};
use super::gauge::ChunkLines;
use super::lines::Lines;
use crate::serial::bits::{Fields, LEAF_WORDS};
use crate::serial::set::Bitmap;
use crate::serial::wide::{LANES, Wide};
use crate::serial::wire::{LeafOrder, LeafShape};

/// Room for the fields of one width. It can be used for one leaf after the other.
pub(in crate::serial) type Room = [u64; SLOTS];

/// Writes the leaf of a chunk. `reference` is the segment's, `min` the chunk's lowest value.
#[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
#[inline(always)]
pub(in crate::serial) fn write_leaf<W: Wide>(
    wide: W,
    shape: &LeafShape,
    (segment, min): (u64, u64),
    content: &Content<'_>,
    lines: &ChunkLines,
    fields: &mut Fields,
    room: &mut Room,
) {
    let mut reference = segment;
    if shape.own_reference {
        reference = min;
        fields.put(reference, u64::BITS);
    }
    if !content.is_full() {
        let named = if shape.names_holes() { content.present.complement() } else { content.present };
        shape.presence().write(&named, fields);
    }
    let (values, shape_of_starts) = (content.values, shape.starts());
    let runs = match shape.order {
        LeafOrder::Single => {
            for (place, value) in room.iter_mut().zip(values) {
                *place = value.wrapping_sub(reference);
            }
            values.len()
        }
        LeafOrder::Index => {
            let starts = &lines.by_index.starts;
            let starts = if content.is_full() { *starts } else { at_positions(starts, content.positions) };
            shape_of_starts.write(&starts, fields);
            steps(wide, shape, &lines.by_index, fields, room);
            gather(values, &lines.by_index.starts, reference, room)
        }
        LeafOrder::Rank => {
            shape_of_starts.write(&lines.by_rank.starts, fields);
            steps(wide, shape, &lines.by_rank, fields, room);
            gather(values, &lines.by_rank.starts, reference, room)
        }
    };
    assert!(runs == shape.runs as usize, "a chunk is written as it was measured");
    fields.put_all(room.split_at(runs).0, shape.width);
}

/// The positions of the entries with these ranks.
fn at_positions(ranks: &Bitmap, positions: &[u64]) -> Bitmap {
    let mut at = Bitmap::default();
    for (word, positions) in ranks.words().iter().zip(positions.chunks(LANES)) {
        let mut word = *word;
        while word != 0 {
            if let Some(&position) = positions.get(word.trailing_zeros() as usize) {
                at.insert(u32::try_from(position).unwrap_or(0)); // below 512
            }
            word &= word - 1;
        }
    }
    at
}

/// The values at these ranks, together, less the reference; how many.
#[inline]
fn gather(values: &[u64], ranks: &Bitmap, reference: u64, room: &mut Room) -> usize {
    let mut len = 0;
    for (word, values) in ranks.words().iter().zip(values.chunks(LANES)) {
        let (mut word, count) = (*word, word.count_ones() as usize);
        for place in room.get_mut(len..len + count).unwrap_or_default() {
            let value = values.get(word.trailing_zeros() as usize).copied().unwrap_or(0);
            *place = value.wrapping_sub(reference);
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
