//! Packed numbers. A *field* is an unsigned number of a known width, 0 to 64 bits. Fields follow one another from
//! the lowest bit of a word up, and across the border of words.

use alloc::vec::Vec;

use zerocopy::little_endian::U64;

use super::run::Step;
use super::words::Source;

/// Where words go in order.
pub(super) trait Sink {
    /// Takes the next word.
    fn put(&mut self, word: u64);

    /// Takes the next words.
    fn put_all(&mut self, words: &[u64]) {
        for word in words {
            self.put(*word);
        }
    }
}

impl Sink for Vec<U64> {
    fn put(&mut self, word: u64) {
        self.push(U64::new(word));
    }

    fn put_all(&mut self, words: &[u64]) {
        self.extend(words.iter().copied().map(U64::new));
    }
}

/// Writes fields.
pub(super) struct BitWriter<'s, S: Sink> {
    sink: &'s mut S,
    word: u64,
    filled: u32,
}

/// Words of the longest leaf, and two to read and write beyond a field: reference, two sets, steps and values.
pub(super) const LEAF_WORDS: usize = (63 + 64 + 512 + 512 + 2 * 512 + 64 * 512) / 64 + 2;

/// The fields of one leaf, from any bit of a word on.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    words: [u64; LEAF_WORDS],
    /// The first bit, and the one behind the last.
    begin: u32,
    bits: usize,
}

/// The steps that occur in a set of runs, which say how many bits one step needs. Runs of one entry have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Alphabet(u8);

/// The bits that a number up to `max` needs.
pub(super) const fn width_of(max: u64) -> u32 {
    u64::BITS - max.leading_zeros()
}

/// A mask of the `width` lowest bits.
pub(super) const fn mask(width: u32) -> u64 {
    if width >= u64::BITS { u64::MAX } else { (1 << width) - 1 }
}

impl<'s, S: Sink> BitWriter<'s, S> {
    pub(super) fn new(sink: &'s mut S) -> Self {
        Self { sink, word: 0, filled: 0 }
    }

    /// Bits of the word that is not full yet.
    pub(super) fn filled(&self) -> u64 {
        self.filled.into()
    }

    /// Goes on with a leaf, whose fields begin behind [`filled`](Self::filled) bits.
    #[inline]
    pub(super) fn append(&mut self, fields: &mut Fields) {
        debug_assert!(fields.begin == self.filled, "fields are put behind the last ones");
        if let Some(first) = fields.words.first_mut() {
            *first |= self.word;
        }
        let (whole, last) = fields.words();
        self.sink.put_all(whole);
        (self.word, self.filled) = last;
    }

    #[inline]
    pub(super) fn put(&mut self, value: u64, width: u32) {
        debug_assert!(value & !mask(width) == 0, "a field holds its value");
        if width == 0 {
            return;
        }
        self.word |= value << self.filled;
        let room = u64::BITS - self.filled;
        if width < room {
            self.filled += width;
            return;
        }
        self.sink.put(self.word);
        self.word = value.checked_shr(room).unwrap_or(0);
        self.filled = width - room;
    }

    /// Fills the last word up with zeros.
    pub(super) fn finish(self) {
        if self.filled > 0 {
            self.sink.put(self.word);
        }
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self { words: [0; LEAF_WORDS], begin: 0, bits: 0 }
    }
}

impl Fields {
    /// Forgets all fields. The next ones begin where bit `at` lies in its word.
    pub(super) fn begin(&mut self, at: u64) {
        let begin = luo_kho::ByteLen::new(at % 64).as_usize();
        (self.begin, self.bits) = (narrow(begin), begin);
        if let Some(first) = self.words.first_mut() {
            *first = 0;
        }
    }

    /// The whole words so far; the next one, and how many of its bits are filled.
    fn words(&self) -> (&[u64], (u64, u32)) {
        let (whole, rest) = self.words.split_at(self.bits / 64);
        let filled = narrow(self.bits % 64);
        (whole, (rest.first().copied().unwrap_or(0) & mask(filled), filled))
    }

