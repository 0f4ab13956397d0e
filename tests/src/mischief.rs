//! Mischief: what a participant must not do with memory, tried one after the other. Each is answered with an error that
//! says what was wrong, and changes nothing; whoever gets away with one has found a bug, and panics.

use luo_core::Refusal;
use luo_kho::{FrameCount, FrameRange, KhoError, Memory, PhysAddr, PreservedArray};

type Tried = Result<(), Refusal>;

/// The one answer that is right. What was injected, or the end of the whole program, is nobody's mistake.
fn answers<T>(outcome: Result<T, KhoError>, what: &str, right: impl Fn(&KhoError) -> bool) -> Tried {
    match outcome {
        Ok(_) => panic!("a participant got away with it: {what}"),
        Err(error @ (KhoError::Injected { .. } | KhoError::Crashed)) => Err(error.into()),
        Err(error) => {
            assert!(right(&error), "{what} is answered with: {error}");
            Ok(())
        }
    }
}

/// Frames at both edges of a region of scratch, one of them inside.
fn edges(scratch: FrameRange) -> impl Iterator<Item = FrameRange> {
    let (start, end) = (scratch.start().get(), scratch.end());
    [(start.saturating_sub(1), start + 1), (end - 1, end + 1)]
        .into_iter()
        .filter_map(|(start, end)| FrameRange::from_bounds(start, end))
}

pub(crate) fn in_prepare(memory: &mut dyn Memory) -> Tried {
    let run = memory.alloc(FrameCount::new(2).unwrap_or(FrameCount::ONE))?;
    let half = run.start().as_range();
    answers(memory.unpreserve(run), "unpreserving what is not preserved", |error| {
        matches!(error, KhoError::NotPreserved { .. })
    })?;
    memory.preserve(run)?;
    answers(memory.preserve(run), "preserving twice", |error| {
        matches!(error, KhoError::AlreadyPreserved { .. })
    })?;
    answers(memory.preserve(half), "preserving a part again", |error| {
        matches!(error, KhoError::AlreadyPreserved { .. })
    })?;
    answers(memory.free(run), "freeing what is preserved", |error| {
        matches!(error, KhoError::StillPreserved { .. })
    })?;
    answers(memory.reclaim(run), "reclaiming what did not arrive", |error| {
        matches!(error, KhoError::NotPreserved { .. })
    })?;
    let at = run.start().addr();
    answers(memory.write(PhysAddr::new(at.get() + 4), &[1; 8]), "writing across words", |error| {
        matches!(error, KhoError::Unaligned { .. })
    })?;
    let beyond = PhysAddr::new(memory.span().end() << 12);
    answers(memory.write(beyond, &[1; 8]), "writing past the memory", |error| {
        matches!(error, KhoError::OutOfRange { .. })
    })?;
    for edge in memory.scratch().to_vec().into_iter().flat_map(edges) {
        answers(memory.preserve(edge), "preserving an edge of scratch", |error| {
            matches!(error, KhoError::InScratch { .. })
        })?;
    }
    memory.unpreserve(run)?;
    memory.free(run)?;
    answers(memory.free(run), "freeing twice", |error| matches!(error, KhoError::NotAllocated { .. }))
}

pub(crate) fn in_freeze(memory: &mut dyn Memory, array: Option<&PreservedArray<u8>>) -> Tried {
    answers(memory.alloc(FrameCount::ONE), "allocating in freeze", |error| {
        matches!(error, KhoError::OutOfFrames { .. })
    })?;
    let Some(extent) = array.and_then(|array| array.extents().first()) else { return Ok(()) };
    let frame = extent.start().as_range();
    answers(memory.preserve(frame), "preserving in freeze", |error| {
        matches!(error, KhoError::NotAllocated { .. })
    })?;
    answers(memory.unpreserve(frame), "unpreserving in freeze", |error| {
        matches!(error, KhoError::NotReclaimed { .. })
    })
}

pub(crate) fn in_retrieve(memory: &mut dyn Memory, array: &PreservedArray<u8>) -> Tried {
    let Some(extent) = array.extents().first() else { return Ok(()) };
    let frame = extent.start().as_range();
    let at = extent.addr();
    answers(memory.write(at, &[1; 8]), "writing before the commit", |error| {
        matches!(error, KhoError::NotAllocated { .. })
    })?;
    answers(memory.reclaim(frame), "reclaiming twice", |error| {
        matches!(error, KhoError::AlreadyReclaimed { .. })
    })?;
    answers(memory.unpreserve(frame), "unpreserving before the commit", |error| {
        matches!(error, KhoError::NotReclaimed { .. })
    })?;
    answers(memory.free(frame), "freeing before the commit", |error| {
        matches!(error, KhoError::StillPreserved { .. })
    })
}
