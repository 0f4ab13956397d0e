//! Stretches: runs of bytes in physical memory, and how they are read and written.
//!
//! A memory lends whole frames, as many as it holds in one piece, and stores whole words of 8 bytes. Items are neither.

use crate::{ByteLen, FrameRange, KhoError, Memory, PhysAddr};

/// Bytes in one store.
const WORD: usize = 8;

/// Neighbouring bytes of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) at: PhysAddr,
    pub(super) len: ByteLen,
}

/// The bytes of all stretches in order, in pieces as long as the memory lends them.
pub(super) fn pieces<M: Memory + ?Sized>(
    memory: &M,
    mut stretches: impl Iterator<Item = Stretch>,
) -> impl Iterator<Item = Result<&[u8], KhoError>> {
    let mut stretch = Stretch { at: PhysAddr::new(0), len: ByteLen::ZERO };
    core::iter::from_fn(move || {
        if stretch.len == ByteLen::ZERO {
            stretch = stretches.next()?;
        }
        Some(stretch.take_front(memory))
    })
}

/// Writes `bytes` at `at`; what stands before and behind them in the words at the edges stays.
///
/// # Errors
///
/// The memory's. What was stored before the error stays stored.
pub(super) fn write<M: Memory + ?Sized>(memory: &mut M, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError> {
    let to_word = at.offset().next_multiple_of(WORD) - at.offset();
    let (front, rest) = bytes.split_at(to_word.min(bytes.len()));
    let (words, back) = rest.split_at(rest.len() - rest.len() % WORD);
    let mut at = at;
    for part in [front, words, back] {
        if part.len() % WORD == 0 {
            if !part.is_empty() {
                memory.write(at, part)?;
            }
        } else {
            write_in_word(memory, at, part)?;
        }
        at = at.checked_add(ByteLen::of(part.len())).unwrap_or(at); // only the last part ends where memory does
    }
    Ok(())
}

/// Writes some bytes of one word.
fn write_in_word<M: Memory + ?Sized>(memory: &mut M, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError> {
    let start = at.offset() - at.offset() % WORD;
    let frame = at.frame().as_range();
    let out_of_range = KhoError::OutOfRange { range: frame, span: memory.span() };
    let lent = memory.read(frame)?.get(start..).and_then(|lent| lent.first_chunk::<WORD>());
    let Some(mut word) = lent.copied() else { return Err(out_of_range) };
    for (old, new) in word.iter_mut().skip(at.offset() % WORD).zip(bytes) {
        *old = *new;
    }
    memory.write(PhysAddr::new(frame.addr().get() + ByteLen::of(start).get()), &word)
}

impl Stretch {
    /// The frames that it touches; `None` if they do not exist.
    fn frames(self) -> Option<FrameRange> {
        let bytes = ByteLen::of(self.at.offset()).get().checked_add(self.len.get())?;
        FrameRange::new(self.at.frame(), ByteLen::new(bytes).frames())
    }

    /// Takes the bytes at its front, as many as the memory holds in one piece.
    ///
    /// # Errors
    ///
    /// The memory's, or [`KhoError::OutOfRange`] if it lends nothing.
    fn take_front<'m, M: Memory + ?Sized>(&mut self, memory: &'m M) -> Result<&'m [u8], KhoError> {
        let out_of_range = KhoError::OutOfRange { range: self.at.frame().as_range(), span: memory.span() };
        let Some(frames) = self.frames() else { return Err(out_of_range) };
        let lent = memory.read(frames)?.get(self.at.offset()..).unwrap_or_default();
        let lent = lent.get(..self.len.as_usize()).unwrap_or(lent);
        if lent.is_empty() {
            return Err(out_of_range);
        }
        let taken = ByteLen::of(lent.len()).get();
        // Wraps only behind the last byte there can be, where nothing is left.
        self.at = PhysAddr::new(self.at.get().wrapping_add(taken));
        self.len = ByteLen::new(self.len.get() - taken);
        Ok(lent)
    }
}
