//! Reading a whole leaf at once.

use alloc::vec::Vec;

use zerocopy::IntoBytes as _;
use zerocopy::little_endian::U64;

use super::Layout;
use super::content::{SLOTS, Scratch};
use super::read::{Leaf, NO_SET, NO_START, OUTSIDE};
use crate::serial::bits::{LEAF_WORDS, mask};
use crate::serial::run::Step;
use crate::serial::set::{Bitmap, Fetch};
use crate::serial::wide::{LANES, Wide};
use crate::serial::wire::{LeafOrder, LeafShape};
use crate::serial::words::Block;

/// Words of a leaf and one more on each side, for a leaf that does not begin with a word; a power of two.
const PACKED_WORDS: usize = 1024;
/// A field of up to so many bits lies in 8 bytes, whichever bit of the first it begins with.
const NARROW: u32 = 57;
/// Slots that are written in one step.
const STEP: usize = 8;
/// What is added to a run's value in one step, upwards, downwards and not at all.
const RAMPS: [[u64; STEP]; 3] = [ramp(Step::Up), ramp(Step::Down), ramp(Step::Flat)];

#[expect(clippy::indexing_slicing, reason = "computed when compiled: an index out of bounds stops the build")]
const fn ramp(step: Step) -> [u64; STEP] {
    let mut ramp = [0_u64; STEP];
    let mut at = 1;
    while at < STEP {
        ramp[at] = ramp[at - 1].wrapping_add(step.increment());
        at += 1;
    }
    ramp
}

/// Where a leaf is taken apart. It can be used for one leaf after the other.
#[derive(Clone, Debug)]
pub(in crate::serial) struct Decoder {
    packed: Packed,
    /// Where runs start, with the end behind them.
    starts: [u64; SLOTS + LANES],
    /// The first value of each run.
    firsts: [u64; SLOTS + LANES],
    letters: [u64; SLOTS + LANES],
    /// Values by position, as if holes were filled.
    filled: Vec<u64>,
}

/// The words of a leaf, and one beyond, so that 8 bytes can be read from any byte of it.
#[derive(Clone, Debug)]
struct Packed([U64; PACKED_WORDS + 1]);

impl Default for Decoder {
    fn default() -> Self {
        let room = [0; SLOTS + LANES];
        Self {
            packed: Packed([U64::ZERO; PACKED_WORDS + 1]),
            starts: room,
            firsts: room,
            letters: room,
            filled: Vec::new(),
        }
    }
}

impl Fetch for Packed {
    #[inline]
    fn fetch(&self, at: u64, width: u32) -> Option<u64> {
        let at = luo_kho::ByteLen::new(at).as_usize();
        Some(self.field(at, width))
    }
}

impl Packed {
    /// A field of up to 64 bits; beyond the leaf it is arbitrary.
    #[expect(clippy::indexing_slicing, reason = "masked to the length of the array")]
    #[inline]
    fn field(&self, at: usize, width: u32) -> u64 {
        let (word, shift) = (at / 64, at % 64);
        let low = self.0[word % PACKED_WORDS].get() >> shift;
        let high = self.0[(word + 1) % PACKED_WORDS].get() << 1 << (63 - shift);
        (low | high) & mask(width)
    }

    /// Fields of one width.
    #[inline]
    fn fields(&self, at: usize, width: u32, places: &mut [u64], plus: u64) {
        if width == 0 {
            places.fill(plus);
            return;
        }
        let mut at = at;
        if width > NARROW {
            for place in places {
                *place = self.field(at, width).wrapping_add(plus);
                at += width as usize;
            }
            return;
        }
        for place in places {
            *place = (self.eight_bytes(at / 8) >> (at % 8) & mask(width)).wrapping_add(plus);
            at += width as usize;
        }
    }

