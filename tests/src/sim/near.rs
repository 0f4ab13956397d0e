//! The near side of a life: what is done before an update, and the update up to the gap.

use luo_core::{
    Execution, Frozen, PrepareOneError, Prepared, PreserveError, SessionError, State, Stuck, Token,
};
use luo_kho::ownership::OwnershipError;
use luo_kho::sim::{Party, SimKho};
use luo_kho::{FRAME_BYTES, Kho as _, Owned};

use super::books::{session_name, token_of};
use super::life::Life;
use super::plan::Near;
use crate::file::{Contents, SimFile};
use crate::host::{carrier, frame_count, nobody, session};
use crate::program::Program;
use crate::vcpus::Vcpus;

/// Attempts at a step before faults stop, and after.
const PATIENCE: usize = 3;

impl<'h> Life<'h> {
    /// Everything that comes before the update.
    pub(super) fn begin_near(&self, program: &mut Program<'h>) {
        program.luo.set_policy(self.speaks().policy());
        for deed in &self.now().near {
            self.near(program, *deed);
            if !self.lives(program.party) {
                return;
            }
        }
    }

    fn near(&self, program: &mut Program<'h>, deed: Near) {
        match deed {
            Near::Open(number) => self.open(program, session_name(number)),
            Near::Close(number) => self.close(program, session_name(number)),
            Near::Make { kind, len, flags } => self.make(kind, len, flags),
            Near::Preserve { session, token, file } => {
                self.preserve(program, session_name(session), token_of(token), file);
            }
            Near::Unpreserve { session, token } => {
                self.unpreserve(program, session_name(session), token_of(token));
            }
            Near::Change { file, fill } => {
                if let Some(file) = self.pick(file) {
                    file.change(|contents| {
                        contents.bytes.iter_mut().for_each(|byte| *byte = fill);
                        contents.position += 1;
                    });
                }
            }
            Near::Depend { file, on } => {
                if let (Some(file), Some(on)) = (self.pick(file), self.pick(on)) {
                    let known = file.depends_on();
                    if !file.is(&on) && known.len() < 3 && !known.iter().any(|other| other.is(&on)) {
                        file.depend_on(&on);
                    }
                }
            }
            Near::PrepareFile { session: name, token } => {
                let (name, token) = (session_name(name), token_of(token));
                let known = self.books.borrow().file(name, token).is_some();
                let came = self.came();
                self.host.journal.expect_any_order();
                let outcome = program.luo.prepare_file(session(name), Token(token), &nobody());
                self.judge_ahead(outcome, known, came);
            }
            Near::PrepareSession(number) => {
                let name = session_name(number);
                let known = self.books.borrow().files(name).is_some();
                let came = self.came();
                self.host.journal.expect_any_order();
                let outcome = program.luo.prepare_session(session(name), &nobody());
                self.judge_ahead(outcome, known, came);
            }
            Near::CancelFile { session: name, token } => {
                let (name, token) = (session_name(name), token_of(token));
                let known = self.books.borrow().file(name, token).is_some();
                assert_eq!(program.luo.cancel_file(session(name), Token(token)).is_ok(), known);
            }
            Near::CancelSession(number) => {
                let name = session_name(number);
                let known = self.books.borrow().files(name).is_some();
                assert_eq!(program.luo.cancel_session(session(name)).is_ok(), known);
            }
            Near::PrepareAndCancel | Near::FreezeAndThaw => self.try_out(program, deed),
            Near::Seeded(seed) => program.luo.set_execution(Execution::Seeded(seed)),
        }
    }

    fn pick(&self, file: u8) -> Option<SimFile> {
        let files = self.files.borrow();
        let at = usize::from(file).checked_rem(files.len())?;
        files.get(at).cloned()
    }

    fn open(&self, program: &mut Program<'h>, name: &'static str) {
        let mut books = self.books.borrow_mut();
        let known = books.files(name).is_some();
        match program.luo.open_session(session(name)) {
            Ok(()) => {
                assert!(!known, "a session is opened twice");
                books.sessions.push((name, Vec::new()));
            }
            Err(SessionError::NameInUse { .. }) => assert!(known),
            Err(error) => panic!("{error}"),
        }
    }

    fn close(&self, program: &mut Program<'h>, name: &'static str) {
        let mut books = self.books.borrow_mut();
        let outcome = program.luo.close_session(session(name));
        assert_eq!(outcome.is_ok(), books.files(name).is_some());
        for (_, file) in books.files(name).into_iter().flatten() {
            assert_eq!(file.pins(), 0, "a session that is closed lets go of its files");
        }
        books.sessions.retain(|(other, _)| *other != name);
    }

    fn make(&self, kind: u8, len: u16, flags: u32) {
        let kind = if kind.is_multiple_of(3) { "log" } else { "note" };
        let file = self.host.file(kind, vec![0x5A; usize::from(len)]);
        file.change(|contents| contents.flags = flags);
        self.files.borrow_mut().push(file);
    }

