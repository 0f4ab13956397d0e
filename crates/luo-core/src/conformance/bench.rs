//! The **bench** on which laws are tried: it opens worlds, plays both sides, and compares.
//!
//! - A **case** is one run of a law's story, in a world of its own.
//! - A **trace** is what a program and its host have taken at one moment.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell, RefMut};
use core::fmt::{Debug, Display};
use core::ops::Range;

use luo_kho::carrier::CarrierError;
use luo_kho::{FrameRange, Kho, Owned};

use super::adopter::{Adopter, Arrived};
use super::fixture::{FileOf, Fixture, Side};
use super::ground::Ground;
use super::mask::{Mask, Masked};
use super::watched::{Census, Crossing, Watch, Watched, minus};
use crate::{FileHandler, Frozen, Luo, Registry, SessionName, Token, Version};

/// A law does not hold, and what differed.
#[derive(Debug)]
pub(super) struct Broken(pub(super) String);

pub(super) type Result<T = ()> = core::result::Result<T, Broken>;

/// The session of the file that a law is about.
pub(super) const SESSION: SessionName = session("conformance");
/// A session for its neighbours.
pub(super) const NEIGHBOURS: SessionName = session("neighbours");

const fn session(name: &str) -> SessionName {
    match SessionName::new(name) {
        Ok(name) => name,
        Err(_) => panic!("not the name of a session"),
    }
}

/// The token of file number `nth`. Files of all numbers have different ones, and none is 0 or dense.
pub(super) fn token(nth: usize) -> Token {
    Token(0x10_0000_0007 * (luo_kho::ByteLen::of(nth).get() + 1))
}

pub(super) struct Bench<'b, F: Fixture, G> {
    fixture: RefCell<&'b mut F>,
    pub(super) ground: &'b G,
    cases: Cell<u64>,
    label: RefCell<String>,
    start: RefCell<Option<F::Baseline>>,
}

/// The program that hands over.
pub(super) struct Near<K: Kho> {
    pub(super) luo: Luo<Watched<K>>,
    pub(super) owned: Owned,
    pub(super) watch: Watch,
}

/// What one program and the host have taken.
pub(super) struct Trace<B> {
    pub(super) baseline: B,
    pub(super) census: Census,
}

/// What the far side leaves for the law.
pub(super) struct Slot<T>(RefCell<Option<Result<T>>>);

/// Frames and segments that one file takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) frames: Vec<FrameRange>,
    pub(super) segments: Vec<FrameRange>,
}

pub(super) trait OrBroken<T> {
    /// What should not have failed did.
    fn or_broken(self, what: &str) -> Result<T>;
}

impl<T, E: Display> OrBroken<T> for core::result::Result<T, E> {
    fn or_broken(self, what: &str) -> Result<T> {
        self.map_err(|error| Broken(alloc::format!("{what} failed: {error}")))
    }
}

/// Breaks the law unless `holds`.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(Broken(what())) }
}

/// Breaks the law unless both are equal.
pub(super) fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result {
    ensure(found == expected, || {
        let (found, expected) = excerpts(&alloc::format!("{found:?}"), &alloc::format!("{expected:?}"));
        alloc::format!("{what}: found {found}, expected {expected}")
    })
}

/// Both texts around the first place where they differ, as a portrait may be as long as its file.
fn excerpts(found: &str, expected: &str) -> (String, String) {
    const BEFORE: usize = 120;
    const SHOWN: usize = 240;
    let alike = found.chars().zip(expected.chars()).take_while(|(found, expected)| found == expected).count();
    let skipped = alike.saturating_sub(BEFORE);
    let cut = |text: &str| {
        let ahead = if skipped > 0 { "..." } else { "" };
        let behind = if text.chars().count() > skipped + SHOWN { "..." } else { "" };
        let shown: String = text.chars().skip(skipped).take(SHOWN).collect();
        alloc::format!("{ahead}{shown}{behind}")
    };
    (cut(found), cut(expected))
}

impl<T> Slot<T> {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(None))
    }

    fn take(&self) -> Option<Result<T>> {
        self.0.borrow_mut().take()
    }
}

impl<'b, F: Fixture, G: Ground> Bench<'b, F, G> {
    pub(super) fn new(fixture: &'b mut F, ground: &'b G) -> Self {
        Self {
            fixture: RefCell::new(fixture),
            ground,
            cases: Cell::new(0),
            label: RefCell::default(),
            start: RefCell::new(None),
        }
    }

