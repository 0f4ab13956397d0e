//! The machine itself, from outside: power, reboots, parties, faults, and what was noticed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::DerefMut;

use super::bank::Bank;
use super::config::{Layout, MachineConfig, NumaNode};
use super::faults::{Call, Counters, FaultPlan};
use super::files::Segments;
use super::lock::Mutex;
use super::oracle::Violation;
use super::ram::{Ram, pieces};
use super::state::{Image, Party, Role, State};
use super::view::SimKho;
use crate::ownership::{self, Holding, OwnershipError};
use crate::ranges::RangeSet;
use crate::tracker::Tracker;
use crate::{ByteLen, FrameRange, Generation, KhoError, Owned, Pfn, PhysAddr, Root, Word};

/// A handle on a simulated machine. Clones name the same machine.
#[derive(Clone)]
pub struct Machine {
    shared: Arc<Shared>,
}

struct Shared {
    layout: Arc<Layout>,
    state: Mutex<State>,
}

impl Machine {
    /// A machine that was just switched on.
    ///
    /// # Panics
    ///
    /// If the parts do not fit: scratch outside the memory, not ascending or not disjoint, or a NUMA node without
    /// frames.
    pub fn new(config: MachineConfig) -> Self {
        Self::with(Arc::new(Layout::of(config)), State::new())
    }

    fn with(layout: Arc<Layout>, state: State) -> Self {
        Self { shared: Arc::new(Shared { layout, state: Mutex::new(state) }) }
    }

