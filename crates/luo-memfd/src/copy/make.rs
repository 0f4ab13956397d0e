//! The far side: a new file is made of what was saved. All that is read here was written by somebody else.

use alloc::vec::Vec;

use luo_kho::{ByteLen, FRAME_BYTES, FrameRange, Memory};
use luo_xarray::page_map::{PageStore, StoreNames};

use super::batch::BATCH_PAGES;
use super::workers;
use crate::options::Options;
use crate::{Attributes, Direction, HostError, MemfdError, Name, Port, Progress};

/// Pieces that are laid out before they are written: 384 KiB of them.
const WINDOW_PIECES: usize = 1 << 14;
/// Bytes that are laid out before they are written; progress is told this often.
const WINDOW_BYTES: usize = 64 << 20;

/// A new file with the contents of the store; without one, it is one hole.
///
/// # Errors
///
/// What the bytes say that cannot be, or the host's.
pub(crate) fn make<P: Port>(
    (port, options): (&P, &Options<P::File>),
    memory: &dyn Memory,
    store: Option<(&PageStore, &StoreNames)>,
    (name, wanted): (&Name, &Attributes),
) -> Result<P::File, MemfdError> {
    let draft = port.draft(name, wanted)?;
    if let Some((claimed, names)) = store {
        let write = |at: u64, bytes: &[u8]| port.write(&draft, at, bytes);
        let mut filling = Filling::new(write, options, name, names.pages);
        filling.all(memory, (claimed, names), wanted)?;
    }
    let file = port.complete(draft, wanted)?;
    // A host may take a wish and not fulfil it.
    let made = port.look(&file)?;
    let faithful = Attributes { blocks: wanted.blocks, times: wanted.times, ..made };
    if faithful == *wanted { Ok(file) } else { Err(MemfdError::Unfaithful { wanted: *wanted, made }) }
}

/// Copies pages into a file, window by window.
struct Filling<'a, F, W> {
    write: W,
    options: &'a Options<F>,
    name: &'a Name,
    of: u64,
    done: u64,
}

/// Pages as they lie in memory, and where they go.
#[derive(Default)]
struct Window<'m> {
    pieces: Vec<(u64, &'m [u8])>,
    bytes: usize,
}

impl<'a, F, W: Fn(u64, &[u8]) -> Result<(), HostError> + Sync> Filling<'a, F, W> {
    const fn new(write: W, options: &'a Options<F>, name: &'a Name, pages: u64) -> Self {
        Self { write, options, name, of: pages.saturating_mul(FRAME_BYTES), done: 0 }
    }

    fn all(
        &mut self,
        memory: &dyn Memory,
        (claimed, names): (&PageStore, &StoreNames),
        wanted: &Attributes,
    ) -> Result<(), MemfdError> {
        let mut window = Window::default();
        claimed.each_extent(memory, names, wanted.pages(), |extent| {
            self.lay_out(memory, extent.page * FRAME_BYTES, extent.frames, wanted.size, &mut window)
        })?;
        self.flush(&mut window)
    }

    /// Adds frames to the window, in the pieces in which the memory lends them; writes the window when it is full.
    fn lay_out<'m>(
        &mut self,
        memory: &'m dyn Memory,
        mut at: u64,
        frames: FrameRange,
        size: u64,
        window: &mut Window<'m>,
    ) -> Result<(), MemfdError> {
        let mut start = frames.start().get();
        while let Some(rest) = FrameRange::from_bounds(start, frames.end()) {
            let lent = memory.read(rest)?;
            let most = ByteLen::new(rest.count().get().min(BATCH_PAGES) * FRAME_BYTES).as_usize();
            let whole = lent.get(..most.min(lent.len())).unwrap_or_default();
            // What lies behind the end of the file was zeros, and is none of it.
            let inside = ByteLen::new(size.saturating_sub(at)).as_usize();
            let bytes = whole.get(..inside.min(whole.len())).unwrap_or_default();
            window.pieces.push((at, bytes));
            window.bytes += whole.len();
            let taken = ByteLen::of(whole.len()).get();
            at += taken;
            start += (taken / FRAME_BYTES).max(1);
            if window.pieces.len() >= WINDOW_PIECES || window.bytes >= WINDOW_BYTES {
                self.flush(window)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, window: &mut Window<'_>) -> Result<(), MemfdError> {
        if window.pieces.is_empty() {
            return Ok(());
        }
        workers::each(&window.pieces, self.options.threads, |(at, bytes)| (self.write)(*at, bytes))?;
        self.done += ByteLen::of(window.bytes).get();
        *window = Window::default();
        let (done, of) = (ByteLen::new(self.done), ByteLen::new(self.of));
        self.options.tell(Progress { name: self.name, direction: Direction::Making, done, of });
        Ok(())
    }
}
