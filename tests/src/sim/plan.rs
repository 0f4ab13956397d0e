//! The plan of a life: everything that is going to be done and to go wrong in it, made from one number.
//!
//! A plan is plain data, so that it can be shortened and still be run: every part of it means something whatever the
//! others are. Numbers of faults count from the beginning of their generation; those that are too high never come.

use fastrand::Rng;
use luo_core::WritePolicy;
use luo_kho::sim::{Call, Fragmentation, MachineConfig};
use luo_kho::{FrameCount, Pfn};

use super::classes::{Class, Swarm};
use crate::build::Build;
use crate::host::By;
use crate::journal::Act;

/// The life that a seed gives.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// The machine.
    pub world: World,
    /// What each program speaks, first program first: one more than there are generations.
    pub speaks: Vec<Speaks>,
    /// One update each.
    pub generations: Vec<Generation>,
}

/// What the machine is like.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub(super) fragmentation: Fragmentation,
    pub(super) nodes: bool,
    /// So large that frames lie far from each other.
    pub(super) wide: bool,
    pub(super) seed: u64,
}

/// What one program reads and writes. Versions count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaks {
    pub(super) note: (u16, u16),
    pub(super) log: Option<(u16, u16)>,
    pub(super) clock: Option<(u16, u16)>,
    pub(super) every: bool,
}

/// One update, and what comes before it.
#[derive(Clone, Debug)]
pub struct Generation {
    pub(super) by: By,
    pub(super) near: Vec<Near>,
    pub(super) far: Far,
    pub(super) faults: Vec<Fault>,
}

/// Something that is done before the update. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Near {
    Open(u8),
    Close(u8),
    Make { kind: u8, len: u16, flags: u32 },
    Preserve { session: u8, token: u8, file: u8 },
    Unpreserve { session: u8, token: u8 },
    Change { file: u8, fill: u8 },
    Depend { file: u8, on: u8 },
    PrepareFile { session: u8, token: u8 },
    PrepareSession(u8),
    CancelFile { session: u8, token: u8 },
    CancelSession(u8),
    PrepareAndCancel,
    FreezeAndThaw,
    Seeded(u64),
}

/// What the far side does.
#[derive(Clone, Debug)]
pub(super) struct Far {
    /// Successors that come first and give up.
    pub(super) quitters: u8,
    /// Successors that open the same offer and try to commit after somebody else has.
    pub(super) rivals: u8,
    /// The order of everything, and which files are retrieved before the commit.
    pub(super) order: u64,
    /// Files that nobody takes and that are discarded.
    pub(super) left: u8,
    /// What else is unusual.
    pub(super) conduct: Vec<Conduct>,
    /// Bytes of the offer that are changed before anybody opens it.
    pub(super) tampered: Option<Tamper>,
}

/// What a far side may do besides taking over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    /// A guardian renews the offer between opening and committing.
    Renewed,
    /// Nobody commits while the predecessor waits.
    Silent,
    /// Says that it refused although it committed.
    Liar,
    /// Tries to commit before anything is restored.
    Hasty,
    /// A file is busy at first.
    Busy,
    /// Sessions are finished one by one.
    BySession,
}

/// A change of bytes on offer. Words are counted among those of the frame that are used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tamper {
    /// One bit.
    Flip { frame: u16, word: u16, bit: u8 },
    /// A word that is what it was before somebody wrote it: zero.
    Lost { frame: u16, word: u16 },
    /// A word that was written to another place too.
    Doubled { frame: u16, word: u16, to: u16 },
    /// A whole frame of another place.
    Swapped { frame: u16, with: u16 },
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Refuse(u16),
    RefuseEvery(Act),
    Panic(u16),
    Fail(u16),
    FailFrom(u16),
    FailEvery(Call, u16),
    DieAtCall(u16),
    DieBeforeStore(u16),
    DieAfterStore(u16),
    DieBeforeSwap(u8),
    DieAfterSwap(u8),
}

