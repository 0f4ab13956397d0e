//! Programs on either side of an update, with the few calls that most scenarios need.
//!
//! - A [`Program`] runs the guest and may be updated.
//! - What [`Arrived`] has opened the offer and may take it over.
//! - A [`Successor`] has taken over and is not finished.

use luo_core::{
    Adopted, Event, FinishError, Irrevocable, Luo, PhaseError, SessionName, State, Stuck, Token, Updated,
};
use luo_kho::Owned;
use luo_kho::carrier::Carrier;
use luo_kho::sim::{Party, SimKho};

use crate::build::Build;
use crate::file::SimFile;
use crate::host::{By, Host, assert_no_frames, carrier, session};
use crate::journal::{Act, ProgramId, Who};
use crate::vcpus::Vcpus;

/// A program that runs the guest.
#[derive(Debug)]
pub struct Program<'h> {
    /// Where it runs.
    pub host: &'h Host,
    /// Its number in the journal.
    pub id: ProgramId,
    /// Its number on the machine.
    pub party: Party,
    /// Its orchestrator.
    pub luo: Luo<SimKho>,
    /// Its subsystems' live state, in registration order.
    pub vcpus: Vec<Vcpus>,
}

/// A program that has opened what is on offer.
#[derive(Debug)]
pub struct Arrived<'h> {
    /// Where it runs.
    pub host: &'h Host,
    /// Its number in the journal.
    pub id: ProgramId,
    /// Its number on the machine.
    pub party: Party,
    /// What it has opened.
    pub adopted: Adopted<SimKho>,
    /// Its subsystems' live state, in registration order.
    pub vcpus: Vec<Vcpus>,
}

/// A program that has taken over and runs the guest.
#[derive(Debug)]
pub struct Successor<'h> {
    /// Where it runs.
    pub host: &'h Host,
    /// Its number in the journal.
    pub id: ProgramId,
    /// Its number on the machine.
    pub party: Party,
    /// What it has taken over.
    pub updated: Updated<SimKho>,
    /// Its subsystems' live state, in registration order.
    pub vcpus: Vec<Vcpus>,
}

impl<'h> Program<'h> {
    pub(crate) fn new(
        host: &'h Host,
        id: ProgramId,
        party: Party,
        luo: Luo<SimKho>,
        vcpus: Vec<Vcpus>,
    ) -> Self {
        Self { host, id, party, luo, vcpus }
    }

    /// Preserves a file, in a session that is opened if need be.
    pub fn preserve(&mut self, name: &str, token: u64, file: &SimFile) {
        if !self.luo.sessions().any(|open| open == session(name)) {
            self.luo.open_session(session(name)).expect("the name is free");
        }
        self.luo.preserve(session(name), Token(token), file.clone()).expect("nothing was told to fail");
    }

    /// Takes the guest out of its vCPUs: the right to run it.
    pub fn stop(&self) -> Owned {
        self.host.guest.leave(self.party)
    }

    /// Enters the guest.
    pub fn run(&self, owned: Owned) {
        self.host.enter(self.party, owned, &self.vcpus);
    }

    /// The whole way to a successor of this build.
    pub fn update(self, by: By, build: &Build) -> Successor<'h> {
        let Self { host, mut luo, party, .. } = self;
        let mut arrived = None;
        let mut carrier = carrier(by, |_| host.arrive(build, &mut arrived));
        let prepared = luo.prepare(&mut *carrier).expect("nothing was told to fail");
        let frozen = prepared.freeze(host.guest.leave(party)).expect("nothing was told to fail");
        let _departed = frozen.hand_over().expect("nothing was told to fail");
        drop(carrier);
        arrived.expect("the word has moved, so somebody is there")
    }

    /// Prepares, freezes and offers with a carrier that brings nobody, and then dies with the offer standing.
    ///
    /// What a successor makes of it can then be tried many times, on forks of the host.
    pub fn die_offering(self) {
        let Self { host, mut luo, party, .. } = self;
        let mut carrier = carrier(By::Exec, |machine| {
            machine.kill(party);
            Ok(())
        });
        let prepared = luo.prepare(&mut *carrier).expect("nothing was told to fail");
        let frozen = prepared.freeze(host.guest.leave(party)).expect("nothing was told to fail");
        let stuck = frozen.hand_over().expect_err("the dead do not learn whether they departed");
        drop(stuck);
    }

    /// Prepares and cancels again.
    pub fn prepare_and_cancel(&mut self, carrier: &mut dyn Carrier<SimKho>) {
        self.luo.prepare(carrier).expect("nothing was told to fail").cancel();
    }

    /// Panics unless nothing is left of any update.
    pub fn assert_clean(&self) {
        assert_eq!(self.luo.state(), State::Normal);
        assert_no_frames(&self.luo.memory().census().expect("the tracker is whole"));
        self.host.journal.check_settled(self.id);
        self.host.check();
    }

    /// Every event from now on.
    pub fn events(&mut self) -> crossbeam_channel::Receiver<Event> {
        self.luo.subscribe()
    }
}