    /// The fixture, for one statement.
    pub(super) fn fixture(&self) -> RefMut<'_, &'b mut F> {
        self.fixture.borrow_mut()
    }

    /// A case begins.
    pub(super) fn case(&self, label: String) {
        self.about(label);
        self.count();
    }

    /// What follows may turn out to be a case.
    pub(super) fn about(&self, label: String) {
        self.label.replace(label);
    }

    /// It did.
    pub(super) fn count(&self) {
        self.cases.set(self.cases.get() + 1);
    }

    pub(super) fn cases(&self) -> u64 {
        self.cases.get()
    }

    pub(super) fn label(&self) -> String {
        self.label.borrow().clone()
    }

    pub(super) fn files(&self) -> Range<usize> {
        0..self.fixture().files()
    }

    pub(super) fn file(&self, nth: usize) -> FileOf<F> {
        self.fixture().file(nth)
    }

    pub(super) fn portrait(&self, file: &FileOf<F>, version: Version) -> F::Portrait {
        self.fixture().portrait(file, version)
    }

    /// The versions that the near side writes and the far side reads, newest first.
    pub(super) fn versions(&self) -> Vec<Version> {
        let near = self.fixture().handler(Side::Near);
        let reads = self.fixture().handler(Side::Far).reads();
        near.writes().into_iter().filter(|version| reads.contains(*version)).collect()
    }

    pub(super) fn newest(&self) -> Result<Version> {
        let newest = self.versions().into_iter().max();
        newest.ok_or_else(|| Broken("the far side reads no version that the near side writes".into()))
    }

    pub(super) fn registry(&self, side: Side, mask: &Mask) -> Result<Registry> {
        let mut registry = Registry::new();
        self.fixture().company(side, &mut registry);
        let inner = self.fixture().handler(side);
        registry.handler(Masked { inner, mask: mask.clone() }).or_broken("registering the handler")?;
        Ok(registry)
    }

    /// A new world, and in it a program that owns fresh memory. Both sessions are open.
    pub(super) fn begin(&self) -> Result<Near<G::Kho>> {
        self.settle()?;
        self.start.replace(None);
        self.fixture().renew();
        let start = self.fixture().baseline();
        self.start.replace(Some(start));
        let kho = self.ground.found().or_broken("founding memory")?;
        let watch = Watch::default();
        let registry = self.registry(Side::Near, &Mask::default())?;
        let founded = Luo::found(Watched::fresh(kho, watch.clone()), registry);
        let (mut luo, owned) =
            founded.map_err(|stuck| Broken(alloc::format!("founding failed: {}", stuck.error)))?;
        for session in [SESSION, NEIGHBOURS] {
            luo.open_session(session).or_broken("opening a session")?;
        }
        Ok(Near { luo, owned, watch })
    }

    /// The case is over: what the ground noticed breaks the law.
    pub(super) fn settle(&self) -> Result {
        let noticed = self.ground.finish();
        ensure(noticed.is_empty(), || {
            alloc::format!("nobody should have tried this on {}: {}", self.ground.name(), noticed.join("; "))
        })
    }

    /// Whether the host is as it was when the world began.
    pub(super) fn all_gone(&self, what: &str) -> Result {
        let now = self.fixture().baseline();
        match &*self.start.borrow() {
            Some(start) => same(what, &now, start),
            None => Ok(()),
        }
    }

    pub(super) fn trace(&self, memory: &Watched<G::Kho>) -> Result<Trace<F::Baseline>> {
        let census = memory.census().or_broken("counting frames")?;
        Ok(Trace { baseline: self.fixture().baseline(), census })
    }

    /// Whether host and memory are as they were.
    pub(super) fn untouched(
        &self,
        after: &str,
        memory: &Watched<G::Kho>,
        before: &Trace<F::Baseline>,
    ) -> Result {
        let now = self.trace(memory)?;
        same(&alloc::format!("the host after {after}"), &now.baseline, &before.baseline)?;
        same(&alloc::format!("the memory after {after}"), &now.census, &before.census)
    }

