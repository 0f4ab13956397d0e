//! Reading a whole leaf at once.

use super::Layout;
use super::content::{SLOTS, Scratch};
use super::read::{Leaf, NO_SET, NO_START, OUTSIDE};
use crate::serial::bits::{LEAF_WORDS, mask};
use crate::serial::run::Step;
use crate::serial::set::{Bitmap, Fetch};
use crate::serial::wide::{LANES, Wide};
use crate::serial::wire::LeafOrder;
use crate::serial::words::Block;

/// Words of a leaf and one more on each side, for a leaf that does not begin with a word; a power of two.
const PACKED_WORDS: usize = 1024;
/// Slots that are written in one step.
const STEP: usize = 8;

/// Where a leaf is taken apart. It can be used for one leaf after the other.
#[derive(Clone, Debug)]
pub(in crate::serial) struct Decoder {
    packed: [u64; PACKED_WORDS],
    /// Where runs start, with the end behind them.
    starts: [u64; SLOTS + LANES],
    /// The first value of each run.
    firsts: [u64; SLOTS + LANES],
    letters: [u64; SLOTS + LANES],
    /// Values by position, as if holes were filled.
    filled: [u64; SLOTS + LANES],
}

impl Default for Decoder {
    fn default() -> Self {
        let room = [0; SLOTS + LANES];
        Self { packed: [0; PACKED_WORDS], starts: room, firsts: room, letters: room, filled: room }
    }
}

impl Fetch for Decoder {
    #[inline]
    fn fetch(&self, at: u64, width: u32) -> Option<u64> {
        let at = luo_kho::ByteLen::new(at).as_usize();
        Some(self.field(at, width))
    }
}

impl Decoder {
    /// A field of up to 64 bits; beyond the leaf it is arbitrary.
    #[expect(clippy::indexing_slicing, reason = "masked to the length of the array")]
    #[inline]
    fn field(&self, at: usize, width: u32) -> u64 {
        let (word, shift) = (at / 64, at % 64);
        let low = self.packed[word % PACKED_WORDS] >> shift;
        let high = self.packed[(word + 1) % PACKED_WORDS] << 1 << (63 - shift);
        (low | high) & mask(width)
    }

    /// Fields of one width.
    #[inline]
    fn fields(&self, at: usize, width: u32, places: &mut [u64], plus: u64) {
        if width == 0 {
            places.fill(plus);
            return;
        }
        for (place, at) in places.iter_mut().zip((at..).step_by(width as usize)) {
            *place = self.field(at, width).wrapping_add(plus);
        }
    }
}

