//! Which pages of a file exist, and who can reach them.

use alloc::vec::Vec;
use core::ops::Range;

use crate::options::Options;
use crate::{Facts, Flags, GuestMemfdError, HostError, Port, PrivateMemory};

/// Neighbouring pages that exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) pages: Range<u64>,
    /// Whether the host cannot read them.
    pub(crate) private: bool,
}

/// A way of the host's to the contents, if there is one.
pub(super) fn reader<P: Port>(
    port: &P,
    file: &P::File,
    facts: &Facts,
) -> Result<Option<P::Reader>, HostError> {
    if facts.flags().contains(Flags::OPEN) { port.open(file).map(Some) } else { Ok(None) }
}

/// All stretches of a file, ascending.
///
/// # Errors
///
/// The host's or the embedder's.
pub(super) fn present<P: Port>(
    port: &P,
    reader: Option<&P::Reader>,
    private: Option<&mut (dyn PrivateMemory + 'static)>,
    facts: &Facts,
) -> Result<Vec<Stretch>, GuestMemfdError> {
    let hidden = facts.hidden();
    let mut stretches = Vec::new();
    if let Some(reader) = reader {
        for run in port.present(reader)? {
            let run = run.start..run.end.min(facts.pages());
            stretches.extend(without(run, &hidden).map(|pages| Stretch { pages, private: false }));
        }
    }
    if let Some(private) = private {
        for range in hidden {
            search(private, range, &mut stretches)?;
        }
    }
    stretches.sort_unstable_by_key(|stretch| stretch.pages.start);
    Ok(stretches)
}

/// How many pages of a file exist.
///
/// # Errors
///
/// The host's or the embedder's.
pub(crate) fn present_pages<P: Port>(
    port: &P,
    options: &Options<P>,
    file: &P::File,
    facts: &Facts,
) -> Result<u64, GuestMemfdError> {
    let reader = reader(port, file, facts)?;
    let mut private = options.private_of(file);
    Ok(count(&present(port, reader.as_ref(), private.as_deref_mut(), facts)?))
}

pub(super) fn count(stretches: &[Stretch]) -> u64 {
    stretches.iter().map(|stretch| stretch.pages.end - stretch.pages.start).sum()
}

/// What of a run is not in `hidden`, which ascends.
pub(super) fn without(run: Range<u64>, hidden: &[Range<u64>]) -> impl Iterator<Item = Range<u64>> {
    let first = hidden.partition_point(|range| range.end <= run.start);
    let meeting = hidden.iter().skip(first).take_while(move |range| range.start < run.end);
    let (mut from, mut left) = (run.start, true);
    let mut meeting = meeting;
    core::iter::from_fn(move || {
        while left {
            let next = meeting.next();
            left = next.is_some();
            let pages = from..next.map_or(run.end, |range| range.start.min(run.end));
            from = next.map_or(run.end, |range| range.end);
            if !pages.is_empty() {
                return Some(pages);
            }
        }
        None
    })
}

fn search(
    private: &mut dyn PrivateMemory,
    range: Range<u64>,
    stretches: &mut Vec<Stretch>,
) -> Result<(), GuestMemfdError> {
    let mut from = range.start;
    while from < range.end {
        let Some(run) = private.next_present(from).map_err(GuestMemfdError::Search)? else { break };
        // What an embedder says is not taken for granted: this moves on by at least a page, and stays within the
        // bounds.
        let start = run.start.max(from);
        if start >= range.end {
            break;
        }
        let end = run.end.max(start + 1).min(range.end);
        stretches.push(Stretch { pages: start..end, private: true });
        from = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_taken_out_of_runs() {
        let hidden = [2..4, 6..8, 20..30];
        let left = |run| without(run, &hidden).collect::<Vec<_>>();
        assert_eq!(left(0..10), [0..2, 4..6, 8..10]);
        assert_eq!(left(2..4), [0u64..0; 0]);
        assert_eq!(left(3..7), [core::iter::once(4..6).collect::<Vec<_>>()].concat());
        assert_eq!(left(9..12), [core::iter::once(9..12).collect::<Vec<_>>()].concat());
        assert_eq!(left(25..40), [core::iter::once(30..40).collect::<Vec<_>>()].concat());
    }
}
