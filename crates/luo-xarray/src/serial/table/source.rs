//! Where the entries of a segment come from when its table is written: runs, or slots.

use core::ops::RangeInclusive;

use crate::serial::chunk::{Content, EachRun, Row, SLOTS, Scratch, linear, present_in};
use crate::serial::run::{Joiner, Run};
use crate::serial::set::Bitmap;
use crate::serial::wide::{Task, Wide, best};
use crate::serial::{CHUNK_LEN, CHUNK_SHIFT};

/// The entries of one segment. There is at least one.
pub(in crate::serial) trait Source {
    /// The numbers of chunks that may have entries.
    fn chunks(&self) -> RangeInclusive<u64>;

    /// What is in a chunk. To be inlined, so that it is compiled for the level of its caller.
    fn load<'c, W: Wide>(&'c self, wide: W, number: u64, scratch: &'c mut Scratch) -> Loaded<'c>;

    /// All entries of a chunk whose [`load`](Self::load) found entries at `present`.
    fn reload<'c, W: Wide>(
        &'c self,
        wide: W,
        number: u64,
        present: &Bitmap,
        scratch: &'c mut Scratch,
    ) -> Option<Content<'c>>;

    /// All runs of neighbours, ascending.
    fn each_run(&self, take: impl FnMut(Run));
}

/// What is in a chunk.
pub(in crate::serial) enum Loaded<'c> {
    Absent,
    /// One run over all indices.
    Linear(Run),
    /// One run over some indices.
    Row(Row),
    /// Anything, even these.
    Mixed(Content<'c>),
}

/// The slots of one segment, from its first index on, in whole chunks. Those that hold `hole` are holes.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Slots<'s> {
    /// The number of the first chunk.
    pub(in crate::serial) first: u64,
    pub(in crate::serial) chunks: &'s [[u64; SLOTS]],
    pub(in crate::serial) hole: Option<u64>,
}

impl Source for &[Run] {
    fn chunks(&self) -> RangeInclusive<u64> {
        let (first, last) = (self.first().map_or(0, Run::first), self.last().map_or(0, Run::last));
        first >> CHUNK_SHIFT..=last >> CHUNK_SHIFT
    }

    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn load<'c, W: Wide>(&'c self, _: W, number: u64, scratch: &'c mut Scratch) -> Loaded<'c> {
        let (first, last) = (number << CHUNK_SHIFT, number << CHUNK_SHIFT | u64::from(CHUNK_LEN - 1));
        let near = self.partition_point(|run| run.last() < first);
        scratch.clear();
        for run in self.get(near..).unwrap_or_default() {
            if run.first() > last {
                break;
            }
            let piece = run.clip(first, last);
            if piece.distance() == u64::from(CHUNK_LEN - 1) {
                return Loaded::Linear(piece);
            }
            scratch.push(&piece);
        }
        scratch.content().map_or(Loaded::Absent, Loaded::Mixed)
    }

    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn reload<'c, W: Wide>(
        &'c self,
        wide: W,
        number: u64,
        _: &Bitmap,
        scratch: &'c mut Scratch,
    ) -> Option<Content<'c>> {
        match self.load(wide, number, scratch) {
            Loaded::Mixed(content) => Some(content),
            _ => None,
        }
    }

    fn each_run(&self, mut take: impl FnMut(Run)) {
        let mut joiner = Joiner::new();
        self.iter().filter_map(|run| joiner.push(*run)).for_each(&mut take);
        joiner.finish().into_iter().for_each(take);
    }
}

impl Source for Slots<'_> {
    fn chunks(&self) -> RangeInclusive<u64> {
        self.first..=self.first + (self.chunks.len() as u64).saturating_sub(1)
    }

    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn load<'c, W: Wide>(&'c self, wide: W, number: u64, scratch: &'c mut Scratch) -> Loaded<'c> {
        let at = luo_kho::ByteLen::new(number - self.first).as_usize();
        let Some(slots) = self.chunks.get(at) else { return Loaded::Absent };
        if let Some(run) = linear(slots, number, self.hole) {
            return Loaded::Linear(run);
        }
        let present = self.hole.map_or(Bitmap::FULL, |hole| present_in(wide, slots, hole));
        if present != Bitmap::FULL
            && let Some(row) = Row::of(wide, slots, &present, number << CHUNK_SHIFT)
        {
            return Loaded::Row(row);
        }
        self.reload(wide, number, &present, scratch).map_or(Loaded::Absent, Loaded::Mixed)
    }

    #[expect(clippy::inline_always, reason = "compiled for the level of its caller")]
    #[inline(always)]
    fn reload<'c, W: Wide>(
        &'c self,
        wide: W,
        number: u64,
        present: &Bitmap,
        scratch: &'c mut Scratch,
    ) -> Option<Content<'c>> {
        let slots = self.chunks.get(luo_kho::ByteLen::new(number - self.first).as_usize())?;
        if *present == Bitmap::FULL {
            return Some(Content::full(slots));
        }
        scratch.take(wide, slots, present);
        scratch.content()
    }

    fn each_run(&self, take: impl FnMut(Run)) {
        best(EachOf { slots: self, take });
    }
}

/// All runs of neighbours of slots.
struct EachOf<'s, T> {
    slots: &'s Slots<'s>,
    take: T,
}

impl<T: FnMut(Run)> Task for EachOf<'_, T> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "compiled for the level that runs it")]
    #[inline(always)]
    fn run<W: Wide>(self, wide: W) {
        let Self { slots, mut take } = self;
        let mut joiner = Joiner::new();
        let mut scratch = Scratch::default();
        let mut push = |run: Run| joiner.push(run).into_iter().for_each(&mut take);
        for number in slots.chunks() {
            match slots.load(wide, number, &mut scratch) {
                Loaded::Absent => {}
                Loaded::Linear(run) => push(run),
                Loaded::Row(row) => row.each_run(&mut push),
                Loaded::Mixed(content) => EachRun { number, content: &content, take: &mut push }.run(wide),
            }
        }
        joiner.finish().into_iter().for_each(take);
    }
}