impl Leaf<Block<'_>> {
    /// Takes the leaf apart: its entries go into `scratch`. What is no leaf gives some entries, or an error.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn decode<W: Wide>(
        &self,
        wide: W,
        decoder: &mut Decoder,
        scratch: &mut Scratch,
    ) -> Result<(), &'static str> {
        let (base, layout) = self.fetch(decoder)?;
        self.place(decoder, base + layout.presence as usize, scratch)?;
        let entries = self.shape.entries as usize;
        if self.shape.order == LeafOrder::Single {
            let values = scratch.values.get_mut(..entries).unwrap_or_default();
            decoder.fields(base + layout.values as usize, self.shape.width, values, self.reference);
            return Ok(());
        }
        self.unpack(decoder, base, &layout)?;
        if self.shape.order == LeafOrder::Rank || scratch.is_full() {
            return self.draw(decoder, 0, &mut scratch.values);
        }
        let mut filled = decoder.filled;
        let first = scratch.positions.first().copied().unwrap_or(0);
        self.draw(decoder, first, &mut filled)?;
        let (groups, _) = filled.as_chunks();
        let mut len = 0;
        for (group, word) in groups.iter().zip(scratch.present.words()) {
            if let Some(places) = scratch.values.get_mut(len..).and_then(|rest| rest.first_chunk_mut()) {
                wide.compress(group, *word, places);
            }
            len += word.count_ones() as usize;
        }
        Ok(())
    }

    /// Writes the entries and the holes of the chunk side by side.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(in crate::serial) fn spread(
        &self,
        decoder: &mut Decoder,
        scratch: &mut Scratch,
        slots: &mut [u64; SLOTS],
        hole: u64,
    ) -> Result<(), &'static str> {
        let (base, layout) = self.fetch(decoder)?;
        self.place(decoder, base + layout.presence as usize, scratch)?;
        let entries = self.shape.entries as usize;
        match self.shape.order {
            LeafOrder::Single => {
                let places = if scratch.is_full() { &mut slots[..] } else { &mut scratch.values };
                let places = places.get_mut(..entries).unwrap_or_default();
                decoder.fields(base + layout.values as usize, self.shape.width, places, self.reference);
            }
            LeafOrder::Index => {
                self.unpack(decoder, base, &layout)?;
                let first =
                    if scratch.is_full() { 0 } else { scratch.positions.first().copied().unwrap_or(0) };
                self.draw(decoder, first, &mut scratch.values)?;
                scratch.overlay(slots, hole);
                return Ok(());
            }
            LeafOrder::Rank => {
                self.unpack(decoder, base, &layout)?;
                self.draw(decoder, 0, &mut scratch.values)?;
                if scratch.is_full() {
                    scratch.overlay(slots, hole);
                }
            }
        }
        if !scratch.is_full() {
            scratch.scatter(slots, hole);
        }
        Ok(())
    }

    /// Copies the leaf's words; its first bit in the copy, and where its fields lie from there.
    #[inline]
    fn fetch(&self, decoder: &mut Decoder) -> Result<(usize, Layout), &'static str> {
        let layout = self.shape.layout();
        let end = self.at + u64::from(layout.end);
        let from = self.at / 64;
        let words = luo_kho::ByteLen::new(end.div_ceil(64) - from).as_usize();
        let places = decoder.packed.get_mut(..words).ok_or(OUTSIDE)?;
        self.body.copy(from, places).ok_or(OUTSIDE)?;
        Ok((luo_kho::ByteLen::new(self.at % 64).as_usize(), layout))
    }

    /// Reads the set of presence.
    #[inline]
    fn place(&self, decoder: &Decoder, at: usize, scratch: &mut Scratch) -> Result<(), &'static str> {
        if self.shape.entries as usize == SLOTS {
            scratch.fill();
            return Ok(());
        }
        let named = self.shape.presence().read(decoder, at as u64).ok_or(NO_SET)?;
        scratch.place(if self.shape.names_holes() { named.complement() } else { named });
        Ok(())
    }

    /// Reads starts, first values and steps of all runs.
    #[inline]
    fn unpack(&self, decoder: &mut Decoder, base: usize, layout: &Layout) -> Result<(), &'static str> {
        let runs = self.shape.runs as usize;
        let starts: Bitmap =
            self.shape.starts().read(decoder, (base + layout.starts as usize) as u64).ok_or(NO_SET)?;
        let mut places = decoder.starts.iter_mut();
        starts.members().zip(&mut places).for_each(|(start, place)| *place = u64::from(start));
        if let Some(place) = places.next() {
            *place = SLOTS as u64;
        }
        let mut firsts = decoder.firsts;
        let values = base + layout.values as usize;
        decoder.fields(values, self.shape.width, firsts.get_mut(..runs).unwrap_or_default(), self.reference);
        decoder.firsts = firsts;
        let width = self.shape.alphabet.width();
        if width > 0 {
            let mut letters = decoder.letters;
            let steps = base + layout.steps as usize;
            decoder.fields(steps, width, letters.get_mut(..runs).unwrap_or_default(), 0);
            decoder.letters = letters;
        }
        Ok(())
    }

    /// Writes the values of all runs, each up to where the next starts, the last beyond the end of the chunk.
    #[inline]
    fn draw(
        &self,
        decoder: &Decoder,
        first: u64,
        places: &mut [u64; SLOTS + LANES],
    ) -> Result<(), &'static str> {
        let Decoder { starts, firsts, letters, .. } = decoder;
        if starts.first() != Some(&first) {
            return Err(NO_START);
        }
        let increments = [0, 1, 2, 3].map(|letter| self.shape.alphabet.step(letter).map(Step::increment));
        let steady = self.shape.alphabet.width() == 0;
        let ends = starts.iter().skip(1);
        let runs = starts.iter().zip(ends).zip(firsts.iter().zip(letters)).take(self.shape.runs as usize);
        for ((start, end), (value, letter)) in runs {
            let letter = if steady { 0 } else { *letter };
            let increment = increments.get(luo_kho::ByteLen::new(letter).as_usize()).copied().flatten();
            let increment = increment.ok_or(super::read::NO_STEP)?;
            let (mut at, end) =
                (luo_kho::ByteLen::new(*start).as_usize(), luo_kho::ByteLen::new(*end).as_usize());
            let mut value = *value;
            while at < end {
                // Beyond the end of the run, but never of the room: the next run writes over it.
                let step = places.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<STEP>());
                for (place, nth) in step.into_iter().flatten().zip(0_u64..) {
                    *place = value.wrapping_add(nth.wrapping_mul(increment));
                }
                value = value.wrapping_add(increment.wrapping_mul(STEP as u64));
                at += STEP;
            }
        }
        Ok(())
    }
}

const _: () = assert!(LEAF_WORDS + 2 <= PACKED_WORDS);