    /// Whether just these fields stand at bit `at` of a body, with whose place in a word they were begun.
    #[inline]
    pub(super) fn are_at<B: Source>(&self, body: B, at: u64) -> bool {
        debug_assert!(u64::from(self.begin) == at % 64, "fields are compared where they were begun");
        let (whole, (last, filled)) = self.words();
        let mut wanted = !mask(self.begin);
        let mut number = at / 64;
        let mut differing = 0;
        for word in whole {
            let Some(found) = body.word(number) else { return false };
            differing |= (found ^ word) & wanted;
            (wanted, number) = (u64::MAX, number + 1);
        }
        wanted &= mask(filled);
        let rest = if wanted == 0 { Some(0) } else { body.word(number).map(|found| (found ^ last) & wanted) };
        differing == 0 && rest == Some(0)
    }

    /// Adds a field.
    #[inline]
    pub(super) fn put(&mut self, value: u64, width: u32) {
        self.put_all(&[value], width);
    }

    /// Adds fields of one width.
    #[inline]
    pub(super) fn put_all(&mut self, values: &[u64], width: u32) {
        if width == 0 {
            return;
        }
        let (at, filled) = (self.bits / 64, narrow(self.bits % 64));
        self.bits += values.len() * width as usize;
        let Some(places) = self.words.get_mut(at..) else { return };
        let mut packer = Packer { word: 0, filled, places: places.iter_mut() };
        if filled > 0
            && let [first, ..] = packer.places.as_slice()
        {
            packer.word = *first & mask(filled);
        }
        if width <= 32 {
            let (pairs, rest) = values.as_chunks::<2>();
            for [low, high] in pairs {
                packer.put(low | high << width, 2 * width);
            }
            for value in rest {
                packer.put(*value, width);
            }
        } else {
            for value in values {
                packer.put(*value, width);
            }
        }
        packer.finish();
    }
}

struct Packer<'p> {
    word: u64,
    filled: u32,
    places: core::slice::IterMut<'p, u64>,
}

impl Packer<'_> {
    #[inline]
    fn put(&mut self, value: u64, width: u32) {
        self.word |= value << self.filled;
        let room = u64::BITS - self.filled;
        self.filled += width;
        if width >= room {
            if let Some(place) = self.places.next() {
                *place = self.word;
            }
            self.word = value.checked_shr(room).unwrap_or(0);
            self.filled = width - room;
        }
    }

    fn finish(mut self) {
        if self.filled > 0
            && let Some(place) = self.places.next()
        {
            *place = self.word;
        }
    }
}

/// A number of bits in a word.
#[expect(clippy::cast_possible_truncation, reason = "callers pass less than a leaf has bits")]
const fn narrow(bits: usize) -> u32 {
    bits as u32
}

impl Alphabet {
    const UP: u8 = 1;
    const DOWN: u8 = 2;
    const FLAT: u8 = 4;

    /// Adds the step of a run of several entries.
    pub(super) fn insert(&mut self, step: Step) {
        self.0 |= match step {
            Step::Up => Self::UP,
            Step::Down => Self::DOWN,
            Step::Flat => Self::FLAT,
        };
    }

    /// The number by which serialized bytes call it: 0 up (or none at all), 1 down, 2 flat, 3 up and down, 4 any.
    pub(super) const fn code(self) -> u64 {
        match self.0 {
            0 | Self::UP => 0,
            Self::DOWN => 1,
            Self::FLAT => 2,
            3 => 3,
            _ => 4,
        }
    }

    /// The alphabet of that number.
    pub(super) const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self(Self::UP)),
            1 => Some(Self(Self::DOWN)),
            2 => Some(Self(Self::FLAT)),
            3 => Some(Self(Self::UP | Self::DOWN)),
            4 => Some(Self(Self::UP | Self::DOWN | Self::FLAT)),
            _ => None,
        }
    }

    /// Bits for one step.
    pub(super) const fn width(self) -> u32 {
        match self.code() {
            0..=2 => 0,
            3 => 1,
            _ => 2,
        }
    }

    /// What stands for `step` in so many bits.
    pub(super) const fn letter(self, step: Step) -> u64 {
        if self.width() == 0 { 0 } else { step.code() }
    }

    /// The step that a letter stands for.
    pub(super) const fn step(self, letter: u64) -> Option<Step> {
        match self.code() {
            1 => Some(Step::Down),
            2 => Some(Step::Flat),
            _ => Step::from_code(letter),
        }
    }
}
