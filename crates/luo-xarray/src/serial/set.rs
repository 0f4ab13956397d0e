//! Sets of positions in a chunk: which indices have an entry, and where runs start.
//!
//! A set of m of the 512 positions is written in the shape that is smallest for its m, so that m alone says how
//! it is to be read:
//!
//! - a **bitmap**: 512 bits, bit p for position p; or, below 128 members,
//! - **high and low parts** (Elias and Fano): each position is cut into `low` low bits and a bucket above them. First
//!   come the buckets in order, for each as many ones as it has members and then a zero; then the low bits of each
//!   member.

use super::CHUNK_LEN;
use super::bits::{Fields, mask};
use super::wide::Wide;
use super::words::Source;

/// 512 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bitmap([u64; 8]);

/// How a set of a known number of members is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    members: u32,
    /// Low bits of each member; `None` for a bitmap.
    low: Option<u32>,
}

/// The members at or below a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Through {
    /// How many.
    pub(super) count: u32,
    /// The highest of them; 0 if there is none.
    pub(super) last: u32,
}

/// Where fields are read from.
pub(super) trait Fetch {
    /// The field of `width` bits at bit `at`; `None` if it is known to lie outside.
    fn fetch(&self, at: u64, width: u32) -> Option<u64>;
}

impl<S: Source> Fetch for S {
    #[inline]
    fn fetch(&self, at: u64, width: u32) -> Option<u64> {
        self.field(at, width)
    }
}

/// Members from which on a bitmap is the smallest.
const BITMAP_FROM: u32 = 128;
/// For each number of members below that, the low bits that make the shape smallest.
const LOW: [u8; BITMAP_FROM as usize] = best_low();

#[expect(
    clippy::indexing_slicing,
    reason = "computed when compiled: an index that is out of bounds stops the build"
)]
const fn best_low() -> [u8; BITMAP_FROM as usize] {
    let mut table = [0; BITMAP_FROM as usize];
    let mut members = 0;
    while members < BITMAP_FROM {
        let mut low: u8 = 1;
        while low < 9 {
            let best = table[members as usize];
            if best == 0 || split_bits(members, low as u32) < split_bits(members, best as u32) {
                table[members as usize] = low;
            }
            low += 1;
        }
        members += 1;
    }
    table
}

const fn split_bits(members: u32, low: u32) -> u32 {
    members * low + members + (CHUNK_LEN >> low)
}

// 127 members take 509 bits, 128 would take no less than a bitmap. The high part always fits into 4 words.
const _: () = assert!(split_bits(127, 2) == 509 && split_bits(128, 1) == 512 && split_bits(128, 2) == 512);
const _: () = assert!(127 + (CHUNK_LEN >> 2) <= 256);

impl Bitmap {
    /// All positions.
    pub(super) const FULL: Self = Self([u64::MAX; 8]);

    pub(super) const fn words(&self) -> &[u64; 8] {
        &self.0
    }

    pub(super) const fn words_mut(&mut self) -> &mut [u64; 8] {
        &mut self.0
    }

