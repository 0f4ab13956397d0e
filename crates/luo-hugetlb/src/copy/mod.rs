//! Copying a file's contents, and making a file of them again.
//!
//! - **Saving** copies them into slots: frames that prepare has reserved, one for each 4 KiB, with a page map beside
//!   them.
//! - **Freeing** copies them into a stand-in, a file of ordinary pages, and frees each huge page when it was copied. A
//!   page that cannot be had again when that is taken back is **stranded**: its contents stay in the stand-in.
//! - **Making** takes them from either.
//!
//! | | prepare | freeze |
//! |---|---|---|
//! | nobody can change the contents: sealed against writing and shrinking | copies all | looks whether the same pages are populated |
//! | otherwise | reserves and touches slots | copies all |
//! | freeing | attaches an empty stand-in | copies and frees, page by page |

mod freeing;
mod make;
mod save;
mod strandings;

use alloc::vec::Vec;

use luo_kho::{ByteLen, FRAME_BYTES, Memory};
use luo_xarray::page_map::SlotRun;

pub(crate) use freeing::Freeing;
pub(crate) use make::{claim, make};
pub(crate) use save::Saving;
pub use strandings::Strandings;

use crate::options::Options;
use crate::pool::Run;
use crate::{Attributes, BLOCK_BYTES, HugetlbError, Node, PageSize, Port};

/// Bytes that are read and written at once: they stay in the caches between the two.
const CHUNK_BYTES: u64 = 256 << 10;

/// What a step needs of the handler.
pub(crate) struct Hands<'a, P: Port> {
    pub(crate) port: &'a P,
    pub(crate) options: &'a Options<P>,
    pub(crate) memory: &'a mut dyn Memory,
}

/// The populated pages of a file.
///
/// # Errors
///
/// [`HugetlbError::Poisoned`], or the host's.
pub(crate) fn populated<P: Port>(
    port: &P,
    reader: &P::Reader,
    page_size: PageSize,
    attributes: &Attributes,
) -> Result<Vec<Run>, HugetlbError> {
    let kept = attributes.blocks.saturating_mul(BLOCK_BYTES) / page_size.bytes();
    port.scan(reader, page_size, page_size.pages(attributes.size), kept)
}

/// How many pages these are.
pub(crate) fn count(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.pages.end - run.pages.start).sum()
}

/// The runs in pages of 4 KiB, in slots one behind the other.
fn slot_runs(runs: &[Run], page_size: PageSize) -> impl Iterator<Item = SlotRun> {
    let frames = page_size.frames();
    runs.iter().scan(0, move |next, run| {
        let count = (run.pages.end - run.pages.start) * frames;
        let slot = *next;
        *next += count;
        Some(SlotRun { page: run.pages.start * frames, slot, count })
    })
}

/// Lets a pool that has shrunk grow again, as far as pages are missing.
///
/// # Errors
///
/// The host's, when it is asked for its pools.
fn grow<P: Port>(
    port: &P,
    page_size: PageSize,
    (needed, shrunk): (u64, u64),
    nodes: impl Iterator<Item = (Node, u64)>,
) -> Result<(), HugetlbError> {
    let pool = port.pools()?.into_iter().find(|pool| pool.page_size == page_size);
    let there = pool.map_or(0, |pool| pool.unreserved());
    let mut left = needed.saturating_sub(there).min(shrunk);
    let share = |(node, pages): (Node, u64)| {
        let share = pages.min(left);
        left -= share;
        (node, share)
    };
    port.grow(page_size, &nodes.map(share).filter(|(_, share)| *share > 0).collect::<Vec<_>>());
    Ok(())
}

/// Cuts bytes into chunks, none of which reaches across the end of a huge page: where each begins, and its length.
fn chunks(from: u64, to: u64, page_size: PageSize) -> impl Iterator<Item = (u64, usize)> {
    let chunk = CHUNK_BYTES.min(page_size.bytes());
    let mut at = from;
    core::iter::from_fn(move || {
        let len = (chunk - at % chunk).min(to.checked_sub(at).filter(|left| *left > 0)?);
        let this = (at, ByteLen::new(len).as_usize());
        at += len;
        Some(this)
    })
}

const _: () = assert!(CHUNK_BYTES.is_multiple_of(FRAME_BYTES) && CHUNK_BYTES.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_whole_and_stay_in_their_page() {
        let small = PageSize::new(64 << 10).unwrap();
        let cut: Vec<_> = chunks(60 << 10, 130 << 10, small).collect();
        assert_eq!(cut, [(60 << 10, 4 << 10), (64 << 10, 64 << 10), (128 << 10, 2 << 10)]);
        assert_eq!(chunks(0, 2 << 20, PageSize::MIB_2).count(), 8);
        assert_eq!(chunks(5, 5, small).count(), 0);
    }

    #[test]
    fn slots_follow_one_another() {
        let runs = [Run { pages: 1..3, node: Node(0) }, Run { pages: 9..10, node: Node(1) }];
        let slots: Vec<_> = slot_runs(&runs, PageSize::MIB_2).collect();
        let expected =
            [SlotRun { page: 512, slot: 0, count: 1024 }, SlotRun { page: 9 * 512, slot: 1024, count: 512 }];
        assert_eq!((slots.as_slice(), count(&runs)), (&expected[..], 3));
    }
}
