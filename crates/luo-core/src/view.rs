//! Preserved memory as a participant sees it: through its ledger, and no more of it than its step allows.
//!
//! | | prepare | freeze | retrieve |
//! |---|---|---|---|
//! | read, look | yes | yes | yes |
//! | allocate, preserve, attach | into the ledger | no | no |
//! | write | yes | yes | no |
//! | reclaim | no | no | into the claims |

use core::any::Any;

use luo_kho::{FrameCount, FrameRange, KhoError, Memory, PhysAddr};

use crate::ledger::{Claims, Ledger};

/// One participant's view, for one step.
pub(crate) struct View<'a> {
    memory: &'a mut dyn Memory,
    step: Step<'a>,
}

enum Step<'a> {
    Prepare(&'a mut Ledger),
    Freeze,
    Retrieve(&'a mut Claims),
}

impl<'a> View<'a> {
    pub(crate) fn prepare(memory: &'a mut dyn Memory, ledger: &'a mut Ledger) -> Self {
        Self { memory, step: Step::Prepare(ledger) }
    }

    pub(crate) fn freeze(memory: &'a mut dyn Memory) -> Self {
        Self { memory, step: Step::Freeze }
    }

    pub(crate) fn retrieve(memory: &'a mut dyn Memory, claims: &'a mut Claims) -> Self {
        Self { memory, step: Step::Retrieve(claims) }
    }

    /// The memory itself, for a participant that is reached through this one.
    pub(crate) fn memory(&mut self) -> &mut dyn Memory {
        self.memory
    }

    /// Reclaims frames that are not freed by finish.
    pub(crate) fn keep(&mut self, range: FrameRange) -> Result<(), KhoError> {
        let Step::Retrieve(claims) = &mut self.step else { return Err(KhoError::NotPreserved { range }) };
        self.memory.reclaim(range)?;
        claims.kept.push(range);
        Ok(())
    }
}

impl Memory for View<'_> {
    fn span(&self) -> FrameRange {
        self.memory.span()
    }

    fn scratch(&self) -> &[FrameRange] {
        self.memory.scratch()
    }

    fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        match &mut self.step {
            Step::Prepare(ledger) => ledger.alloc(self.memory, want),
            Step::Freeze | Step::Retrieve(_) => Err(KhoError::OutOfFrames { want }),
        }
    }

    fn free(&mut self, range: FrameRange) -> Result<(), KhoError> {
        match &mut self.step {
            Step::Prepare(ledger) => ledger.free(self.memory, range),
            Step::Freeze | Step::Retrieve(_) => Err(KhoError::StillPreserved { range }),
        }
    }

    fn preserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        match &mut self.step {
            Step::Prepare(ledger) => ledger.preserve(self.memory, range),
            Step::Freeze | Step::Retrieve(_) => Err(KhoError::NotAllocated { range }),
        }
    }

    fn unpreserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        match &mut self.step {
            Step::Prepare(ledger) => ledger.unpreserve(self.memory, range),
            Step::Freeze | Step::Retrieve(_) => Err(KhoError::NotReclaimed { range }),
        }
    }

    fn is_preserved(&self, range: FrameRange) -> bool {
        self.memory.is_preserved(range)
    }

    fn read(&self, range: FrameRange) -> Result<&[u8], KhoError> {
        self.memory.read(range)
    }

    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), KhoError> {
        match &self.step {
            Step::Prepare(_) | Step::Freeze => self.memory.write(at, bytes),
            Step::Retrieve(_) => Err(KhoError::NotAllocated { range: at.frame().as_range() }),
        }
    }

    fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        let Step::Retrieve(claims) = &mut self.step else { return Err(KhoError::NotPreserved { range }) };
        self.memory.reclaim(range)?;
        claims.borrowed.push(range);
        Ok(())
    }

    fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError> {
        let Step::Retrieve(claims) = &mut self.step else { return Err(KhoError::NotReclaimed { range }) };
        if !claims.borrowed.covers(range) {
            return Err(KhoError::NotReclaimed { range });
        }
        self.memory.forgo(range)?;
        claims.borrowed.remove(range);
        Ok(())
    }

    fn attach(&mut self, file: &dyn Any, frames: FrameCount) -> Result<FrameRange, KhoError> {
        match &mut self.step {
            Step::Prepare(ledger) => ledger.attach(self.memory, file, frames),
            Step::Freeze | Step::Retrieve(_) => {
                Err(KhoError::NotAttachable { why: "files are attached while they are prepared" })
            }
        }
    }

    fn detach(&mut self, segment: FrameRange) -> Result<(), KhoError> {
        match &mut self.step {
            Step::Prepare(ledger) => ledger.detach(self.memory, segment),
            Step::Freeze | Step::Retrieve(_) => Err(KhoError::NotAttached { range: segment }),
        }
    }

    fn attached(&self, segment: FrameRange) -> Result<&dyn Any, KhoError> {
        self.memory.attached(segment)
    }
}
