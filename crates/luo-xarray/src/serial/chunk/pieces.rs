//! **Pieces** of a leaf: its runs, cut at holes.

use alloc::vec::Vec;

use super::decode::Decoder;
use super::read::{Leaf, NO_START, NO_STEP, NO_VALUE};
use super::write::at_positions;
use crate::serial::CHUNK_SHIFT;
use crate::serial::run::{Run, Step};
use crate::serial::set::Bitmap;
use crate::serial::wide::{Task, Wide, best};
use crate::serial::wire::LeafOrder;
use crate::serial::words::Block;

impl Leaf<Block<'_>> {
    /// Appends the pieces, for the chunk with this number. An error comes behind those that can be read before it.
    pub(in crate::serial) fn pieces(
        &self,
        number: u64,
        decoder: &mut Decoder,
        pieces: &mut Vec<Run>,
    ) -> Result<(), &'static str> {
        best(Cut { leaf: self, base: number << CHUNK_SHIFT, decoder, pieces })
    }
}

/// Taking a leaf apart.
struct Cut<'c, 'v> {
    leaf: &'c Leaf<Block<'v>>,
    /// The index of the chunk's position 0.
    base: u64,
    decoder: &'c mut Decoder,
    pieces: &'c mut Vec<Run>,
}

/// The run that a piece belongs to.
#[derive(Clone, Copy)]
struct Open {
    /// Where it starts, along the leaf's order.
    start: u32,
    value: u64,
    step: Step,
}

impl Task for Cut<'_, '_> {
    type Output = Result<(), &'static str>;

    #[expect(clippy::inline_always, reason = "compiled for the level that runs it")]
    #[inline(always)]
    fn run<W: Wide>(self, wide: W) -> Self::Output {
        let Self { leaf, base, decoder, pieces } = self;
        let (at, layout) = leaf.fetch(decoder)?;
        let present = leaf.present(decoder, at + layout.presence as usize)?;
        if leaf.shape.order == LeafOrder::Single {
            let values = leaf.singles(decoder, at + layout.values as usize);
            let entries = present.members().zip(values);
            pieces.extend(entries.map(|(position, value)| Run::single(base | u64::from(position), *value)));
            return Ok(());
        }
        let by_rank = leaf.shape.order == LeafOrder::Rank;
        let mut starts = leaf.unpack(decoder, at, &layout)?;
        if by_rank && present != Bitmap::FULL {
            starts = at_positions(wide, &starts, &present);
        }
        let mut heads = decoder.heads(&leaf.shape);
        let mut open: Option<Open> = None;
        // Where the piece starts that is open, and entries before it.
        let (mut piece, mut rank) = (None, 0);
        let mut close = |piece: Option<u32>, end: u32, open: Option<Open>, rank: &mut u32| {
            let Some(first) = piece else { return Ok(()) };
            let Open { start, value, step } = open.ok_or(NO_START)?;
            let along = if by_rank { *rank } else { first };
            *rank += end - first;
            let value = along.checked_sub(start).and_then(|distance| step.apply(value, distance.into()));
            let (first, last) = (base | u64::from(first), base | u64::from(end - 1));
            let run = value.and_then(|value| Run::from_bounds(first, last, value, step));
            pieces.push(run.ok_or(NO_VALUE)?);
            Ok(())
        };
        for position in cuts(&present, &starts).members() {
            close(piece, position, open, &mut rank)?;
            piece = present.contains(position).then_some(position);
            if piece.is_some() && starts.contains(position) {
                let (value, step) = heads.next().ok_or(NO_START)?;
                let start = if by_rank { rank } else { position };
                open = Some(Open { start, value, step: step.ok_or(NO_STEP)? });
            }
        }
        close(piece, super::CHUNK_LEN, open, &mut rank)
    }
}

/// Where a piece starts, or a hole behind one.
fn cuts(present: &Bitmap, starts: &Bitmap) -> Bitmap {
    let mut cuts = Bitmap::default();
    let mut before = 0;
    for (cut, (present, start)) in cuts.words_mut().iter_mut().zip(present.words().iter().zip(starts.words()))
    {
        *cut = present ^ (present << 1 | before) | start & present;
        before = present >> 63;
    }
    cuts
}