    /// The 8 bytes from a byte on.
    #[inline]
    fn eight_bytes(&self, from: usize) -> u64 {
        let rest = self.0.as_bytes().get(from % (8 * PACKED_WORDS)..).unwrap_or_default();
        rest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

impl Decoder {
    /// The first value and the step of each run that was unpacked; no step where there is no such letter.
    pub(super) fn heads(&self, shape: &LeafShape) -> impl Iterator<Item = (u64, Option<Step>)> {
        let (alphabet, steady) = (shape.alphabet, shape.alphabet.width() == 0);
        let letters = self.letters.iter().map(move |letter| alphabet.step(if steady { 0 } else { *letter }));
        self.firsts.iter().copied().zip(letters).take(shape.runs as usize)
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
        match self.present(decoder, base + layout.presence as usize)? {
            Bitmap::FULL => scratch.fill(),
            present => scratch.place(present),
        }
        let entries = self.shape.entries as usize;
        if self.shape.order == LeafOrder::Single {
            let values = scratch.values.get_mut(..entries).unwrap_or_default();
            decoder.packed.fields(base + layout.values as usize, self.shape.width, values, self.reference);
            return Ok(());
        }
        self.unpack(decoder, base, &layout)?;
        if self.shape.order == LeafOrder::Rank || scratch.is_full() {
            return self.draw(decoder, 0, &mut scratch.values);
        }
        let first = scratch.positions.first().copied().unwrap_or(0);
        let mut filled = core::mem::take(&mut decoder.filled);
        filled.resize(SLOTS + LANES, 0);
        self.draw(decoder, first, &mut filled)?;
        decoder.filled = filled;
        let (groups, _) = decoder.filled.as_chunks();
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
        let present = self.present(decoder, base + layout.presence as usize)?;
        let is_full = self.shape.entries as usize == SLOTS;
        if self.shape.order == LeafOrder::Single {
            let places = if is_full { &mut slots[..] } else { &mut scratch.values };
            let places = places.get_mut(..self.shape.entries as usize).unwrap_or_default();
            decoder.packed.fields(base + layout.values as usize, self.shape.width, places, self.reference);
        } else {
            self.unpack(decoder, base, &layout)?;
            let by_index = self.shape.order == LeafOrder::Index;
            let first = if by_index { present.next_member(0).into() } else { 0 };
            self.draw(decoder, first, if is_full { slots } else { &mut scratch.values })?;
            if by_index && !is_full {
                scratch.overlay(&present, slots, hole);
                return Ok(());
            }
        }
        if !is_full {
            scratch.place(present);
            scratch.scatter(slots, hole);
        }
        Ok(())
    }

    /// Copies the leaf's words; its first bit in the copy, and where its fields lie from there.
    #[inline]
    pub(super) fn fetch(&self, decoder: &mut Decoder) -> Result<(usize, Layout), &'static str> {
        let layout = self.shape.layout();
        let end = self.at + u64::from(layout.end);
        let from = self.at / 64;
        let words = luo_kho::ByteLen::new(end.div_ceil(64) - from).as_usize();
        let places = decoder.packed.0.get_mut(..words).ok_or(OUTSIDE)?;
        self.body.copy(from, places).ok_or(OUTSIDE)?;
        Ok((luo_kho::ByteLen::new(self.at % 64).as_usize(), layout))
    }

    /// Reads which positions have an entry.
    #[inline]
    pub(super) fn present(&self, decoder: &Decoder, at: usize) -> Result<Bitmap, &'static str> {
        if self.shape.entries as usize == SLOTS {
            return Ok(Bitmap::FULL);
        }
        let named = self.shape.presence().read(&decoder.packed, at as u64).ok_or(NO_SET)?;
        Ok(if self.shape.names_holes() { named.complement() } else { named })
    }

    /// Reads the values of entries that are not in runs, from this bit of the copy on.
    #[inline]
    pub(super) fn singles<'d>(&self, decoder: &'d mut Decoder, at: usize) -> &'d [u64] {
        let Decoder { packed, firsts, .. } = decoder;
        let values = firsts.get_mut(..self.shape.entries as usize).unwrap_or_default();
        packed.fields(at, self.shape.width, values, self.reference);
        values
    }

    /// Reads starts, first values and steps of all runs. The starts are also given back as a set.
    #[inline]
    pub(super) fn unpack(
        &self,
        decoder: &mut Decoder,
        base: usize,
        layout: &Layout,
    ) -> Result<Bitmap, &'static str> {
        let runs = self.shape.runs as usize;
        let starts: Bitmap = self
            .shape
            .starts()
            .read(&decoder.packed, (base + layout.starts as usize) as u64)
            .ok_or(NO_SET)?;
        let mut places = decoder.starts.iter_mut();
        starts.members().zip(&mut places).for_each(|(start, place)| *place = u64::from(start));
        if let Some(place) = places.next() {
            *place = SLOTS as u64;
        }
        let Decoder { packed, firsts, letters, .. } = decoder;
        let firsts = firsts.get_mut(..runs).unwrap_or_default();
        packed.fields(base + layout.values as usize, self.shape.width, firsts, self.reference);
        let width = self.shape.alphabet.width();
        if width > 0 {
            let letters = letters.get_mut(..runs).unwrap_or_default();
            packed.fields(base + layout.steps as usize, width, letters, 0);
        }
        Ok(starts)
    }

    /// Writes the values of all runs, each up to where the next starts, the last beyond the end of the chunk.
    #[inline]
    fn draw(&self, decoder: &Decoder, first: u64, places: &mut [u64]) -> Result<(), &'static str> {
        let Decoder { starts, firsts, letters, .. } = decoder;
        if starts.first() != Some(&first) {
            return Err(NO_START);
        }
        let ramps = [0, 1, 2, 3].map(|letter| {
            let step = self.shape.alphabet.step(letter)?;
            RAMPS.get(luo_kho::ByteLen::new(step.code()).as_usize()).map(|ramp| (ramp, step.increment()))
        });
        let steady = self.shape.alphabet.width() == 0;
        let ends = starts.iter().skip(1);
        let runs = starts.iter().zip(ends).zip(firsts.iter().zip(letters)).take(self.shape.runs as usize);
        for ((start, end), (value, letter)) in runs {
            let letter = if steady { 0 } else { *letter };
            let ramp = ramps.get(luo_kho::ByteLen::new(letter).as_usize()).copied().flatten();
            let (ramp, increment) = ramp.ok_or(super::read::NO_STEP)?;
            let (mut at, end) =
                (luo_kho::ByteLen::new(*start).as_usize(), luo_kho::ByteLen::new(*end).as_usize());
            let mut value = *value;
            while at < end {
                // Beyond the end of the run, but never of the room: the next run writes over it.
                let rest = places.get_mut(at..).unwrap_or_default();
                if let Some(step) = rest.first_chunk_mut::<STEP>() {
                    *step = ramp.map(|distance| value.wrapping_add(distance));
                } else {
                    rest.iter_mut()
                        .zip(ramp)
                        .for_each(|(place, distance)| *place = value.wrapping_add(*distance));
                }
                value = value.wrapping_add(increment.wrapping_mul(STEP as u64));
                at += STEP;
            }
        }
        Ok(())
    }
}

const _: () = assert!(LEAF_WORDS + 2 <= PACKED_WORDS && NARROW + 7 <= u64::BITS);