/// Calls, stores and questions of one generation with a handful of files: faults are planned a little beyond.
const CALLS: u16 = 420;
const STORES: u16 = 420;
const QUESTIONS: u16 = 60;

impl Plan {
    /// The plan of this seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let swarm = Swarm::of(&mut rng);
        let ways = [Fragmentation::Single, Fragmentation::Descending, Fragmentation::Random];
        let fragmentation = rng.choice(ways).filter(|_| swarm.has(Class::Fragmented)).unwrap_or_default();
        let wide = swarm.has(Class::Fragmented) && rng.u8(..4) == 0;
        let world = World { fragmentation, nodes: rng.u8(..4) == 0, wide, seed: rng.u64(..) };
        let count = 1 + usize::from(rng.u8(..4) == 0) + usize::from(rng.u8(..8) == 0);
        let speaks = (0..=count).map(|_| Speaks::some(&mut rng, swarm)).collect();
        let generations = (0..count).map(|_| Generation::some(&mut rng, swarm)).collect();
        Self { seed, world, speaks, generations }
    }

    /// How many faults and deeds it has: what shortening makes smaller.
    pub fn size(&self) -> usize {
        let parts = |generation: &Generation| generation.near.len() + generation.faults.len() + 1;
        self.generations.iter().map(parts).sum()
    }
}

impl World {
    pub(super) fn config(self) -> MachineConfig {
        let frames = FrameCount::new(if self.wide { 1 << 26 } else { 1024 }).unwrap_or(FrameCount::ONE);
        let config =
            MachineConfig::default().frames(frames).fragmentation(self.fragmentation).seed(self.seed);
        if self.nodes { config.node_starts(Pfn::new(40).into_iter().chain(Pfn::new(700))) } else { config }
    }
}

impl Speaks {
    fn some(rng: &mut Rng, swarm: Swarm) -> Self {
        if !swarm.has(Class::Versions) {
            return Self { note: (1, 2), log: Some((1, 2)), clock: Some((1, 2)), every: false };
        }
        let range = |rng: &mut Rng| {
            let oldest = rng.u16(1..=3);
            (oldest, rng.u16(oldest..=4))
        };
        Self {
            note: range(rng),
            log: (rng.u8(..6) > 0).then(|| range(rng)),
            clock: (rng.u8(..6) > 0).then(|| range(rng)),
            every: rng.bool(),
        }
    }

    pub(super) fn build(self) -> Build {
        let mut build = Build::empty().subsystem("vcpus", 1..=1);
        if let Some((oldest, newest)) = self.clock {
            build = build.subsystem("clock", oldest..=newest);
        }
        build = build.pool("pool", 1..=1).pool("ledger", 1..=1);
        build = build.file_on("note", self.note.0..=self.note.1, &["pool"]);
        if let Some((oldest, newest)) = self.log {
            build = build.file_on("log", oldest..=newest, &["pool", "ledger"]);
        }
        build
    }

    pub(super) fn policy(self) -> WritePolicy {
        if self.every { WritePolicy::every() } else { WritePolicy::newest() }
    }

    /// The versions of a kind of file, oldest and newest.
    pub(super) fn of_kind(self, kind: &str) -> Option<(u16, u16)> {
        if kind == "note" { Some(self.note) } else { self.log }
    }

    /// Whether a file that depends on others can be written: version 1 cannot say so.
    pub(super) fn says_dependencies(self, kind: &str) -> bool {
        self.of_kind(kind).is_some_and(|(oldest, newest)| if self.every { oldest > 1 } else { newest > 1 })
    }

    /// The version in which `reader` reads what this program wrote.
    pub(super) fn common(self, kind: &str, reader: Self) -> Option<u16> {
        Self::newest_common(self.of_kind(kind)?, reader.of_kind(kind)?, self.every)
    }

    /// The same of the subsystem.
    pub(super) fn common_clock(self, reader: Self) -> Option<u16> {
        Self::newest_common(self.clock?, reader.clock?, self.every)
    }

