//! One update within this process, for scenarios: files in, files out.

use std::fmt::Display;
use std::time::{Duration, Instant};

use luo_core::conformance::Ground;
use luo_core::{FileHandler, Luo, Plan, Registry, SessionName, Token};
use luo_kho::carrier::CarrierError;
use luo_memfd::{Attributes, BLOCK_BYTES, Linux, Memfd, Memfds, Port};
use rustix::fs::fstat;

use super::ProcessGround;
use crate::session;

/// How files cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The carrier takes them.
    Reference,
    /// It cannot.
    Copy,
}

/// An update of a program that holds memfds.
#[derive(Debug)]
pub struct MemfdUpdate<H> {
    ground: ProcessGround,
    handler: H,
}

/// What came out of it.
#[derive(Debug)]
pub struct Crossed {
    /// The files, in the order in which they went in.
    pub files: Vec<Memfd>,
    /// What the plan had said.
    pub plan: Plan,
    /// What the successor's handler says of the files while the old program could still take them back.
    pub before_the_commit: Vec<Attributes>,
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
    /// How long it was from the offer to the end of finish.
    pub hand_over: Duration,
}

fn said(error: impl Display) -> String {
    error.to_string()
}

fn refuse(error: impl Display) -> CarrierError {
    CarrierError::Refused { reason: error.to_string() }
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Reference, Self::Copy];
}

/// An update with handlers as they are by default.
pub fn update(way: Way) -> MemfdUpdate<impl Fn() -> Memfds<Linux>> {
    MemfdUpdate::with(way, || Memfds::new(Linux::new()))
}

impl<H: Fn() -> F, F: FileHandler<File = Memfd>> MemfdUpdate<H> {
    /// An update with handlers of this make, on both sides.
    pub fn with(way: Way, handler: H) -> Self {
        let ground = match way {
            Way::Reference => ProcessGround::new(),
            Way::Copy => ProcessGround::new().refusing("memfds stay"),
        };
        Self { ground, handler }
    }

    /// With this memory and carrier instead.
    #[must_use]
    pub fn on(mut self, ground: ProcessGround) -> Self {
        self.ground = ground;
        self
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::new();
        registry.handler((self.handler)()).expect("one handler of memfds");
        registry
    }

    /// Takes files across. `meanwhile` happens between prepare and freeze.
    ///
    /// # Errors
    ///
    /// What stood in the way, in words.
    pub fn cross(&self, files: &[Memfd], meanwhile: impl FnOnce()) -> Result<Crossed, String> {
        self.cross_and(files, meanwhile, |_| ())
    }

    /// As [`cross`](Self::cross); what the new user does between commit and finish is `then`.
    ///
    /// # Errors
    ///
    /// As [`cross`](Self::cross).
    pub fn cross_and(
        &self,
        files: &[Memfd],
        meanwhile: impl FnOnce(),
        then: impl Fn(&[Memfd]),
    ) -> Result<Crossed, String> {
        let vm: SessionName = session("vm");
        let tokens = || (0..).map(Token).zip(files);
        let memory = self.ground.found().map_err(said)?;
        let (mut luo, owned) = Luo::found(memory, self.registry()).map_err(|stuck| said(stuck.error))?;
        luo.open_session(vm).map_err(said)?;
        for (token, file) in tokens() {
            luo.preserve(vm, token, file.clone()).map_err(|stuck| said(stuck.error))?;
        }
        let mut arrived = None;
        let mut carrier = self.ground.carrier(Box::new(|| {
            let adopted = Luo::adopt(self.ground.successor()?, self.registry());
            let mut adopted = adopted.map_err(|stuck| refuse(stuck.error))?;
            let found = tokens().map(|(token, _)| adopted.retrieve::<Memfd>(vm, token).map_err(refuse));
            let found: Vec<_> = found.collect::<Result<_, _>>()?;
            let looks = found.iter().map(|file| Linux::new().look(file).map_err(refuse));
            let looks: Vec<_> = looks.collect::<Result<_, _>>()?;
            let (updated, _owned) = adopted.commit().map_err(|stuck| refuse(stuck.error))?;
            then(&found);
            updated.finish().map_err(|stuck| refuse(stuck.error))?;
            arrived = Some((found, looks));
            Ok(())
        }));
        let plan = luo.plan(&[&*carrier], None);
        let clock = Instant::now();
        let prepared = luo.prepare(&mut *carrier).map_err(said)?;
        let prepared_after = clock.elapsed();
        meanwhile();
        let frozen = prepared.freeze(owned).map_err(|stuck| said(stuck.error))?;
        let frozen_after = clock.elapsed();
        let arena =
            fstat(frozen.luo().memory().lend().arena).map_err(said)?.st_blocks.unsigned_abs() * BLOCK_BYTES;
        let _departed = frozen.hand_over().map_err(|stuck| said(stuck.error))?;
        let handed_over_after = clock.elapsed();
        drop(carrier);
        let (files, before_the_commit) = arrived.ok_or("nobody took over")?;
        let cost = Cost {
            arena,
            prepare: prepared_after,
            freeze: frozen_after.saturating_sub(prepared_after),
            hand_over: handed_over_after.saturating_sub(frozen_after),
        };
        Ok(Crossed { files, plan, before_the_commit, cost })
    }

    /// Takes one file across.
    ///
    /// # Errors
    ///
    /// As [`cross`](Self::cross).
    pub fn one(&self, file: &Memfd, meanwhile: impl FnOnce()) -> Result<Memfd, String> {
        let crossed = self.cross(std::slice::from_ref(file), meanwhile)?;
        crossed.files.into_iter().next().ok_or_else(|| "no file arrived".to_owned())
    }
}
