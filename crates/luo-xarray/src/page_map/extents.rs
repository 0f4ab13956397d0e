//! Going through all extents.

use super::attributes::Attributes;
use super::view::{PageMapView, decode, impossible};
use super::{Extent, PageMapError};
use crate::serial::{Joiner, Run, Runs, Step};

/// The extents of a page map, ascending, each as long as it can be. After an error it ends.
#[derive(Clone, Debug)]
pub struct Extents<'v> {
    view: &'v PageMapView<'v>,
    pieces: Attributed<'v>,
    joiner: Joiner,
    /// The attributes of the run that is still open in the joiner.
    open: Option<Attributes>,
    /// The rest of a run whose extents are being given out.
    rest: Option<(Run, Attributes)>,
    /// The piece that comes after the runs in the joiner.
    behind: Option<(Run, Attributes)>,
    done: bool,
}

/// Runs of granules, cut where attributes change.
#[derive(Clone, Debug)]
struct Attributed<'v> {
    default: Attributes,
    frames: Runs<'v>,
    attributes: Runs<'v>,
    /// What is left of the run of frames, and of attributes, that were read last.
    run: Option<Run>,
    span: Option<Run>,
    /// Whether all attributes were read.
    no_more_spans: bool,
}

/// Neighbouring pages with the same frame.
pub(super) const SHARED_FRAME: PageMapError = impossible("one frame for several pages");

impl PageMapView<'_> {
    /// The extents.
    pub fn extents(&self) -> Extents<'_> {
        let pieces = Attributed {
            default: self.default,
            frames: self.frames.runs(),
            attributes: self.attributes.runs(),
            run: None,
            span: None,
            no_more_spans: false,
        };
        Extents {
            view: self,
            pieces,
            joiner: Joiner::new(),
            open: None,
            rest: None,
            behind: None,
            done: false,
        }
    }
}

impl Attributed<'_> {
    fn next_piece(&mut self) -> Result<Option<(Run, Attributes)>, PageMapError> {
        let run = match self.run.take() {
            Some(run) => run,
            None => match self.frames.next().transpose().map_err(PageMapError::Frames)? {
                Some(run) => run,
                None => return Ok(None),
            },
        };
        while !self.no_more_spans && self.span.is_none_or(|span| span.last() < run.first()) {
            self.span = self.attributes.next().transpose().map_err(PageMapError::Attributes)?;
            self.no_more_spans = self.span.is_none();
        }
        let span = self.span.filter(|span| span.first() <= run.last() && run.first() <= span.last());
        let (end, attributes) = match span {
            None => (run.last(), self.default),
            Some(span) if run.first() < span.first() => (span.first() - 1, self.default),
            Some(span) => {
                let number = span.value_at(run.first()).unwrap_or(span.value());
                // Attributes that happen to count up or down hold for one granule each.
                let end = if span.step() == Step::Flat { span.last() } else { run.first() };
                (end, decode(number)?)
            }
        };
        if end < run.last() {
            self.run = Some(run.clip(end + 1, run.last()));
        }
        Ok(Some((run.clip(run.first(), end), attributes)))
    }
}

impl Extents<'_> {
    /// The next run whose attributes are the same all through.
    pub(super) fn next_run(&mut self) -> Result<Option<(Run, Attributes)>, PageMapError> {
        loop {
            let piece = match self.behind.take() {
                Some(piece) => Some(piece),
                None => self.pieces.next_piece()?,
            };
            let Some((run, attributes)) = piece else {
                return Ok(self.joiner.finish().zip(self.open));
            };
            if let Some(open) = self.open.filter(|open| *open != attributes)
                && let Some(before) = self.joiner.finish()
            {
                self.behind = Some((run, attributes));
                return Ok(Some((before, open)));
            }
            self.open = Some(attributes);
            if let Some(done) = self.joiner.push(run) {
                return Ok(Some((done, attributes)));
            }
        }
    }

    fn step(&mut self) -> Result<Option<Extent>, PageMapError> {
        let next = match self.rest.take() {
            Some(rest) => Some(rest),
            None => self.next_run()?,
        };
        let Some((run, attributes)) = next else { return Ok(None) };
        let (mut head, tail) = (run, run.last());
        match run.step() {
            Step::Up => {}
            // Frames that go down are one extent each.
            Step::Down => head = run.clip(run.first(), run.first()),
            Step::Flat => return Err(SHARED_FRAME),
        }
        if head.last() < tail {
            self.rest = Some((run.clip(head.last() + 1, tail), attributes));
        }
        self.view.extent(&head, attributes).map(Some)
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Extent, PageMapError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let extent = self.step();
        self.done = !matches!(extent, Ok(Some(_)));
        extent.transpose()
    }
}