    fn newest_common(writes: (u16, u16), reads: (u16, u16), every: bool) -> Option<u16> {
        let oldest = if every { writes.0 } else { writes.1 };
        let newest = writes.1.min(reads.1);
        (oldest.max(reads.0) <= newest).then_some(newest)
    }
}

impl Generation {
    fn some(rng: &mut Rng, swarm: Swarm) -> Self {
        let by = if rng.bool() { By::Exec } else { By::Kexec };
        let files = rng.u8(1..=5);
        let mut near = vec![Near::Open(0)];
        if rng.bool() {
            near.push(Near::Open(1));
        }
        for file in 0..files {
            let flags = if swarm.has(Class::Mischief) && rng.u8(..3) == 0 { crate::NAUGHTY } else { 0 };
            let flags = flags | if rng.u8(..8) == 0 { crate::LATE } else { 0 };
            let len = match rng.u8(..8) {
                0 => 0,
                1 => rng.u16(4000..9000),
                _ => rng.u16(1..200),
            };
            near.push(Near::Make { kind: rng.u8(..), len, flags });
            near.push(Near::Preserve { session: rng.u8(..2), token: file, file });
        }
        for _ in 0..rng.usize(..6) {
            near.push(Near::some(rng, swarm));
        }
        let faults = if rng.u8(..16) == 0 { 0 } else { 1 + rng.usize(..swarm.most_faults()) };
        let faults = (0..faults).filter_map(|_| Fault::some(rng, swarm)).collect();
        Self { by, near, far: Far::some(rng, swarm), faults }
    }
}

impl Near {
    fn some(rng: &mut Rng, swarm: Swarm) -> Self {
        let (session, token, file) = (rng.u8(..3), rng.u8(..7), rng.u8(..8));
        if !swarm.has(Class::Tokens) {
            return match rng.u8(..4) {
                0 => Self::Change { file, fill: rng.u8(..) },
                1 => Self::Depend { file, on: rng.u8(..8) },
                2 => Self::PrepareFile { session, token },
                _ => Self::Seeded(rng.u64(..)),
            };
        }
        match rng.u8(..17) {
            0 => Self::Open(session),
            1 => Self::Close(session),
            2..5 => Self::Preserve { session, token, file },
            5 => Self::Unpreserve { session, token },
            6 | 7 => Self::Change { file, fill: rng.u8(..) },
            8 | 9 => Self::Depend { file, on: rng.u8(..8) },
            10 => Self::PrepareFile { session, token },
            11 => Self::PrepareSession(session),
            12 => Self::CancelFile { session, token },
            13 => Self::CancelSession(session),
            14 => Self::PrepareAndCancel,
            15 => Self::FreezeAndThaw,
            _ => Self::Seeded(rng.u64(..)),
        }
    }
}

impl Far {
    pub(super) fn does(&self, conduct: Conduct) -> bool {
        self.conduct.contains(&conduct)
    }

    fn some(rng: &mut Rng, swarm: Swarm) -> Self {
        let rivalry = swarm.has(Class::Rivals);
        let seldom = |rng: &mut Rng, one_in: u8| rng.u8(..one_in) == 0;
        let unusual = [Conduct::Renewed, Conduct::Silent, Conduct::Liar, Conduct::Hasty];
        let mut conduct: Vec<_> = unusual.into_iter().filter(|_| rivalry && seldom(rng, 4)).collect();
        conduct.extend([Conduct::Busy, Conduct::BySession].into_iter().filter(|_| seldom(rng, 5)));
        Self {
            quitters: if rivalry && seldom(rng, 3) { rng.u8(1..3) } else { 0 },
            rivals: if rivalry && seldom(rng, 2) { rng.u8(1..3) } else { 0 },
            order: rng.u64(..),
            left: if swarm.has(Class::Tokens) && seldom(rng, 3) { rng.u8(1..3) } else { 0 },
            conduct,
            tampered: swarm.has(Class::Tampered).then(|| Tamper::some(rng)),
        }
    }
}