impl<'h> Arrived<'h> {
    pub(crate) fn new(
        host: &'h Host,
        id: ProgramId,
        party: Party,
        adopted: Adopted<SimKho>,
        vcpus: Vec<Vcpus>,
    ) -> Self {
        Self { host, id, party, adopted, vcpus }
    }

    /// Restores the subsystems, commits, and enters the guest.
    ///
    /// # Errors
    ///
    /// Those of [`Adopted::restore`] and [`Adopted::commit`].
    pub fn take_over(mut self) -> Result<Successor<'h>, Box<PhaseError>> {
        self.adopted.restore()?;
        self.commit().map_err(|stuck| stuck.error)
    }

    /// Commits, and enters the guest.
    ///
    /// # Errors
    ///
    /// Those of [`Adopted::commit`].
    pub fn commit(self) -> Result<Successor<'h>, Stuck<Self, Box<PhaseError>>> {
        let Self { host, id, party, adopted, vcpus } = self;
        match adopted.commit() {
            Ok((updated, owned)) => {
                host.enter(party, owned, &vcpus);
                Ok(Successor { host, id, party, updated, vcpus })
            }
            Err(Stuck { kept: adopted, error }) => {
                Err(Stuck { kept: Self { host, id, party, adopted, vcpus }, error })
            }
        }
    }

    /// Retrieves a file.
    ///
    /// # Errors
    ///
    /// Those of [`Adopted::retrieve`].
    pub fn retrieve(&mut self, name: &str, token: u64) -> Result<SimFile, luo_core::RetrieveError> {
        self.adopted.retrieve(session(name), Token(token))
    }
}

impl<'h> Successor<'h> {
    /// Retrieves a file.
    ///
    /// # Errors
    ///
    /// Those of [`Updated::retrieve`].
    pub fn retrieve(&mut self, name: &str, token: u64) -> Result<SimFile, luo_core::RetrieveError> {
        self.updated.retrieve(session(name), Token(token))
    }

    /// Retrieves every file that nobody took yet.
    pub fn retrieve_all(&mut self) -> Vec<SimFile> {
        let all = self.updated.retrieve_all::<SimFile>().into_iter();
        all.map(|one| one.file.expect("nothing was told to fail")).collect()
    }

    /// Finishes: what is left is an ordinary program.
    ///
    /// # Errors
    ///
    /// Those of [`Updated::finish`]; the successor comes back.
    pub fn finish(self) -> Result<Program<'h>, Stuck<Self, FinishError>> {
        self.finish_by(Updated::finish)
    }

    /// Finishes, and gives up exactly these files.
    ///
    /// # Errors
    ///
    /// Those of [`Updated::finish_discarding`]; the successor comes back.
    pub fn finish_discarding(
        self,
        files: &[(SessionName, Token)],
    ) -> Result<Program<'h>, Stuck<Self, FinishError>> {
        self.finish_by(|updated| updated.finish_discarding(files, Irrevocable::knowingly()))
    }

    fn finish_by(
        self,
        finish: impl FnOnce(Updated<SimKho>) -> Result<Luo<SimKho>, Stuck<Updated<SimKho>, FinishError>>,
    ) -> Result<Program<'h>, Stuck<Self, FinishError>> {
        let Self { host, id, party, updated, vcpus } = self;
        match finish(updated) {
            Ok(luo) => Ok(Program { host, id, party, luo, vcpus }),
            Err(Stuck { kept: updated, error }) => {
                Err(Stuck { kept: Self { host, id, party, updated, vcpus }, error })
            }
        }
    }

    /// Who did `act` for this program, in order.
    pub fn order(&self, act: Act) -> Vec<Who> {
        self.host.journal.order(self.id, act)
    }
}
