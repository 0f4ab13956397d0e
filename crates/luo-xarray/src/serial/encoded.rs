//! The finished bytes, before they go to where they are kept.

use alloc::vec::Vec;

use luo_kho::{ByteLen, checksum};
use zerocopy::IntoBytes;
use zerocopy::little_endian::U64;

use super::list::ListImage;
use super::wire::{HEADER_WORDS, Head, PartHead, RECORD_WORDS, Record};
use super::words::WORD_BYTES;

/// A serialized map in private memory: what [`Builder::encode`](super::Builder::encode) gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Header and directory.
    front: Vec<U64>,
    bodies: Vec<U64>,
}

/// Records and bodies as they are made.
#[derive(Debug, Default)]
pub(super) struct Parts {
    records: Vec<Record>,
    bodies: Vec<U64>,
}

/// Puts the checksum of everything else in a body into the low half of its first word.
pub(super) fn seal(body: &mut [U64]) {
    let Some((first, rest)) = body.split_first_mut() else { return };
    let sum = checksum::append(checksum::crc32c(first.as_bytes()), rest.as_bytes());
    first.set(first.get() | u64::from(sum));
}

impl Parts {
    /// Where the next body will start.
    pub(super) const fn next_body(&self) -> u64 {
        self.bodies.len() as u64
    }

    /// Adds a part with its sealed body.
    pub(super) fn add(&mut self, head: PartHead, body: &[U64]) {
        self.records.push(head.encode());
        self.bodies.extend_from_slice(body);
    }

    /// Writes a list.
    pub(super) fn add_list(&mut self, image: &ListImage) {
        let begin = self.bodies.len();
        let head = image.write(self.next_body(), &mut self.bodies);
        seal(self.bodies.split_at_mut(begin).1);
        self.records.push(head.encode());
    }

    /// Writes the header.
    pub(super) fn finish(self) -> Encoded {
        let records = self.records.len() as u64;
        let head = Head {
            words: HEADER_WORDS + records * RECORD_WORDS + self.bodies.len() as u64,
            records,
            directory_sum: checksum::crc32c(self.records.as_bytes()),
        };
        let bytes = [head.encode().as_bytes(), self.records.as_bytes()].concat();
        let words = bytes.as_chunks::<8>().0.iter();
        Encoded { front: words.map(|word| U64::from_bytes(*word)).collect(), bodies: self.bodies }
    }
}

impl Encoded {
    /// Words in all.
    pub(crate) fn words(&self) -> u64 {
        self.front.len() as u64 + self.bodies.len() as u64
    }

    /// Bytes in all.
    pub fn len(&self) -> ByteLen {
        ByteLen::new(self.words() * WORD_BYTES)
    }

    /// Never: even an empty map has a header.
    pub fn is_empty(&self) -> bool {
        self.front.is_empty()
    }

    /// The bytes, in two slices that follow one another. The lengths are multiples of 8.
    pub fn slices(&self) -> [&[u8]; 2] {
        [self.front.as_bytes(), self.bodies.as_bytes()]
    }

    /// The bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.slices().concat()
    }
}
