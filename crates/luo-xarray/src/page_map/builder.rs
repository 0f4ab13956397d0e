//! Building a page map from extents that ascend.

use alloc::vec::Vec;

use luo_kho::{ByteLen, Memory, Order, StoreError};
use zerocopy::IntoBytes;

use super::attributes::Attributes;
use super::wire::{Head, Header};
use super::{Extent, ExtentError, SerializedPageMap};
use crate::serial::{Builder, Encoded, Run, Step};

/// Takes extents in ascending order and writes their one encoding. Memory is bounded as in
/// [`Builder`](crate::serial::Builder).
#[derive(Debug)]
pub struct PageMapBuilder {
    granule: Order,
    /// The last page that was taken.
    last: Option<u64>,
    frames: Builder,
    attributes: Builder,
    default: Option<Attributes>,
    span: Option<Span>,
}

/// Granules from the first to the last that have the same attributes, with or without holes between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) attributes: Attributes,
}

/// A page map in private memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPageMap {
    header: [u8; size_of::<Header>()],
    frames: Encoded,
    attributes: Encoded,
}

impl Span {
    /// What the map of attributes holds for it; nothing for the default.
    pub(super) fn run(&self, default: Attributes) -> Option<Run> {
        let value = u64::from(self.attributes.encode());
        Run::new(self.first..=self.last, value, Step::Flat).filter(|_| self.attributes != default)
    }
}

impl PageMapBuilder {
    /// The page map of a file whose smallest folios have the order `granule`.
    pub fn new(granule: Order) -> Self {
        Self {
            granule,
            last: None,
            frames: Builder::new(),
            attributes: Builder::new(),
            default: None,
            span: None,
        }
    }

    /// Adds an extent.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the builder is then as before.
    pub fn push(&mut self, extent: Extent) -> Result<(), ExtentError> {
        extent.check()?;
        let Extent { page, frames, order, flags } = extent;
        if order < self.granule {
            return Err(ExtentError::BelowGranule { page, order, granule: self.granule });
        }
        if let Some(last) = self.last.filter(|last| *last >= page) {
            return Err(ExtentError::NotAscending { page, last });
        }
        self.last = Some(extent.end() - 1);
        let shift = self.granule.get();
        let (first, last) = (page >> shift, (extent.end() - 1) >> shift);
        let run = Run::new(first..=last, frames.start().get() >> shift, Step::Up);
        add(&mut self.frames, run);
        self.note(Span { first, last, attributes: Attributes { order, flags } });
        Ok(())
    }

    fn note(&mut self, next: Span) {
        self.default.get_or_insert(next.attributes);
        match &mut self.span {
            Some(span) if span.attributes == next.attributes => span.last = next.last,
            _ => {
                self.close_span();
                self.span = Some(next);
            }
        }
    }

    fn close_span(&mut self) {
        let Some((span, default)) = self.span.take().zip(self.default) else { return };
        if let run @ Some(_) = span.run(default) {
            add(&mut self.attributes, run);
        }
    }

    /// Writes what is left and gives the bytes.
    pub fn encode(mut self) -> EncodedPageMap {
        self.close_span();
        let Self { granule, frames, attributes, default, .. } = self;
        let (frames, attributes) = (frames.encode(), attributes.encode());
        let head = Head {
            granule,
            frames_words: frames.words(),
            attributes_words: attributes.words(),
            default: default.unwrap_or(Attributes::NONE),
        };
        let mut header = [0; size_of::<Header>()];
        header.copy_from_slice(head.encode().as_bytes());
        EncodedPageMap { header, frames, attributes }
    }

    /// Writes what is left, into preserved frames.
    ///
    /// # Errors
    ///
    /// The memory's; nothing stays allocated then.
    pub fn finish<M: Memory + ?Sized>(self, memory: &mut M) -> Result<SerializedPageMap, StoreError> {
        SerializedPageMap::store(memory, &self.encode())
    }
}

/// Adds a run of checked extents: they ascend, and frame numbers are far below 2^64.
fn add(builder: &mut Builder, run: Option<Run>) {
    let taken = run.is_some_and(|run| builder.add(run).is_ok());
    assert!(taken, "extents that were checked make runs that ascend");
}

impl EncodedPageMap {
    /// Bytes in all.
    pub fn len(&self) -> ByteLen {
        ByteLen::new(self.slices().iter().map(|slice| slice.len() as u64).sum())
    }

    /// Never: even an empty map has a header.
    pub fn is_empty(&self) -> bool {
        self.header.is_empty()
    }

    /// The bytes, in slices that follow one another. The lengths are multiples of 8.
    pub fn slices(&self) -> [&[u8]; 5] {
        let ([front, bodies], [attributes, spans]) = (self.frames.slices(), self.attributes.slices());
        [&self.header, front, bodies, attributes, spans]
    }

    /// The bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.slices().concat()
    }
}
