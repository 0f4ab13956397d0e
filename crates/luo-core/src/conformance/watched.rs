//! Memory that is **watched**: what a program takes from it is counted, and it fails or lies where a law says so.
//!
//! - A **census** is what one program has taken. Equal before and after: nothing leaked.
//! - A **stray** is a read of frames that nobody preserved and this program did not allocate.
//! - **Damage** is one frame that reads back with a byte that was not written.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::RefCell;

use luo_kho::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};
use luo_kho::{
    Departed, FRAME_SIZE, FrameCount, FrameRange, Generation, Kho, KhoError, Memory, Offer, Pfn, PhysAddr,
    Root, Word,
};

use crate::ledger::Ranges;

/// What one program has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) allocated: Vec<FrameRange>,
    pub(super) preserved: Vec<FrameRange>,
    pub(super) segments: Vec<FrameRange>,
    pub(super) claimed: Vec<FrameRange>,
    pub(super) root: Option<Root>,
}

/// The handle on a watched memory, for whoever lent it away.
#[derive(Clone, Default)]
pub(super) struct Watch(Rc<RefCell<Seen>>);

#[derive(Default)]
struct Seen {
    /// Calls that succeed before one fails.
    fuse: Option<u64>,
    fired: bool,
    calls: u64,
    allocated: Ranges,
    claimed: Ranges,
    strays: Vec<FrameRange>,
}

impl Watch {
    /// From now on the call with number `nth`, from 0, fails, once. Calls that undo are not counted.
    pub(super) fn arm(&self, nth: u64) {
        let mut seen = self.0.borrow_mut();
        seen.fuse = Some(nth);
        seen.fired = false;
    }

    /// Whether a call failed since [`arm`](Self::arm).
    pub(super) fn disarm(&self) -> bool {
        let mut seen = self.0.borrow_mut();
        seen.fuse = None;
        core::mem::take(&mut seen.fired)
    }

    pub(super) fn strays(&self) -> Vec<FrameRange> {
        self.0.borrow().strays.clone()
    }

    fn call(&self, call: &'static str) -> Result<(), KhoError> {
        let mut seen = self.0.borrow_mut();
        let nth = seen.calls;
        seen.calls += 1;
        match seen.fuse {
            Some(0) => {
                seen.fuse = None;
                seen.fired = true;
                Err(KhoError::Injected { call, nth })
            }
            Some(left) => {
                seen.fuse = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

pub(super) struct Watched<K> {
    inner: K,
    watch: Watch,
    adopted: bool,
    damage: Option<(Pfn, Box<[u8]>)>,
}

impl<K: Kho> Watched<K> {
    /// Memory that nobody owns yet.
    pub(super) fn fresh(inner: K, watch: Watch) -> Self {
        Self { inner, watch, adopted: false, damage: None }
    }

    /// Memory that is on offer. What is preserved in it is allocated, and nothing else is.
    pub(super) fn adopted(inner: K, watch: Watch) -> Result<Self, KhoError> {
        let inherited = inner.preserved()?;
        for range in inherited {
            watch.0.borrow_mut().allocated.push(range);
        }
        Ok(Self { inner, watch, adopted: true, damage: None })
    }

    /// The byte at `offset` of this frame reads back with all its bits flipped.
    pub(super) fn damage(&mut self, frame: Pfn, offset: usize) -> Result<(), KhoError> {
        let bytes = self.inner.read(frame.as_range())?;
        let mut bytes: Box<[u8]> = bytes.get(..FRAME_SIZE).unwrap_or(bytes).into();
        if let Some(byte) = bytes.get_mut(offset) {
            *byte ^= 0xFF;
        }
        self.damage = Some((frame, bytes));
        Ok(())
    }

    /// As the memory was written, and seen by nobody.
    pub(super) fn frame(&self, frame: Pfn) -> Result<&[u8], KhoError> {
        self.inner.read(frame.as_range())
    }

    pub(super) fn census(&self) -> Result<Census, KhoError> {
        let seen = self.watch.0.borrow();
        Ok(Census {
            allocated: merged(seen.allocated.iter()),
            preserved: merged(self.inner.preserved()?.into_iter()),
            segments: self.inner.segments(),
            claimed: merged(seen.claimed.iter()),
            root: self.inner.root(),
        })
    }

    fn look(&self, range: FrameRange) {
        let mut seen = self.watch.0.borrow_mut();
        let known = || self.inner.segments().iter().any(|segment| segment.covers(range));
        if self.adopted && !seen.allocated.covers(range) && !known() {
            seen.strays.push(range);
        }
    }
}

impl<K: Kho> Memory for Watched<K> {
    fn span(&self) -> FrameRange {
        self.inner.span()
    }

    fn scratch(&self) -> &[FrameRange] {
        self.inner.scratch()
    }

    fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        self.watch.call("alloc")?;
        let range = self.inner.alloc(want)?;
        self.watch.0.borrow_mut().allocated.push(range);
        Ok(range)
    }

    fn free(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.inner.free(range)?;
        self.watch.0.borrow_mut().allocated.remove(range);
        Ok(())
    }

    fn preserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.watch.call("preserve")?;
        self.inner.preserve(range)
    }

    fn unpreserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.inner.unpreserve(range)?;
        self.watch.0.borrow_mut().claimed.remove(range);
        Ok(())
    }

    fn is_preserved(&self, range: FrameRange) -> bool {
        self.inner.is_preserved(range)
    }

    fn read(&self, range: FrameRange) -> Result<&[u8], KhoError> {
        self.watch.call("read")?;
        self.look(range);
        let bytes = self.inner.read(range)?;
        let Some((frame, damaged)) = self.damage.as_ref().filter(|(frame, _)| range.contains(*frame)) else {
            return Ok(bytes);
        };
        let before = luo_kho::ByteLen::new(frame.get() - range.start().get()).as_usize() * FRAME_SIZE;
        if before == 0 { Ok(damaged) } else { Ok(bytes.get(..before).unwrap_or(bytes)) }
    }

    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError> {
        self.watch.call("write")?;
        self.inner.write(at, bytes)
    }

    fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.watch.call("reclaim")?;
        self.inner.reclaim(range)?;
        self.watch.0.borrow_mut().claimed.push(range);
        Ok(())
    }

    fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError> {
        self.inner.forgo(range)?;
        self.watch.0.borrow_mut().claimed.remove(range);
        Ok(())
    }

    fn attach(&mut self, file: &dyn Any, frames: FrameCount) -> Result<FrameRange, KhoError> {
        self.watch.call("attach")?;
        self.inner.attach(file, frames)
    }

    fn detach(&mut self, segment: FrameRange) -> Result<(), KhoError> {
        self.inner.detach(segment)?;
        self.watch.0.borrow_mut().claimed.remove(segment);
        Ok(())
    }

    fn attached(&self, segment: FrameRange) -> Result<&dyn Any, KhoError> {
        self.watch.call("attached")?;
        self.inner.attached(segment)
    }
}

impl<K: Kho> Kho for Watched<K> {
    fn generation(&self) -> Generation {
        self.inner.generation()
    }

    fn publish(&mut self, root: Option<Root>) -> Result<(), KhoError> {
        self.inner.publish(root)
    }

    fn root(&self) -> Option<Root> {
        self.inner.root()
    }

    fn preserved(&self) -> Result<Vec<FrameRange>, KhoError> {
        self.watch.call("preserved")?;
        self.inner.preserved()
    }

    fn segments(&self) -> Vec<FrameRange> {
        self.inner.segments()
    }

    fn word(&self) -> Result<Word, KhoError> {
        self.inner.word()
    }

    fn swap(&mut self, from: Word, to: Word) -> Result<(), KhoError> {
        self.inner.swap(from, to)
    }
}

/// A ground's carrier, for watched memory.
pub(super) struct Crossing<'a, K>(pub(super) Box<dyn Carrier<K> + 'a>);

impl<K: Kho> Carrier<Watched<K>> for Crossing<'_, K> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn conveys(&self, kind: DescriptorKind) -> Conveyance {
        self.0.conveys(kind)
    }

    fn prepare(&mut self, kho: &mut Watched<K>) -> Result<(), CarrierError> {
        self.0.prepare(&mut kho.inner)
    }

    fn cancel(&mut self, kho: &mut Watched<K>) {
        self.0.cancel(&mut kho.inner);
    }

    fn hand_over(&mut self, kho: &mut Watched<K>, offer: Offer) -> Result<Departed, CarrierError> {
        self.0.hand_over(&mut kho.inner, offer)
    }
}

/// The same frames, ascending, neighbours in one range.
pub(super) fn merged(ranges: impl Iterator<Item = FrameRange>) -> Vec<FrameRange> {
    let mut sorted: Vec<_> = ranges.collect();
    sorted.sort();
    let mut merged: Vec<FrameRange> = Vec::with_capacity(sorted.len());
    for range in sorted {
        let joined = merged
            .last()
            .filter(|last| last.end() >= range.start().get())
            .and_then(|last| FrameRange::from_bounds(last.start().get(), last.end().max(range.end())));
        if let Some(joined) = joined {
            merged.pop();
            merged.push(joined);
        } else {
            merged.push(range);
        }
    }
    merged
}

/// The frames of `all` that are not in `without`, ascending and merged.
pub(super) fn minus(all: &[FrameRange], without: &[FrameRange]) -> Vec<FrameRange> {
    let mut left = all.to_vec();
    for gone in without {
        let cut = |range: FrameRange| {
            if range.intersection(*gone).is_none() {
                return [Some(range), None];
            }
            let (start, end) = (range.start().get(), range.end());
            [FrameRange::from_bounds(start, gone.start().get()), FrameRange::from_bounds(gone.end(), end)]
        };
        left = left.into_iter().flat_map(cut).flatten().collect();
    }
    merged(left.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> FrameRange {
        FrameRange::from_bounds(start, end).unwrap()
    }

    #[test]
    fn what_is_left_is_what_was_not_taken_away() {
        let all = [range(0, 4), range(4, 10), range(20, 30)];
        assert_eq!(merged(all.iter().rev().copied()), [range(0, 10), range(20, 30)]);
        assert_eq!(minus(&all, &[range(2, 6), range(29, 40)]), [range(0, 2), range(6, 10), range(20, 29)]);
        assert_eq!(minus(&all, &all), []);
        assert_eq!(minus(&all, &[]), [range(0, 10), range(20, 30)]);
    }
}