    /// The ground's carrier, with a far side that leaves its result in the slot.
    pub(super) fn carrier<'a, T: 'a>(
        &self,
        slot: &'a Slot<T>,
        mut play: impl FnMut() -> Result<T> + 'a,
    ) -> Crossing<'a, G::Kho> {
        let far_side = move || {
            let played = play();
            let answer = match &played {
                Ok(_) => Ok(()),
                Err(Broken(reason)) => Err(CarrierError::Refused { reason: reason.clone() }),
            };
            slot.0.replace(Some(played));
            answer
        };
        Crossing(self.ground.carrier(alloc::boxed::Box::new(far_side)))
    }

    /// What one file takes from preserved memory. It is prepared afterwards.
    pub(super) fn taken(
        &self,
        luo: &mut Luo<Watched<G::Kho>>,
        session: SessionName,
        token: Token,
    ) -> Result<Taken> {
        let slot = Slot::new();
        let carrier = self.carrier(&slot, || Ok(()));
        let before = luo.memory().census().or_broken("counting frames")?;
        luo.prepare_file(session, token, &carrier).or_broken("preparing the file alone")?;
        let after = luo.memory().census().or_broken("counting frames")?;
        Ok(Taken {
            frames: minus(&after.preserved, &before.preserved),
            segments: minus(&after.segments, &before.segments),
        })
    }

    /// Prepares, freezes and hands over; the far side retrieves every file and commits.
    pub(super) fn cross(
        &self,
        luo: &mut Luo<Watched<G::Kho>>,
        owned: Owned,
        mask: &Mask,
    ) -> Result<Arrived<F, G::Kho>> {
        let slot = Slot::new();
        let mut carrier = self.carrier(&slot, || self.adopt(mask)?.take_over());
        let prepared = luo.prepare(&mut carrier).or_broken("prepare")?;
        let frozen = prepared.freeze(owned).or_broken("freeze")?;
        depart(frozen, &slot)
    }

    /// Prepares, freezes and offers; the far side plays, and does not commit.
    pub(super) fn visit<T>(&self, near: Near<G::Kho>, play: impl FnMut() -> Result<T>) -> Result<T> {
        let Near { mut luo, owned, .. } = near;
        let slot = Slot::new();
        let mut carrier = self.carrier(&slot, play);
        let prepared = luo.prepare(&mut carrier).or_broken("prepare")?;
        let frozen = prepared.freeze(owned).or_broken("freeze")?;
        match frozen.hand_over() {
            Ok(_departed) => Err(Broken("the far side took over without a commit".into())),
            Err(stuck) => {
                let played = slot.take();
                played.unwrap_or_else(|| Err(Broken(alloc::format!("handing over failed: {}", stuck.error))))
            }
        }
    }

    /// A program on the far side that looks at the offer.
    pub(super) fn adopt(&self, mask: &Mask) -> Result<Adopter<F, G::Kho>> {
        let memory = self.successor()?;
        self.adopt_from(memory, mask)
    }

    /// The memory that is on offer.
    pub(super) fn successor(&self) -> Result<(Watched<G::Kho>, Watch)> {
        let kho = self.ground.successor().or_broken("opening the offer")?;
        let watch = Watch::default();
        Ok((Watched::adopted(kho, watch.clone()).or_broken("reading what is preserved")?, watch))
    }

    pub(super) fn adopt_from(
        &self,
        (kho, watch): (Watched<G::Kho>, Watch),
        mask: &Mask,
    ) -> Result<Adopter<F, G::Kho>> {
        let registry = self.registry(Side::Far, mask)?;
        match Luo::adopt(kho, registry) {
            Ok(adopted) => Ok(Adopter::new(adopted, watch, mask.seen.clone())),
            Err(stuck) => Err(Broken(alloc::format!("adopting failed: {}", stuck.error))),
        }
    }
}

impl<K: Kho> Near<K> {
    pub(super) fn preserve<T: Clone + Send + Sync + 'static>(
        &mut self,
        session: SessionName,
        token: Token,
        file: T,
    ) -> Result {
        let preserved = self.luo.preserve(session, token, file);
        preserved.map_err(|stuck| Broken(alloc::format!("preserve failed: {}", stuck.error)))
    }
}

/// Hands over to a far side that commits.
pub(super) fn depart<K: Kho, T>(frozen: Frozen<'_, Watched<K>>, slot: &Slot<T>) -> Result<T> {
    let departed = frozen.hand_over();
    match (slot.take(), departed) {
        (Some(Ok(left)), Ok(_departed)) => Ok(left),
        (Some(Err(broken)), _) => Err(broken),
        (_, Err(stuck)) => Err(Broken(alloc::format!("handing over failed: {}", stuck.error))),
        (None, Ok(_)) => Err(Broken("the carrier did not call the far side".into())),
    }
}
