//! Reading in place.

use luo_kho::{FrameCount, FrameRange, Order, PFN_END, Pfn};
use zerocopy::{FromBytes, IntoBytes};

use super::attributes::Attributes;
use super::wire::{HEADER_WORDS, Head, Header};
use super::{Extent, PAGES_END, PageAt, PageMapError};
use crate::serial::{Run, SerialView, Words};

/// A page map where it lies.
///
/// [`open`](Self::open) has checked headers and directories. Everything else is checked when it is read; after
/// [`verify`](Self::verify) no reading fails.
#[derive(Clone, Debug)]
pub struct PageMapView<'a> {
    pub(super) granule: Order,
    pub(super) default: Attributes,
    pub(super) frames: SerialView<'a>,
    pub(super) attributes: SerialView<'a>,
}

pub(super) const fn impossible(why: &'static str) -> PageMapError {
    PageMapError::Impossible { why }
}

impl<'a> PageMapView<'a> {
    /// Checks headers and directories. Pieces are as in [`SerialView::open`].
    ///
    /// # Errors
    ///
    /// What they say that cannot be.
    pub fn open(pieces: &[&'a [u8]]) -> Result<Self, PageMapError> {
        let words = Words::new(pieces).ok_or(impossible("the bytes are not whole words"))?;
        let header = words.array::<4>(0).ok_or(impossible("the bytes end within the header"))?;
        let header = Header::read_from_bytes(header.as_bytes());
        let head = Head::decode(&header.map_err(|_| impossible("the header has 32 bytes"))?)?;
        let between = head.frames_words.checked_add(HEADER_WORDS);
        let end = between.and_then(|between| between.checked_add(head.attributes_words));
        if end != Some(words.len()) {
            return Err(impossible("the length is not that of the bytes"));
        }
        let between = between.unwrap_or(HEADER_WORDS);
        let outside = impossible("a map outside the bytes");
        let frames = words.part(HEADER_WORDS, between).ok_or(outside.clone())?;
        let attributes = words.part(between, words.len()).ok_or(outside)?;
        Ok(Self {
            granule: head.granule,
            default: head.default,
            frames: SerialView::from_words(frames).map_err(PageMapError::Frames)?,
            attributes: SerialView::from_words(attributes).map_err(PageMapError::Attributes)?,
        })
    }

    /// The order of the file's smallest folios.
    pub const fn granule(&self) -> Order {
        self.granule
    }

    /// Where a page lies, or `None` for a hole.
    ///
    /// # Errors
    ///
    /// What the bytes say that cannot be. None, if they were verified.
    pub fn get(&self, page: u64) -> Result<Option<PageAt>, PageMapError> {
        let index = page >> self.granule.get();
        let Some(value) = self.frames.get(index).map_err(PageMapError::Frames)? else { return Ok(None) };
        let attributes = self.attributes.get(index).map_err(PageMapError::Attributes)?;
        let Attributes { order, flags } = attributes.map_or(Ok(self.default), decode)?;
        let block = self.frames_of(&Run::single(index, value))?;
        let within = FrameCount::new(page & (self.granule.frames().get() - 1));
        let frame = within.and_then(|within| block.start().checked_add(within));
        Ok(frame.map(|frame| PageAt { frame, order, flags }))
    }

    /// The frames that a run of granules names, if its values go up.
    fn frames_of(&self, run: &Run) -> Result<FrameRange, PageMapError> {
        let shift = self.granule.get();
        let end = u128::from(run.value()) + run.entries();
        if end > u128::from(PFN_END >> shift) {
            return Err(impossible("a frame number that no memory has"));
        }
        let start = Pfn::new(run.value() << shift);
        let count = u64::try_from(run.entries()).ok().and_then(|count| FrameCount::new(count << shift));
        let frames = start.zip(count).and_then(|(start, count)| FrameRange::new(start, count));
        frames.ok_or(impossible("a frame number that no memory has"))
    }

    /// The extent that a run of granules makes, if its values go up.
    pub(super) fn extent(&self, run: &Run, attributes: Attributes) -> Result<Extent, PageMapError> {
        let Attributes { order, flags } = attributes;
        if run.last() > (PAGES_END - 1) >> self.granule.get() {
            return Err(impossible("a page that no file has"));
        }
        if order < self.granule {
            return Err(impossible("an order below the granule"));
        }
        let page = run.first() << self.granule.get();
        let extent = Extent { page, frames: self.frames_of(run)?, order, flags };
        extent.check()?;
        Ok(extent)
    }
}

/// The attributes that a number stands for.
pub(super) fn decode(number: u64) -> Result<Attributes, PageMapError> {
    Attributes::decode(number).ok_or(impossible("attributes that cannot be"))
}
