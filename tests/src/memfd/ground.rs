//! Memory of descriptors, and a gap that is only a duplicate of each: both programs are in this process.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use luo_core::conformance::{FarSide, Ground};
use luo_kho::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};
use luo_kho::process::{Carried, OpenError, ProcessKho};
use luo_kho::{Departed, FrameCount, KhoError, Offer};

/// 4 GiB of frames.
const CAPACITY: u64 = 1 << 20;

/// Makes the file that arrives in the place of another.
type Remake = Rc<dyn Fn(BorrowedFd<'_>) -> OwnedFd>;

/// What does not cross, and why. Of no kind: nothing does.
type Refused = Option<(Option<DescriptorKind>, &'static str)>;

/// What is on its way.
type Cargo = Rc<RefCell<Option<Carried>>>;

/// A carrier that duplicates what the memory lends, and calls the far side.
pub struct InProcess<'a> {
    far_side: FarSide<'a>,
    cargo: Cargo,
    refused: Refused,
    remake: Option<Remake>,
}

/// Memory of descriptors.
#[derive(Default)]
pub struct ProcessGround {
    cargo: Cargo,
    refused: Refused,
    remake: Option<Remake>,
}

fn refused(error: OpenError) -> KhoError {
    match error {
        OpenError::Kho(error) => error,
        other => panic!("what this process carried to itself is not believed: {other}"),
    }
}

fn duplicate(lent: BorrowedFd<'_>) -> OwnedFd {
    lent.try_clone_to_owned().expect("a test may have so many descriptors")
}

impl ProcessGround {
    /// Every descriptor crosses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of each file another one arrives, as where a new kernel makes them anew: what `remake` makes.
    #[must_use]
    pub fn remaking(mut self, remake: impl Fn(BorrowedFd<'_>) -> OwnedFd + 'static) -> Self {
        self.remake = Some(Rc::new(remake));
        self
    }

    /// No file crosses, for this reason.
    #[must_use]
    pub fn refusing(mut self, reason: &'static str) -> Self {
        self.refused = Some((None, reason));
        self
    }

    /// No descriptor of this kind crosses, for this reason.
    #[must_use]
    pub fn refusing_kind(mut self, kind: DescriptorKind, reason: &'static str) -> Self {
        self.refused = Some((Some(kind), reason));
        self
    }
}

impl Ground for ProcessGround {
    type Kho = ProcessKho;

    fn name(&self) -> &'static str {
        if self.refused.is_some() { "process, by copy" } else { "process, by reference" }
    }

    fn found(&self) -> Result<ProcessKho, KhoError> {
        let capacity = FrameCount::new(CAPACITY).expect("2^20 is a count of frames");
        ProcessKho::create(capacity).map_err(refused)
    }

    fn successor(&self) -> Result<ProcessKho, KhoError> {
        let cargo = self.cargo.borrow();
        let Carried { arena, word, segments } = cargo.as_ref().expect("within the far side");
        let segments = segments.iter().map(|file| duplicate(file.as_fd())).collect();
        let carried = Carried { arena: duplicate(arena.as_fd()), word: duplicate(word.as_fd()), segments };
        ProcessKho::open(carried).map_err(refused)
    }

    fn carrier<'a>(&self, far_side: FarSide<'a>) -> Box<dyn Carrier<ProcessKho> + 'a> {
        let (cargo, refused, remake) = (Rc::clone(&self.cargo), self.refused, self.remake.clone());
        Box::new(InProcess { far_side, cargo, refused, remake })
    }

    fn comes_back(&self) -> bool {
        true
    }

    fn finish(&self) -> Vec<String> {
        let left = self.cargo.take().is_some();
        left.then(|| "descriptors are still on their way".to_owned()).into_iter().collect()
    }
}

impl fmt::Debug for ProcessGround {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessGround").field("refused", &self.refused).finish_non_exhaustive()
    }
}

impl fmt::Debug for InProcess<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

impl Carrier<ProcessKho> for InProcess<'_> {
    fn name(&self) -> &'static str {
        "in-process"
    }

    fn conveys(&self, kind: DescriptorKind) -> Conveyance {
        match self.refused {
            Some((refused, reason)) if refused.is_none_or(|refused| refused == kind) => {
                Conveyance::Refused { reason: reason.into() }
            }
            _ => Conveyance::ByReference,
        }
    }

    fn prepare(&mut self, _: &mut ProcessKho) -> Result<(), CarrierError> {
        Ok(())
    }

    fn cancel(&mut self, _: &mut ProcessKho) {}

    fn hand_over(&mut self, kho: &mut ProcessKho, offer: Offer) -> Result<Departed, CarrierError> {
        let lent = kho.lend();
        let carry = |file: BorrowedFd<'_>| match &self.remake {
            Some(remake) => remake(file),
            None => duplicate(file),
        };
        let segments = lent.segments.iter().map(|(_, file)| carry(*file)).collect();
        let carried = Carried { arena: duplicate(lent.arena), word: duplicate(lent.word), segments };
        self.cargo.replace(Some(carried));
        let answer = (self.far_side)();
        self.cargo.take();
        match (Departed::witness(kho, offer)?, answer) {
            (Some(departed), _) => Ok(departed),
            (None, Err(refusal)) => Err(refusal),
            (None, Ok(())) => Err(CarrierError::Deadline { awaited: "commit" }),
        }
    }
}
