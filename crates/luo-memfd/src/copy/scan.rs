//! Finding the populated pages of a file.

use alloc::vec::Vec;
use core::ops::Range;

use luo_kho::FRAME_BYTES;

use crate::{HostError, Port};

/// The populated pages among `pages`: ascending, not touching.
///
/// # Errors
///
/// The host's.
pub(super) fn populated<P: Port>(
    port: &P,
    reader: &P::Reader,
    pages: Range<u64>,
) -> Result<Vec<Range<u64>>, HostError> {
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut from = pages.start;
    while from < pages.end {
        let Some(data) = port.next_data(reader, from.saturating_mul(FRAME_BYTES))? else { break };
        // What a port says is not taken for granted: this moves on by at least a page, and stays within the bounds.
        let first = (data.start / FRAME_BYTES).max(from);
        let end = data.end.div_ceil(FRAME_BYTES).max(first + 1).min(pages.end);
        if first >= pages.end {
            break;
        }
        match found.last_mut() {
            Some(last) if last.end == first => last.end = end,
            _ => found.push(first..end),
        }
        from = end;
    }
    Ok(found)
}

/// The same pages in ascending ranges that do not touch, none of them at or beyond `end`.
pub(super) fn merged(mut ranges: Vec<Range<u64>>, end: u64) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let range = range.start..range.end.min(end);
        match merged.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// How many pages these are.
pub(super) fn count(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_or_touch_become_one() {
        let ranges = Vec::from([9..12, 0..3, 3..4, 10..11, 5..5, 20..40, 38..90, 95..99]);
        assert_eq!(merged(ranges.clone(), u64::MAX), [0..4, 9..12, 20..90, 95..99]);
        assert_eq!(merged(ranges, 30), [0..4, 9..12, 20..30]);
        assert_eq!(count(&[0..4, 9..12]), 7);
    }
}
