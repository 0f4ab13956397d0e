//! Going through all entries: by runs, entry by entry, or part by part.

use super::error::{Place, SerialError};
use super::list::ListRuns;
use super::run::{Joiner, Run};
use super::table::TableRuns;
use super::view::{Content, SerialView};

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
#[derive(Clone, Debug)]
pub(super) struct Pieces<'v> {
    view: &'v SerialView<'v>,
    next: u64,
    end: u64,
    inside: Inside<'v>,
    /// The last index so far.
    last: Option<u64>,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one per iterator, and the large one is the common one")]
enum Inside<'v> {
    Nothing,
    Run(Run),
    List(ListRuns<'v>),
    Table(TableRuns<'v>),
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
        Self { view, next: first, end, inside: Inside::Nothing, last: None }
    }

    fn step(&mut self) -> Result<Option<Run>, SerialError> {
        loop {
            let run = match &mut self.inside {
                Inside::Nothing => None,
                Inside::Run(run) => {
                    let run = *run;
                    self.inside = Inside::Nothing;
                    Some(Ok(run))
                }
                Inside::List(runs) => runs.next(),
                Inside::Table(runs) => runs.next(),
            };
            if let Some(run) = run {
                let last = self.last;
                let apart = |run: &Run| last.is_none_or(|last| last < run.first());
                let run = run.and_then(|run| if apart(&run) { Ok(run) } else { Err("runs that overlap") });
                self.last = run.as_ref().map_or(last, |run| Some(run.last()));
                let place = Place::Part(self.next - 1);
                return run.map(Some).map_err(|why| SerialError::Impossible { place, why });
            }
            if self.next >= self.end {
                return Ok(None);
            }
            self.next += 1;
            self.inside = match self.view.content(self.next - 1)? {
                Content::Run(run) => Inside::Run(run),
                Content::List(list) => Inside::List(list.runs()),
                Content::Table(table) => Inside::Table(table.runs()),
            };
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Run, SerialError>;

    fn next(&mut self) -> Option<Self::Item> {
        let run = self.step();
        if run.is_err() {
            (self.next, self.inside) = (self.end, Inside::Nothing);
        }
        run.transpose()
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<Run, SerialError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.pieces.next() {
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