    /// A machine of its own that is at this moment like this one: the same offer stands, with the same numbers of
    /// calls and stores. Views belong to the machine that gave them. How a sweep starts many times from one offer.
    /// Files are not forked: segments of both refer to the same ones.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.lock().clone();
        Self::with(Arc::clone(&self.shared.layout), state)
    }

    /// A program on fresh memory. It owns nothing before [`ownership::found`].
    ///
    /// # Errors
    ///
    /// [`KhoError::OutOfFrames`], or an injected one: the tracker takes its first frame.
    pub fn fresh(&self) -> Result<SimKho, KhoError> {
        let (party, boot) = {
            let mut state = self.lock();
            (state.join(Role::Founder), state.boot)
        };
        let mut bank = Bank::new(self.clone(), party, Ram::blank(boot));
        let tracker = Tracker::new(&mut bank)?;
        Ok(SimKho::founder(bank, tracker))
    }

    /// A program on fresh memory that owns it: [`fresh`](Self::fresh), then [`ownership::found`].
    ///
    /// # Errors
    ///
    /// Of both.
    pub fn found(&self) -> Result<(SimKho, Owned), OwnershipError> {
        let mut kho = self.fresh()?;
        let owned = ownership::found(&mut kho)?;
        Ok((kho, owned))
    }

    /// A program that may adopt what is on offer. There may be several; the first commit wins.
    ///
    /// # Errors
    ///
    /// [`KhoError::NotOffered`] if there is nothing to adopt; [`KhoError::Tracker`], [`KhoError::InScratch`] or
    /// [`KhoError::NotAllocated`] if the set of preserved frames cannot be believed; an injected one.
    pub fn successor(&self) -> Result<SimKho, KhoError> {
        let (party, image) = {
            let mut state = self.lock();
            let party = state.join(Role::Adopter);
            state.call(party, Call::Open)?;
            let image = state.image.clone().ok_or(KhoError::NotOffered { word: state.word })?;
            (party, image)
        };
        let Image { ram, segments, tracker, root, generation, boot: _ } = image;
        let mut bank = Bank::new(self.clone(), party, ram);
        let tracker = Tracker::open(&bank, tracker, self.layout().span)?;
        let (runs, nodes) = (tracker.runs(&bank)?, tracker.nodes(&bank)?);
        bank.frames.inherit(self.layout(), &runs, &nodes)?;
        Ok(SimKho::adopter(bank, tracker, &runs, segments, (root, generation)))
    }

    /// A party that can move the word but has no memory: it renews an offer with
    /// [`ownership::reoffer`], and is refused everything that changes memory.
    pub fn guardian(&self) -> SimKho {
        let (party, boot) = {
            let mut state = self.lock();
            (state.join(Role::Guardian), state.boot)
        };
        SimKho::guardian(Bank::new(self.clone(), party, Ram::blank(boot)))
    }

    /// Boots the next kernel. All parties die. If an offer stands that this kernel's programs made, it stands after
    /// the reboot, and every frame that is neither preserved nor part of the tracker is poisoned; otherwise all are,
    /// and the machine is as new. No file survives.
    pub fn kexec(&self) {
        let mut state = self.lock();
        let boot = state.boot;
        let offered = state.word.holding() == Holding::Offered;
        let image = state.image.take().filter(|image| offered && image.boot == boot);
        let image = image.map(|image| Image {
            ram: self.survives(&image, boot + 1),
            segments: Segments::default(),
            ..image
        });
        state.reboot(image);
    }

    /// Switches the machine off and on: nothing survives.
    pub fn power_cycle(&self) {
        self.lock().reboot(None);
    }

    /// A new kernel keeps what the tracker says and no more: nothing, if it cannot be read.
    fn survives(&self, image: &Image, boot: u64) -> Ram {
        let bank = Bank::new(self.clone(), Party::NOBODY, image.ram.clone());
        let kept = || {
            let tracker = Tracker::open(&bank, image.tracker, self.layout().span)?;
            let nodes = tracker.nodes(&bank)?.into_iter().map(Pfn::as_range);
            Ok::<RangeSet, KhoError>(tracker.runs(&bank)?.into_iter().chain(nodes).collect())
        };
        image.ram.after_boot(&kept().unwrap_or_default(), boot)
    }

    /// Kills a party, as SIGKILL does: from now on nothing that it does has an effect.
    pub fn kill(&self, party: Party) {
        self.lock().kill(party);
    }

    /// Whether a party lives.
    pub fn is_alive(&self, party: Party) -> bool {
        self.lock().is_alive(party)
    }

    /// The ownership word, without a call that is counted.
    pub fn word(&self) -> Word {
        self.lock().word
    }

    /// How many handovers were committed on this memory.
    pub fn generation(&self) -> Generation {
        self.lock().generation
    }

    /// How many kernels were booted before this one.
    pub fn boots(&self) -> u64 {
        self.lock().boot
    }

    /// All frames of the machine.
    pub fn span(&self) -> FrameRange {
        self.layout().span
    }

    /// The NUMA node of a frame; `None` outside the machine.
    pub fn node_of(&self, pfn: Pfn) -> Option<NumaNode> {
        self.layout().node_of(pfn)
    }

    /// Follows this plan from now on, in place of the one before.
    pub fn inject(&self, plan: FaultPlan) {
        self.lock().faults.follow(plan);
    }

    /// How much has happened.
    pub fn counters(&self) -> Counters {
        self.lock().faults.counters()
    }

    /// How many calls of this name began.
    pub fn calls_of(&self, call: Call) -> u64 {
        self.lock().faults.calls_of(call)
    }

    /// Begins to write down who makes which call, and forgets what was written down.
    pub fn begin_trace(&self) {
        self.lock().trace = Some(Vec::new());
    }

    /// Who made which call since [`begin_trace`](Self::begin_trace).
    pub fn trace(&self) -> Vec<(Party, Call)> {
        self.lock().trace.clone().unwrap_or_default()
    }

    /// What was noticed that nobody should have tried, in order.
    pub fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// Enters the guest's vCPU: whether `owned` still gives the right to. If not, that is a violation.
    pub fn enter_guest(&self, owned: &Owned) -> bool {
        let mut state = self.lock();
        let (shown, word) = (owned.word(), state.word);
        if shown != word {
            state.violations.push(Violation::Guest { shown, word });
        }
        shown == word
    }

    /// Changes the bytes of the offer that stands, as an enemy or a broken memory bank would. Parties that have opened
    /// the offer already do not see it. Whether there was such an offer, and all bytes lie in the machine.
    pub fn tamper(&self, at: PhysAddr, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        let Some(image) = &mut state.image else { return false };
        let last = bytes.len().checked_sub(1).map(|beyond| at.checked_add(ByteLen::of(beyond)));
        let Some(last) = last else { return true };
        let inside = |addr: PhysAddr| self.layout().span.contains(addr.frame());
        if !(inside(at) && last.is_some_and(inside)) {
            return false;
        }
        for (at, piece) in pieces(at, bytes) {
            image.ram.store(at, piece);
        }
        true
    }

    /// Changes the root and the tracker's address of the offer that stands. Whether there was one.
    pub fn tamper_names(&self, root: Option<Root>, tracker: Option<PhysAddr>) -> bool {
        let mut state = self.lock();
        let Some(image) = &mut state.image else { return false };
        image.root = root.or(image.root);
        image.tracker = tracker.unwrap_or(image.tracker);
        true
    }

    pub(super) fn lock(&self) -> impl DerefMut<Target = State> {
        self.shared.state.lock()
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.shared.layout
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new(MachineConfig::default())
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Machine")
            .field("span", &self.layout().span)
            .field("boot", &state.boot)
            .field("generation", &state.generation)
            .field("word", &state.word)
            .finish_non_exhaustive()
    }
}
