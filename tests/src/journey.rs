//! One update within this process, for scenarios: files in, files out, through memory of descriptors.

use std::fmt;
use std::fmt::Display;
use std::time::{Duration, Instant};

use luo_core::conformance::Ground;
use luo_core::{Luo, Plan, Registry, SessionName, Token};
use luo_kho::carrier::CarrierError;
use luo_memfd::BLOCK_BYTES;
use rustix::fs::fstat;

use crate::memfd::ProcessGround;
use crate::session;

/// An update of a program whose build knows these handlers, on both sides.
pub struct Journey {
    ground: ProcessGround,
    registry: Box<dyn Fn() -> Registry>,
}

/// What came out of it.
#[derive(Debug)]
pub struct Came<F> {
    /// The files, in the order in which they went in.
    pub files: Vec<F>,
    /// What the plan had said.
    pub plan: Plan,
    /// What it took.
    pub cost: Cost,
}

/// What an update took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Bytes of memory that the arena had when everything was frozen.
    pub arena: u64,
    /// How long prepare lasted.
    pub prepare: Duration,
    /// How long freeze lasted.
    pub freeze: Duration,
    /// How long it was from the offer until the successor had its files: with freeze, what lies in the pause.
    pub retrieve: Duration,
    /// How long it was from the offer to the end of finish.
    pub hand_over: Duration,
}

/// What happens at a moment at which the successor has files.
type WithFiles<'s, F> = Box<dyn FnMut(&[F]) + 's>;

/// What happens on the way.
pub struct Stations<'s, F> {
    /// Between prepare and freeze.
    pub meanwhile: Box<dyn FnOnce() + 's>,
    /// Between freeze and the offer.
    pub frozen: Box<dyn FnOnce() + 's>,
    /// When the successor has its files, and the old program could still take them back.
    pub retrieved: WithFiles<'s, F>,
    /// Between commit and finish.
    pub committed: WithFiles<'s, F>,
}

fn said(error: impl Display) -> String {
    error.to_string()
}

fn refuse(error: impl Display) -> CarrierError {
    CarrierError::Refused { reason: error.to_string() }
}

impl<F> Default for Stations<'_, F> {
    /// Nothing.
    fn default() -> Self {
        Self {
            meanwhile: Box::new(|| ()),
            frozen: Box::new(|| ()),
            retrieved: Box::new(|_| ()),
            committed: Box::new(|_| ()),
        }
    }
}

impl Journey {
    /// Over this ground.
    pub fn new(ground: ProcessGround, registry: impl Fn() -> Registry + 'static) -> Self {
        Self { ground, registry: Box::new(registry) }
    }

    /// Takes files across.
    ///
    /// # Errors
    ///
    /// What stood in the way, in words. Everything was undone.
    pub fn cross<F: Clone + Send + Sync + 'static>(
        &self,
        files: &[F],
        on_the_way: Stations<'_, F>,
    ) -> Result<Came<F>, String> {
        let Stations { meanwhile, frozen: between, mut retrieved, mut committed } = on_the_way;
        let vm: SessionName = session("vm");
        let tokens = || (0..).map(Token).zip(files);
        let memory = self.ground.found().map_err(said)?;
        let (mut luo, owned) = Luo::found(memory, (self.registry)()).map_err(|stuck| said(stuck.error))?;
        luo.open_session(vm).map_err(said)?;
        for (token, file) in tokens() {
            luo.preserve(vm, token, file.clone()).map_err(|stuck| said(stuck.error))?;
        }
        let (mut arrived, mut had) = (None, None);
        let mut carrier = self.ground.carrier(Box::new(|| {
            let adopted = Luo::adopt(self.ground.successor()?, (self.registry)());
            let mut adopted = adopted.map_err(|stuck| refuse(stuck.error))?;
            let found = tokens().map(|(token, _)| adopted.retrieve::<F>(vm, token).map_err(refuse));
            let found: Vec<_> = found.collect::<Result<_, _>>()?;
            had = Some(Instant::now());
            retrieved(&found);
            let (updated, _owned) = adopted.commit().map_err(|stuck| refuse(stuck.error))?;
            committed(&found);
            updated.finish().map_err(|stuck| refuse(stuck.error))?;
            arrived = Some(found);
            Ok(())
        }));
        let plan = luo.plan(&[&*carrier], None);
        let clock = Instant::now();
        let prepared = luo.prepare(&mut *carrier).map_err(said)?;
        let prepared_after = clock.elapsed();
        meanwhile();
        let before_freeze = clock.elapsed();
        let frozen = prepared.freeze(owned).map_err(|stuck| said(stuck.error))?;
        let frozen_after = clock.elapsed();
        let arena =
            fstat(frozen.luo().memory().lend().arena).map_err(said)?.st_blocks.unsigned_abs() * BLOCK_BYTES;
        between();
        let before_offer = clock.elapsed();
        let offered = Instant::now();
        let _departed = frozen.hand_over().map_err(|stuck| said(stuck.error))?;
        let handed_over_after = clock.elapsed();
        drop(carrier);
        let cost = Cost {
            arena,
            prepare: prepared_after,
            freeze: frozen_after.saturating_sub(before_freeze),
            retrieve: had.map_or(Duration::ZERO, |had| had.saturating_duration_since(offered)),
            hand_over: handed_over_after.saturating_sub(before_offer),
        };
        Ok(Came { files: arrived.ok_or("nobody took over")?, plan, cost })
    }
}

impl fmt::Debug for Journey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journey").field("ground", &self.ground).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Stations<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stations").finish_non_exhaustive()
    }
}
