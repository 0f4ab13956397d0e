//! Verifying everything.

use super::PageMapError;
use super::attributes::Attributes;
use super::builder::Span;
use super::extents::SHARED_FRAME;
use super::view::{PageMapView, impossible};
use crate::serial::{Joiner, Run, Runs, Step};

/// Compares the spans that the extents make with the map of attributes.
struct SpanCheck<'v> {
    default: Attributes,
    span: Option<Span>,
    joiner: Joiner,
    found: Runs<'v>,
}

impl SpanCheck<'_> {
    fn note(&mut self, next: Span) -> Result<(), PageMapError> {
        match &mut self.span {
            Some(span) if span.attributes == next.attributes => span.last = next.last,
            _ => {
                let span = self.span.replace(next);
                self.close(span)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, span: Option<Span>) -> Result<(), PageMapError> {
        let run = span.and_then(|span| span.run(self.default));
        match run.and_then(|run| self.joiner.push(run)) {
            Some(run) => self.expect(Some(run)),
            None => Ok(()),
        }
    }

    fn expect(&mut self, run: Option<Run>) -> Result<(), PageMapError> {
        let found = self.found.next().transpose().map_err(PageMapError::Attributes)?;
        if found == run { Ok(()) } else { Err(impossible("attributes that are not those of the pages")) }
    }

    fn finish(mut self) -> Result<(), PageMapError> {
        let span = self.span.take();
        self.close(span)?;
        if let Some(run) = self.joiner.finish() {
            self.expect(Some(run))?;
        }
        self.expect(None)
    }
}

impl PageMapView<'_> {
    /// Checks every byte, as [`SerialView::verify`](crate::serial::SerialView::verify) does for both maps, and that
    /// every extent can be: frames exist, folios are aligned, no two neighbouring pages share a frame, attributes
    /// are those of pages that are there.
    ///
    /// That no frame is named twice at all is not checked here: the memory refuses to give it out twice.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn verify(&self) -> Result<(), PageMapError> {
        self.frames.verify().map_err(PageMapError::Frames)?;
        self.attributes.verify().map_err(PageMapError::Attributes)?;
        let found = self.attributes.runs();
        let mut check = SpanCheck { default: self.default, span: None, joiner: Joiner::new(), found };
        let mut is_first = true;
        let mut runs = self.extents();
        // By runs, not by extents: frames that go down are one run, however many extents they make.
        while let Some((run, attributes)) = runs.next_run()? {
            match run.step() {
                Step::Up => {
                    self.extent(&run, attributes)?;
                }
                Step::Down => {
                    self.extent(&run.clip(run.first(), run.first()), attributes)?;
                    self.extent(&run.clip(run.last(), run.last()), attributes)?;
                }
                Step::Flat => return Err(SHARED_FRAME),
            }
            if core::mem::take(&mut is_first) && attributes != self.default {
                return Err(impossible("a default that is not that of the first page"));
            }
            check.note(Span { first: run.first(), last: run.last(), attributes })?;
        }
        if is_first && self.default != Attributes::NONE {
            return Err(impossible("a default without pages"));
        }
        check.finish()
    }
}