    fn preserve(&self, program: &mut Program<'h>, name: &'static str, token: u64, file: u8) {
        let Some(file) = self.pick(file) else { return };
        let mut books = self.books.borrow_mut();
        let (came, pins) = (self.came(), file.pins());
        let (open, taken) = (books.files(name).is_some(), books.file(name, token).is_some());
        let (elsewhere, known) = (books.place_of(&file), self.speaks().of_kind(file.kind().as_str()));
        let may = open && !taken && known.is_some() && elsewhere.is_none();
        let asked = self.host.journal.identified();
        let outcome = program.luo.preserve(session(name), Token(token), file.clone());
        assert!(self.host.journal.identified() <= asked + 2, "preserving asks about other files");
        let Err(Stuck { error, .. }) = outcome else {
            assert!(may, "{file:?} is preserved as {token} of {name}");
            if let Some(files) = books.files_mut(name) {
                files.push((token, file));
            }
            return;
        };
        assert_eq!(file.pins(), pins, "what is not preserved is not pinned");
        match error {
            PreserveError::UnknownSession { .. } => assert!(!open),
            PreserveError::TokenInUse { .. } => assert!(taken),
            PreserveError::NoHandler { .. } => assert!(known.is_none()),
            PreserveError::FileInUse { other_session, other, .. } => {
                assert_eq!(elsewhere, Some((other_session.as_str(), other.0)));
            }
            PreserveError::Failed(error) => assert!(may && self.came() > came, "without a fault: {error}"),
            error => panic!("{error}"),
        }
    }

    fn unpreserve(&self, program: &mut Program<'h>, name: &'static str, token: u64) {
        let mut books = self.books.borrow_mut();
        let outcome = program.luo.unpreserve(session(name), Token(token));
        assert_eq!(outcome.is_ok(), books.file(name, token).is_some());
        if let Some(files) = books.files_mut(name) {
            files.retain(|(other, file)| {
                assert!(*other != token || file.pins() == 0, "what is unpreserved is not pinned");
                *other != token
            });
        }
    }

