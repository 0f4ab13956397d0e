//! Going through all entries: by runs, entry by entry, or part by part.

use alloc::vec::Vec;

use super::error::SerialError;
use super::run::{Joiner, Run};
use super::table::TableRuns;
use super::view::{Content, SerialView, bad_part};

/// A part of a map that can be gone through by itself, for instance by a thread of its own.
#[derive(Clone, Copy, Debug)]
pub struct Part<'v> {
    view: &'v SerialView<'v>,
    number: u64,
}

/// The runs of a map or of a part, ascending, each as long as it can be within that. After an error it ends.
#[derive(Clone, Debug)]
pub struct Runs<'v> {
    pieces: Pieces<'v>,
    joiner: Joiner,
}

/// The entries of a map or of a part, ascending. After an error it ends.
#[derive(Clone, Debug)]
pub struct Entries<'v> {
    pieces: Pieces<'v>,
    run: Option<Run>,
}

/// Runs as they are stored: cut at the borders of parts, and within tables at those of chunks and at holes. They
/// ascend and do not overlap, whatever the bytes say. After an error it ends.
///
/// They are taken out of lists and chunks as a whole.
#[derive(Clone, Debug)]
pub(super) struct Pieces<'v> {
    view: &'v SerialView<'v>,
    /// The next part.
    next: u64,
    end: u64,
    /// The part before it, if that is a table with chunks left.
    table: Option<TableRuns<'v>>,
    ready: Vec<Run>,
    /// The next of them.
    at: usize,
    /// What is wrong behind them.
    error: Option<SerialError>,
    /// The last index so far.
    last: Option<u64>,
}

impl SerialView<'_> {
    /// The parts, ascending. Their bodies have not been looked at.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = Part<'_>> + Clone {
        let parts = luo_kho::ByteLen::new(self.part_count()).as_usize();
        (0..parts).map(|number| Part { view: self, number: number as u64 })
    }

    /// [`parts`](Self::parts), for several threads.
    #[cfg(feature = "std")]
    pub fn par_parts(&self) -> impl rayon::iter::IndexedParallelIterator<Item = Part<'_>> {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};

        let parts = luo_kho::ByteLen::new(self.part_count()).as_usize();
        (0..parts).into_par_iter().map(|number| Part { view: self, number: number as u64 })
    }

    /// The runs of the whole map: the same, however it is cut into parts.
    pub fn runs(&self) -> Runs<'_> {
        Runs { pieces: Pieces::new(self, 0, self.part_count()), joiner: Joiner::new() }
    }

    /// The entries.
    pub fn entries(&self) -> Entries<'_> {
        Entries { pieces: Pieces::new(self, 0, self.part_count()), run: None }
    }
}

impl<'v> Part<'v> {
    /// Its runs. A run that crosses into another part is cut there.
    pub fn runs(&self) -> Runs<'v> {
        Runs { pieces: Pieces::new(self.view, self.number, self.number + 1), joiner: Joiner::new() }
    }

    /// Its entries.
    pub fn entries(&self) -> Entries<'v> {
        Entries { pieces: Pieces::new(self.view, self.number, self.number + 1), run: None }
    }
}

impl<'v> Pieces<'v> {
    pub(super) const fn new(view: &'v SerialView<'v>, first: u64, end: u64) -> Self {
        let ready = Vec::new();
        Self { view, next: first, end, table: None, ready, at: 0, error: None, last: None }
    }

    /// Makes sure that a run is ready, if there is one left: it is given back if it is the only one.
    fn fill(&mut self) -> Result<Option<Run>, SerialError> {
        self.ready.clear();
        self.at = 0;
        while self.ready.is_empty() {
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            if let Some(table) = &mut self.table {
                match table.next_chunk(&mut self.ready) {
                    Ok(true) => {}
                    Ok(false) => self.table = None,
                    Err(why) => self.error = Some(bad_part(self.next - 1, why)),
                }
                continue;
            }
            if self.next >= self.end {
                return Ok(None);
            }
            self.next += 1;
            match self.view.content(self.next - 1)? {
                Content::Run(run) => return Ok(Some(run)),
                Content::List(list) => {
                    for run in list.runs() {
                        match run {
                            Ok(run) => self.ready.push(run),
                            Err(why) => self.error = Some(bad_part(self.next - 1, why)),
                        }
                    }
                }
                Content::Table(table) => self.table = Some(table.runs()),
            }
        }
        Ok(None)
    }

    /// The next run that is ready. Written so that a run is copied once, as a whole: this is what going through a map
    /// takes its time for.
    #[expect(clippy::inline_always, reason = "see above")]
    #[inline(always)]
    fn next_ready(&mut self) -> Option<Run> {
        let run = *self.ready.get(self.at)?;
        self.at += 1;
        self.behind(run)
    }

    /// The run, if it lies behind the last one; otherwise that is the error.
    #[expect(clippy::inline_always, reason = "see above")]
    #[inline(always)]
    fn behind(&mut self, run: Run) -> Option<Run> {
        if self.last.is_some_and(|last| last >= run.first()) {
            self.end_with(bad_part(self.next - 1, "runs that overlap"));
            return None;
        }
        self.last = Some(run.last());
        Some(run)
    }

    /// Leaves nothing but an error.
    #[cold]
    fn end_with(&mut self, error: SerialError) {
        (self.next, self.table, self.at, self.error) = (self.end, None, 0, Some(error));
        self.ready.clear();
    }

    /// The next run where none is ready.
    #[inline(never)]
    fn next_filled(&mut self) -> Option<Result<Run, SerialError>> {
        let run = match self.fill() {
            Ok(Some(run)) => self.behind(run),
            Ok(None) => self.next_ready(),
            Err(error) => {
                self.end_with(error);
                None
            }
        };
        run.map(Ok).or_else(|| self.error.take().map(Err))
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Run, SerialError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(run) = self.next_ready() {
            return Some(Ok(run));
        }
        self.next_filled()
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<Run, SerialError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(piece) = self.pieces.next_ready() {
                if let Some(run) = self.joiner.push(piece) {
                    return Some(Ok(run));
                }
            }
            match self.pieces.next_filled() {
                Some(Ok(piece)) => {
                    if let Some(run) = self.joiner.push(piece) {
                        return Some(Ok(run));
                    }
                }
                Some(Err(error)) => {
                    self.joiner.finish();
                    return Some(Err(error));
                }
                None => return self.joiner.finish().map(Ok),
            }
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(u64, u64), SerialError>;

    fn next(&mut self) -> Option<Self::Item> {
        let run = match self.run.take() {
            Some(run) => run,
            None => match self.pieces.next()? {
                Ok(run) => run,
                Err(error) => return Some(Err(error)),
            },
        };
        if run.first() < run.last() {
            self.run = Some(run.clip(run.first() + 1, run.last()));
        }
        Some(Ok((run.first(), run.value())))
    }
}
