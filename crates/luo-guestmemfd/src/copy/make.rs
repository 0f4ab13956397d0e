//! The far side: a new file is made of what was saved, or of the old one. All that is read here was written by somebody
//! else.

use core::ops::Range;

use luo_kho::{ByteLen, FRAME_BYTES, FRAME_SIZE, FrameRange, Memory};
use luo_xarray::page_map::{Extent, PageStore, StoreNames};

use super::present::without;
use crate::options::Options;
use crate::{Facts, GuestMemfdError, Port, PrivateMemory};

/// The machine in which a file is made anew.
pub(crate) struct Home<V> {
    pub(crate) vm: V,
    /// Whether the file names it. One that named none goes on without.
    pub(crate) named: bool,
}

impl<V: Clone> Home<V> {
    fn serves(&self) -> Option<V> {
        self.named.then(|| self.vm.clone())
    }
}

/// A new file of that machine with the contents of the store; without one, it is one hole.
///
/// # Errors
///
/// What the bytes say that cannot be, the host's or the embedder's.
pub(crate) fn from_store<P: Port>(
    (port, options): (&P, &Options<P>),
    memory: &dyn Memory,
    store: Option<(&PageStore, &StoreNames)>,
    home: &Home<P::Vm>,
    (facts, close_on_exec): (Facts, bool),
) -> Result<P::File, GuestMemfdError> {
    let draft = port.draft(&home.vm, &facts)?;
    let (pages, hidden) = (facts.pages(), facts.hidden());
    if let Some((store, names)) = store {
        store.each_extent(memory, names, pages, |extent| {
            for shared in without(extent.page..extent.end(), &hidden) {
                pieces(memory, &extent, shared, |page, bytes| Ok(port.write(&draft, page, bytes)?))?;
            }
            Ok::<_, GuestMemfdError>(())
        })?;
    }
    let file = port.complete(draft, home.serves(), facts, close_on_exec)?;
    if let Some((store, names)) = store
        && !hidden.is_empty()
    {
        let mut private = options.private_of(&file).ok_or(GuestMemfdError::NoImport)?;
        store.each_extent(memory, names, pages, |extent| {
            for range in meeting(extent.page..extent.end(), &hidden) {
                pieces(memory, &extent, range, |page, bytes| import(&mut *private, page, bytes))?;
            }
            Ok::<_, GuestMemfdError>(())
        })?;
    }
    Ok(file)
}

/// A new file of that machine with the contents of the old one, which the host can read.
///
/// # Errors
///
/// The host's.
pub(crate) fn anew<P: Port>(
    port: &P,
    old: &P::File,
    home: &Home<P::Vm>,
    (facts, close_on_exec): (Facts, bool),
) -> Result<P::File, GuestMemfdError> {
    let draft = port.draft(&home.vm, &facts)?;
    let reader = port.open(old)?;
    for pages in port.present(&reader)? {
        port.transfer(&reader, &draft, pages)?;
    }
    Ok(port.complete(draft, home.serves(), facts, close_on_exec)?)
}

fn import(private: &mut dyn PrivateMemory, first: u64, bytes: &[u8]) -> Result<(), GuestMemfdError> {
    for (page, bytes) in (first..).zip(bytes.chunks_exact(FRAME_SIZE)) {
        private.import(page, bytes).map_err(|cause| GuestMemfdError::Import { page, cause })?;
    }
    Ok(())
}

/// What of a run is in `hidden`, which ascends.
fn meeting(run: Range<u64>, hidden: &[Range<u64>]) -> impl Iterator<Item = Range<u64>> {
    let first = hidden.partition_point(|range| range.end <= run.start);
    let meeting = hidden.iter().skip(first).take_while(move |range| range.start < run.end);
    meeting.map(move |range| range.start.max(run.start)..range.end.min(run.end))
}

/// Gives `each` some pages of an extent, in the pieces in which the memory lends them.
fn pieces(
    memory: &dyn Memory,
    extent: &Extent,
    pages: Range<u64>,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), GuestMemfdError>,
) -> Result<(), GuestMemfdError> {
    let mut page = pages.start;
    let frame = |page: u64| extent.frames.start().get() + (page - extent.page);
    while let Some(rest) = FrameRange::from_bounds(frame(page), frame(pages.end)) {
        let lent = memory.read(rest)?;
        let bytes = lent.get(..ByteLen::new(rest.count().get() * FRAME_BYTES).as_usize()).unwrap_or(lent);
        each(page, bytes)?;
        page += (ByteLen::of(bytes.len()).get() / FRAME_BYTES).max(1);
    }
    Ok(())
}