    /// A file that is prepared ahead of time may name files that are not there, which nobody minds yet.
    fn judge_ahead(&self, outcome: Result<(), PrepareOneError>, known: bool, came: u64) {
        match outcome {
            Ok(()) => assert!(known),
            Err(PrepareOneError::Session(_)) => assert!(!known),
            Err(PrepareOneError::Phase(error)) => {
                let sound = self.books.borrow().are_sound(self.speaks());
                assert!(self.came() > came || !sound, "without a fault: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Prepares, or freezes as well, and changes its mind.
    fn try_out(&self, program: &mut Program<'h>, deed: Near) {
        let (party, vcpus, came) = (program.party, program.vcpus.clone(), self.came());
        let before = program.luo.memory().census();
        let mut far = nobody();
        match program.luo.prepare(&mut far) {
            Err(error) => self.excuse(came, &error),
            Ok(prepared) if matches!(deed, Near::PrepareAndCancel) => prepared.cancel(),
            Ok(prepared) => match prepared.freeze(self.host.guest.leave(party)) {
                Ok(frozen) => {
                    if let Ok(owned) = frozen.cancel() {
                        self.enter(party, owned, &vcpus);
                    }
                }
                Err(Stuck { kept: (prepared, owned), error }) => {
                    self.excuse(came, &error);
                    self.enter(party, owned, &vcpus);
                    prepared.cancel();
                }
            },
        }
        if self.lives(party) {
            assert_eq!(program.luo.memory().census(), before, "what is cancelled leaves nothing behind");
            assert_eq!(program.luo.state(), State::Normal);
        }
    }

    /// A step has failed. It may, if a fault has come, or if files depend on each other as they must not.
    fn excuse(&self, came: u64, error: &dyn core::fmt::Display) {
        let sound = self.books.borrow().are_sound(self.speaks());
        assert!(self.came() > came || !sound, "without a fault: {error}");
    }

    fn enter(&self, party: Party, owned: Owned, vcpus: &[Vcpus]) {
        if self.lives(party) {
            self.host.guest.enter(&self.host.machine, party, owned, vcpus);
        }
    }

    /// The update. Comes back when the guest is elsewhere, or the program is dead.
    pub(super) fn update(&self, program: &mut Program<'h>) {
        let (party, vcpus) = (program.party, program.vcpus.clone());
        let mut far = carrier(self.now().by, |_| self.far_side());
        for attempt in 0..2 * PATIENCE {
            if attempt == PATIENCE {
                self.stop();
            }
            let (before, came) = (program.luo.memory().census(), self.came());
            let sound = self.books.borrow().are_sound(self.speaks());
            let refused = match program.luo.prepare(&mut *far) {
                Ok(prepared) => {
                    self.check_taken(&prepared);
                    if self.freeze_and_hand_over(prepared, party, &vcpus) {
                        return;
                    }
                    None
                }
                Err(error) => Some(error),
            };
            if let Some(error) = refused {
                self.excuse(came, &error);
                if self.lives(party) {
                    assert_eq!(program.luo.memory().census(), before, "a failed prepare is undone");
                    assert_eq!(program.luo.state(), State::Normal);
                }
            }
            if self.lives(party) && !sound {
                self.books.borrow().mend();
                let names: Vec<_> = program.luo.sessions().collect();
                for name in names {
                    program.luo.cancel_session(name).expect("it is one of its own sessions");
                }
            }
            if !self.lives(party) {
                return;
            }
        }
        panic!("without faults an update completes");
    }

    /// What prepare has taken is what there is to be written, and not many times more.
    fn check_taken(&self, prepared: &Prepared<'_, SimKho>) {
        let books = self.books.borrow();
        let frames = |(.., file): (_, _, &SimFile)| file.bytes().len() as u64 / FRAME_BYTES + 2;
        let wanted: u64 = books.all().map(frames).sum();
        let Ok(census) = prepared.luo().memory().census() else { return };
        // Two frames for each subsystem and shared object; root, image, and its head.
        let most = wanted + 2 * 4 + 4;
        assert!(frame_count(&census.allocated) <= most, "{census:?} where {most} frames would do");
    }

    /// `false` if everything was cancelled and the program is to begin again.
    fn freeze_and_hand_over(
        &self,
        mut prepared: Prepared<'_, SimKho>,
        party: Party,
        vcpus: &[Vcpus],
    ) -> bool {
        let prepared_as: Vec<_> = self.books.borrow().all().map(|(.., file)| file.contents()).collect();
        for attempt in 0..2 * PATIENCE {
            if attempt == PATIENCE {
                self.stop();
            }
            let came = self.came();
            // At every other attempt everything is again as prepare saw it.
            if attempt % 2 == 0 {
                self.work(vcpus);
            } else {
                for ((.., file), was) in self.books.borrow().all().zip(&prepared_as) {
                    file.change(|contents| contents.clone_from(was));
                }
            }
            let frozen = match prepared.freeze(self.host.guest.leave(party)) {
                Ok(frozen) => frozen,
                Err(Stuck { kept: (kept, owned), error }) => {
                    self.excuse(came, &error);
                    if !self.lives(party) {
                        return true;
                    }
                    self.enter(party, owned, vcpus);
                    if !self.books.borrow().are_sound(self.speaks()) {
                        return false;
                    }
                    prepared = kept;
                    continue;
                }
            };
            let sound = self.books.borrow().are_sound(self.speaks());
            assert!(sound, "files that depend on each other as they must not are frozen");
            *self.expected.borrow_mut() = self.books.borrow().snapshot();
            *self.ticks.borrow_mut() = vcpus.iter().map(Vcpus::ticks).collect();
            match self.hand_over(frozen, party, vcpus) {
                Some(again) => prepared = again,
                None => return true,
            }
        }
        panic!("without faults a handover goes through");
    }

    /// The guest does something, and something happens to every other file.
    fn work(&self, vcpus: &[Vcpus]) {
        vcpus.iter().for_each(Vcpus::tick);
        for (.., file) in self.books.borrow().all().step_by(2) {
            file.change(|Contents { bytes, position, .. }| {
                *position += 1;
                bytes.iter_mut().take(8).for_each(|byte| *byte = byte.wrapping_add(1));
            });
        }
    }

    /// `None` if the guest is elsewhere, or the program is dead.
    fn hand_over<'l>(
        &self,
        mut frozen: Frozen<'l, SimKho>,
        party: Party,
        vcpus: &[Vcpus],
    ) -> Option<Prepared<'l, SimKho>> {
        for _attempt in 0..2 * PATIENCE {
            let came = self.came();
            let Err(Stuck { kept, error }) = frozen.hand_over() else { return None };
            if !self.lives(party) {
                return None;
            }
            let excused = self.came() > came || self.silent.get() || self.tampered.get();
            assert!(excused, "without a fault: {error}");
            self.tampered.set(false);
            match kept.unfreeze() {
                Ok((prepared, owned)) => {
                    self.enter(party, owned, vcpus);
                    let root = prepared.luo().memory().root();
                    assert!(root.is_none() || !self.lives(party), "what is no longer on offer has a root");
                    self.too_late();
                    return Some(prepared);
                }
                // The word could not be asked, and the guest runs elsewhere: the guard lets go of everything.
                Err(Stuck { error: OwnershipError::Departed(_), .. }) => return None,
                Err(Stuck { kept, error }) => {
                    assert!(self.came() > came, "without a fault: {error}");
                    frozen = kept;
                    self.stop();
                }
            }
        }
        panic!("without faults the word can be asked");
    }
}