impl Tamper {
    fn some(rng: &mut Rng) -> Self {
        let word = |rng: &mut Rng| rng.u16(..512);
        let (frame, with) = (rng.u16(..), rng.u16(..));
        match rng.u8(..5) {
            0 | 4 => Self::Flip { frame, word: word(rng), bit: rng.u8(..64) },
            1 => Self::Lost { frame, word: word(rng) },
            2 => Self::Doubled { frame, word: word(rng), to: word(rng) },
            _ => Self::Swapped { frame, with },
        }
    }
}

impl Fault {
    fn some(rng: &mut Rng, swarm: Swarm) -> Option<Self> {
        let acts = [Act::Preserve, Act::Survey, Act::Prepare, Act::Freeze, Act::Restore, Act::Retrieve];
        let calls = [Call::Alloc, Call::Preserve, Call::TakeNode, Call::Write, Call::Read, Call::Publish];
        let (call, store) = (rng.u16(..CALLS), rng.u16(..STORES));
        let fault = match swarm.pick_fault(rng)? {
            Class::RefusedOnce => Self::Refuse(rng.u16(..QUESTIONS)),
            Class::RefusedForGood => Self::RefuseEvery(rng.choice(acts)?),
            Class::Panicked => Self::Panic(rng.u16(..QUESTIONS)),
            Class::FailedOnce => Self::Fail(call),
            Class::FailedForGood if rng.bool() => Self::FailFrom(call),
            Class::FailedForGood => Self::FailEvery(rng.choice(calls)?, rng.u16(..60)),
            Class::DiedAtCall => Self::DieAtCall(call),
            Class::DiedAtStore if rng.bool() => Self::DieBeforeStore(store),
            Class::DiedAtStore => Self::DieAfterStore(store),
            Class::DiedAtSwap if rng.bool() => Self::DieBeforeSwap(rng.u8(..4)),
            Class::DiedAtSwap => Self::DieAfterSwap(rng.u8(..4)),
            _ => return None,
        };
        Some(fault)
    }

    /// Its class.
    pub(super) fn class(self) -> Class {
        match self {
            Self::Refuse(_) => Class::RefusedOnce,
            Self::RefuseEvery(_) => Class::RefusedForGood,
            Self::Panic(_) => Class::Panicked,
            Self::Fail(_) => Class::FailedOnce,
            Self::FailFrom(_) | Self::FailEvery(..) => Class::FailedForGood,
            Self::DieAtCall(_) => Class::DiedAtCall,
            Self::DieBeforeStore(_) | Self::DieAfterStore(_) => Class::DiedAtStore,
            Self::DieBeforeSwap(_) | Self::DieAfterSwap(_) => Class::DiedAtSwap,
        }
    }
}

impl Plan {
    /// The classes that it makes use of, once for each fault or deed.
    pub fn classes(&self) -> Vec<Class> {
        let mut classes = Vec::new();
        if self.world.fragmentation != Fragmentation::Contiguous {
            classes.push(Class::Fragmented);
        }
        if self.speaks.windows(2).any(|pair| matches!(pair, [one, other] if one != other)) {
            classes.push(Class::Versions);
        }
        for Generation { near, far, faults, .. } in &self.generations {
            classes.extend(faults.iter().map(|fault| fault.class()));
            let naughty =
                |deed: &Near| matches!(deed, Near::Make { flags, .. } if flags & crate::NAUGHTY != 0);
            classes.extend(near.iter().any(naughty).then_some(Class::Mischief));
            classes.extend(far.tampered.map(|_| Class::Tampered));
            let unusual =
                |deed: &Near| !matches!(deed, Near::Make { .. } | Near::Preserve { .. } | Near::Open(_));
            classes.extend((far.left > 0 || near.iter().any(unusual)).then_some(Class::Tokens));
            let calm = |conduct: &Conduct| matches!(conduct, Conduct::Busy | Conduct::BySession);
            let rivalry = far.quitters + far.rivals > 0 || !far.conduct.iter().all(calm);
            classes.extend(rivalry.then_some(Class::Rivals));
        }
        classes
    }
}
