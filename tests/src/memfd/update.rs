//! One update of memfds, by reference or by copy.

use std::rc::Rc;

use luo_core::{FileHandler, Plan, Registry};
use luo_memfd::{Attributes, Linux, Memfd, Memfds, Port};

use super::ProcessGround;
use crate::journey::{Came, Cost, Journey, Stations};

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
    journey: Journey,
    handler: Rc<H>,
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

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Reference, Self::Copy];
}

/// An update with handlers as they are by default.
pub fn update(way: Way) -> MemfdUpdate<impl Fn() -> Memfds<Linux>> {
    MemfdUpdate::with(way, || Memfds::new(Linux::new()))
}

impl<H: Fn() -> F + 'static, F: FileHandler<File = Memfd>> MemfdUpdate<H> {
    /// An update with handlers of this make, on both sides.
    pub fn with(way: Way, handler: H) -> Self {
        let ground = match way {
            Way::Reference => ProcessGround::new(),
            Way::Copy => ProcessGround::new().refusing("memfds stay"),
        };
        Self::over(ground, Rc::new(handler))
    }

    /// With this memory and carrier instead.
    #[must_use]
    pub fn on(self, ground: ProcessGround) -> Self {
        Self::over(ground, self.handler)
    }

    fn over(ground: ProcessGround, handler: Rc<H>) -> Self {
        let make = Rc::clone(&handler);
        let registry = move || {
            let mut registry = Registry::new();
            registry.handler(make()).expect("one handler of memfds");
            registry
        };
        Self { journey: Journey::new(ground, registry), handler }
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
        let mut before_the_commit = Vec::new();
        let look = |file: &Memfd| Linux::new().look(file).expect("it is open");
        let stations = Stations {
            meanwhile: Box::new(meanwhile),
            retrieved: Box::new(|files: &[Memfd]| before_the_commit = files.iter().map(look).collect()),
            committed: Box::new(then),
            ..Stations::default()
        };
        let Came { files, plan, cost } = self.journey.cross(files, stations)?;
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
