//! A build: a program as it was compiled, with what it reads and writes of every kind.

use core::ops::RangeInclusive;

use luo_core::{Kind, Manifest, Registry, SessionName, Token, Version};

use crate::journal::{Journal, Pen, ProgramId};
use crate::keeper::{Keeper, Speech};
use crate::pool::PoolMaker;
use crate::vcpus::{VcpuSaver, Vcpus};

/// The kind of file that scenarios use where they do not say otherwise.
pub const NOTE: &str = "note";
/// The shared object of [`Build::standard`].
pub const POOL: &str = "pool";
/// The subsystem of [`Build::standard`].
pub const VCPUS: &str = "vcpus";

/// What a program reads and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    pools: Vec<(Speech, Option<(SessionName, Token)>)>,
    files: Vec<(Speech, Vec<Kind>)>,
    subsystems: Vec<Speech>,
    features: Vec<Kind>,
}

impl Build {
    /// Knows nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Notes in versions 1 and 2, and nothing else.
    pub fn plain() -> Self {
        Self::empty().file(NOTE, 1..=2)
    }

    /// vCPUs, a pool, and notes that lean on it.
    pub fn standard() -> Self {
        Self::empty().subsystem(VCPUS, 1..=1).pool(POOL, 1..=1).file_on(NOTE, 1..=2, &[POOL])
    }

    /// Reads and writes these versions of a kind of file.
    #[must_use]
    pub fn file(self, kind: &str, versions: RangeInclusive<u16>) -> Self {
        self.file_on(kind, versions, &[])
    }

    /// As [`file`](Self::file), of files that lean on shared objects.
    #[must_use]
    pub fn file_on(mut self, kind: &str, versions: RangeInclusive<u16>, pools: &[&str]) -> Self {
        let pools = pools.iter().map(|pool| Kind::new(pool).expect("a test names its kinds well"));
        self.files.push((Speech::new(kind, versions), pools.collect()));
        self
    }

    /// As [`file`](Self::file), with other versions written than read.
    #[must_use]
    pub fn file_writing(mut self, kind: &str, reads: RangeInclusive<u16>, writes: &[u16]) -> Self {
        let writes = writes.iter().copied().map(Version).collect();
        self.files.push((Speech { writes, ..Speech::new(kind, reads) }, Vec::new()));
        self
    }

    /// Reads and writes these versions of a shared object.
    #[must_use]
    pub fn pool(mut self, kind: &str, versions: RangeInclusive<u16>) -> Self {
        self.pools.push((Speech::new(kind, versions), None));
        self
    }

    /// As [`pool`](Self::pool), of one that asks for a file before it is made again.
    #[must_use]
    pub fn pool_asking(
        mut self,
        kind: &str,
        versions: RangeInclusive<u16>,
        session: SessionName,
        token: u64,
    ) -> Self {
        self.pools.push((Speech::new(kind, versions), Some((session, Token(token)))));
        self
    }

    /// Reads and writes these versions of a subsystem.
    #[must_use]
    pub fn subsystem(mut self, name: &str, versions: RangeInclusive<u16>) -> Self {
        self.subsystems.push(Speech::new(name, versions));
        self
    }

    /// Has an ability that is no version.
    #[must_use]
    pub fn feature(mut self, name: &str) -> Self {
        self.features.push(Kind::new(name).expect("a test names its features well"));
        self
    }

    /// What the build says of itself.
    pub fn manifest(&self) -> Manifest {
        self.registry(&Pen::new(Journal::default(), ProgramId(0))).0.manifest()
    }

    /// The participants of one program of this build, and the live vCPUs of each subsystem.
    ///
    /// # Panics
    ///
    /// If the test has put the build together wrongly.
    pub fn registry(&self, pen: &Pen) -> (Registry, Vec<Vcpus>) {
        let good = "a test puts its builds together well";
        let mut registry = Registry::new();
        let mut vcpus = Vec::new();
        for (speech, asks) in &self.pools {
            registry.shared(PoolMaker::new(speech.clone(), *asks, pen.clone())).expect(good);
        }
        for (speech, pools) in &self.files {
            registry.handler(Keeper::new(speech.clone(), pools.clone(), pen.clone())).expect(good);
        }
        for speech in &self.subsystems {
            let live = Vcpus::default();
            registry.subsystem(VcpuSaver::new(speech.clone(), live.clone(), pen.clone())).expect(good);
            vcpus.push(live);
        }
        for feature in &self.features {
            registry.feature(*feature);
        }
        (registry, vcpus)
    }
}
