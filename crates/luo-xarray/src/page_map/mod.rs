//! Where the pages of a file lie: the form in which every file handler records it.
//!
//! - A **page** of a file is counted in frames of 4 KiB from its start, whatever the file's page size.
//! - A **folio** of order n is 2^n pages in 2^n frames, both aligned to that. It is one entry.
//! - An [`Extent`] is neighbouring pages in neighbouring frames: one or more folios of one order, with the same
//!   [`PageFlags`]. Pages that no extent covers are holes, and stay holes.
//! - The **granule** is the smallest folio of the file: order 0 for ordinary files, the huge page for others. Pages
//!   and frames are counted in granules, so that a huge page costs one entry, not 512.
//! - **Attributes** are order and flags together. Those of the file's first extent are the default; a second map
//!   holds the spans that have others. Holes do not interrupt a span. A file whose pages are all alike has none.
//!
//! [`PageMapBuilder`] takes extents in ascending order; [`PageMapView`] reads in place; [`SerializedPageMap`] is both
//! in preserved frames. A [`PageStore`] is room for a copy and its map, reserved before either is known.

mod attributes;
mod builder;
mod error;
mod extents;
mod store;
mod stored;
mod verify;
mod view;
mod wire;

#[cfg(test)]
mod tests;

use luo_kho::{FrameRange, Order, PFN_END, Pfn};

pub use attributes::PageFlags;
pub use builder::{EncodedPageMap, PageMapBuilder};
pub use error::{ExtentError, PageMapError};
pub use extents::Extents;
pub use store::{PageStore, SlotRun, StoreNames};
pub use stored::SerializedPageMap;
pub use view::PageMapView;

/// The first page that no file has: a file has at most 2^64 bytes.
pub const PAGES_END: u64 = PFN_END;

/// Neighbouring pages of a file in neighbouring frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first page.
    pub page: u64,
    /// The frames that hold this page and those after it.
    pub frames: FrameRange,
    /// The order of each of its folios.
    pub order: Order,
    /// The flags of each of its folios.
    pub flags: PageFlags,
}

/// Where one page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageAt {
    /// The frame.
    pub frame: Pfn,
    /// The order of its folio.
    pub order: Order,
    /// The flags of its folio.
    pub flags: PageFlags,
}

impl Extent {
    /// The first page past the extent.
    pub const fn end(&self) -> u64 {
        // Both are at most 2^52 in an extent that passed `check`; one that did not is only ever compared.
        self.page.saturating_add(self.frames.count().get())
    }

    /// Checks what has to hold of an extent by itself.
    fn check(&self) -> Result<(), ExtentError> {
        let Self { page, frames, order, flags: _ } = *self;
        if self.end() > PAGES_END {
            return Err(ExtentError::PastTheEnd { page, count: frames.count() });
        }
        let aligned = |number: u64| number & (order.frames().get() - 1) == 0;
        if !aligned(page) || !aligned(frames.count().get()) || !frames.start().is_aligned(order) {
            return Err(ExtentError::Misaligned { page, frames, order });
        }
        Ok(())
    }
}