    pub(super) fn contains(&self, position: u32) -> bool {
        self.0.get(position as usize / 64).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    pub(super) fn insert(&mut self, position: u32) {
        if let Some(word) = self.0.get_mut(position as usize / 64) {
            *word |= 1 << (position % 64);
        }
    }

    /// Inserts `first..=last`.
    pub(super) fn insert_range(&mut self, first: u32, last: u32) {
        for (word, start) in self.0.iter_mut().zip((0..).step_by(64)) {
            if first < start + 64 && last >= start {
                let to = (last - start).min(63);
                let from = first.saturating_sub(start);
                *word |= mask(to + 1) & !mask(from);
            }
        }
    }

    pub(super) fn complement(&self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The first member at or after `from`; 512 if there is none.
    #[inline]
    pub(super) fn next_member(&self, from: u32) -> u32 {
        self.next(from, 0)
    }

    /// Positions `first` to `first + 63`, as bits 0 to 63.
    #[inline]
    pub(super) fn from(&self, first: u32) -> u64 {
        let word = |number: u32| self.0.get(number as usize).copied().unwrap_or(0);
        let (number, shift) = (first / 64, first % 64);
        word(number) >> shift | word(number + 1) << 1 << (63 - shift)
    }

    /// The highest member.
    pub(super) fn last(&self) -> Option<u32> {
        let last = |(word, start): (&u64, u32)| (*word != 0).then(|| start + word.ilog2());
        self.0.iter().zip([0, 64, 128, 192, 256, 320, 384, 448]).rev().find_map(last)
    }

    /// The first position at or after `from` that is no member; 512 if there is none.
    #[inline]
    pub(super) fn next_hole(&self, from: u32) -> u32 {
        self.next(from, u64::MAX)
    }

    /// The first position at or after `from` whose bit is set after flipping those of `flipped`.
    #[inline]
    fn next(&self, from: u32, flipped: u64) -> u32 {
        let mut keep = !mask(from % 64);
        let mut start = from / 64 * 64;
        for word in self.0.iter().skip(from as usize / 64) {
            let bits = (word ^ flipped) & keep;
            if bits != 0 {
                return start + bits.trailing_zeros();
            }
            (keep, start) = (u64::MAX, start + 64);
        }
        CHUNK_LEN
    }

    /// How many rows of neighbouring members there are.
    pub(super) fn groups(&self) -> u32 {
        let mut before = 0;
        let mut groups = 0;
        for word in self.0 {
            groups += (word & !(word << 1 | before)).count_ones();
            before = word >> 63;
        }
        groups
    }

    #[inline]
    pub(super) fn members(&self) -> impl Iterator<Item = u32> {
        let mut words = self.0.into_iter().zip((0..).step_by(64));
        let (mut word, mut start) = (0_u64, 0);
        core::iter::from_fn(move || {
            while word == 0 {
                (word, start) = words.next()?;
            }
            let member = start + word.trailing_zeros();
            word &= word - 1;
            Some(member)
        })
    }
}

impl Shape {
    /// The shape of a set of so many members.
    #[inline]
    pub(super) fn of(members: u32) -> Self {
        Self { members, low: LOW.get(members as usize).map(|low| u32::from(*low)) }
    }

    /// Bits that it takes.
    pub(super) const fn bits(self) -> u32 {
        match self.low {
            Some(low) => split_bits(self.members, low),
            None => CHUNK_LEN,
        }
    }

    const fn high_bits(self, low: u32) -> u32 {
        self.members + (CHUNK_LEN >> low)
    }

    /// Writes a set. It has as many members as the shape was made for.
    #[inline]
    pub(super) fn write(self, set: &Bitmap, fields: &mut Fields) {
        let Some(low) = self.low else {
            fields.put_all(&set.0, u64::BITS);
            return;
        };
        let (mut high, mut lows) = ([0_u64; 4], [0; BITMAP_FROM as usize]);
        for ((number, place), member) in (0..).zip(&mut lows).zip(set.members()) {
            *place = u64::from(member) & mask(low);
            let bit = (member >> low) + number;
            if let Some(word) = high.get_mut(bit as usize / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        for (word, from) in high.iter().zip((0..self.high_bits(low)).step_by(64)) {
            fields.put(*word, (self.high_bits(low) - from).min(64));
        }
        fields.put_all(lows.get(..self.members as usize).unwrap_or_default(), low);
    }

    /// Reads the whole set at bit `at`; `None` if the bits are not a set of so many members.
    #[inline]
    pub(super) fn read(self, from: &impl Fetch, at: u64) -> Option<Bitmap> {
        let mut set = Bitmap::default();
        let Some(low) = self.low else {
            for (word, at) in set.0.iter_mut().zip((at..).step_by(64)) {
                *word = from.fetch(at, u64::BITS)?;
            }
            return (set.len() == self.members).then_some(set);
        };
        let (mut bucket, mut seen) = (0, 0);
        let mut lows = at + u64::from(self.high_bits(low));
        for number in 0..self.high_bits(low).div_ceil(64) {
            let passed = number * 64;
            let mut high = from.fetch(at + u64::from(passed), (self.high_bits(low) - passed).min(64))?;
            let mut done = 0;
            while high != 0 {
                let zeros = high.trailing_zeros();
                bucket += zeros;
                set.insert(bucket << low | narrow(from.fetch(lows, low)?));
                lows += u64::from(low);
                seen += 1;
                done += zeros + 1;
                high = high.checked_shr(zeros + 1).unwrap_or(0);
            }
            bucket += (self.high_bits(low) - passed).min(64) - done;
        }
        (seen == self.members && set.len() == self.members).then_some(set)
    }

    /// The members at or below `position`, without reading the whole set. Bits that are no set give some answer,
    /// or `None`.
    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    pub(super) fn through<W: Wide, S: Source>(
        self,
        wide: W,
        source: S,
        at: u64,
        position: u32,
    ) -> Option<Through> {
        match self.low {
            Some(low) => self.through_split(wide, source, at, position, low),
            None => through_bitmap(source, at, position),
        }
    }

    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn through_split<W: Wide, S: Source>(
        self,
        wide: W,
        source: S,
        at: u64,
        position: u32,
        low: u32,
    ) -> Option<Through> {
        let high_bits = self.high_bits(low);
        let part = |from: u32| source.field(at + u64::from(from), (high_bits - from).min(64));
        // The zero that ends the position's bucket has all members of this and lower buckets before it.
        let bucket = position >> low;
        let (mut from, mut zeros, mut word) = (0, bucket, part(0)?);
        while zeros >= word.count_zeros() {
            zeros -= word.count_zeros();
            from += 64;
            if from >= high_bits {
                return None;
            }
            word = part(from)?;
        }
        let end = wide.nth_one(!word, zeros);
        let mut count = (from + end).checked_sub(bucket)?;
        word &= mask(end);
        let lows = at + u64::from(high_bits);
        while count > 0 {
            // The one of the highest member left: as many zeros stand before it as its bucket has below.
            while word == 0 {
                from = from.checked_sub(64)?;
                word = part(from)?;
            }
            let one = word.ilog2();
            let bucket = (from + one).checked_sub(count - 1)?;
            let member = bucket << low | narrow(source.field(lows + u64::from((count - 1) * low), low)?);
            if member <= position {
                return Some(Through { count, last: member });
            }
            word &= mask(one);
            count -= 1;
        }
        Some(Through { count: 0, last: 0 })
    }
}

#[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
#[inline(always)]
fn through_bitmap<S: Source>(source: S, at: u64, position: u32) -> Option<Through> {
    let mut through = Through { count: 0, last: 0 };
    for start in (0..=position).step_by(64) {
        let word = source.field(at + u64::from(start), 64)? & mask(position + 1 - start);
        through.count += word.count_ones();
        through.last = if word == 0 { through.last } else { start + word.ilog2() };
    }
    Some(through)
}

/// A field of a few bits.
#[expect(clippy::cast_possible_truncation, reason = "callers read at most 9 bits")]
const fn narrow(field: u64) -> u32 {
    field as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::bits::BitWriter;
    use crate::serial::wide::Portable;
    use crate::serial::words::Words;
    use alloc::vec::Vec;
    use zerocopy::IntoBytes;
    use zerocopy::little_endian::U64;

    fn written(set: &Bitmap, offset: u32) -> (Vec<U64>, Shape) {
        let shape = Shape::of(set.len());
        let mut fields = Fields::default();
        fields.put(mask(offset), offset);
        shape.write(set, &mut fields);
        let mut words = Vec::new();
        let mut writer = BitWriter::new(&mut words);
        writer.append(&mut fields);
        writer.put(u64::MAX, 64);
        writer.finish();
        assert_eq!(words.len() as u64, u64::from(offset + shape.bits() + 64).div_ceil(64));
        (words, shape)
    }

    fn any_set(members: u32, spread: u32, state: &mut u64) -> Bitmap {
        let mut set = Bitmap::default();
        while set.len() < members {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            set.insert(u32::try_from(*state >> 33).unwrap() % spread.max(members));
        }
        set
    }

    fn check(set: &Bitmap, offset: u32) {
        let (words, shape) = written(set, offset);
        let words = Words::new(&[words.as_bytes()]).unwrap();
        let block = words.block(0, words.len()).unwrap();
        assert_eq!(shape.read(&block, u64::from(offset)), Some(*set));
        let mut expected = Through { count: 0, last: 0 };
        for position in 0..CHUNK_LEN {
            if set.contains(position) {
                expected = Through { count: expected.count + 1, last: position };
            }
            let through = shape.through(Portable, block, u64::from(offset), position);
            assert_eq!(through, Some(expected), "{} members, position {position}", set.len());
        }
    }

    #[test]
    fn every_size_and_density_reads_back() {
        let mut state = 1;
        for members in 0..=CHUNK_LEN {
            for spread in [CHUNK_LEN, members.max(1), (members * 2).clamp(1, CHUNK_LEN)] {
                check(&any_set(members, spread, &mut state), members % 64);
            }
        }
    }

    #[test]
    fn a_shape_is_never_larger_than_a_bitmap_or_a_list() {
        for members in 0..=CHUNK_LEN {
            let bits = Shape::of(members).bits();
            assert!(bits <= CHUNK_LEN && bits <= 9 * members + members.max(2) + 2, "{members}: {bits}");
        }
    }

    #[test]
    fn ranges_and_members_agree_with_single_positions() {
        for (first, last) in [(0, 0), (0, 511), (63, 64), (64, 127), (100, 300), (511, 511)] {
            let (mut range, mut singles) = (Bitmap::default(), Bitmap::default());
            range.insert_range(first, last);
            (first..=last).for_each(|position| singles.insert(position));
            assert_eq!(range, singles);
            assert_eq!(range.next_member(0), first);
            assert_eq!(range.next_member(last + 1), CHUNK_LEN);
            assert_eq!(range.complement().len() + range.len(), CHUNK_LEN);
        }
    }
}
