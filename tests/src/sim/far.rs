//! The far side of a life: who opens the offer, who commits, who comes too late, and how the update is finished.

use fastrand::Rng;
use luo_core::{FinishError, RetrieveError, SessionName, Stuck, Token};
use luo_kho::carrier::CarrierError;
use luo_kho::ownership::{self, Holding, Offer};
use luo_kho::{FRAME_SIZE, FrameRange, Pfn, PhysAddr};

use super::books::Expected;
use super::life::{Ended, Life};
use super::plan::{Conduct, Tamper};
use crate::file::SimFile;
use crate::host::{nobody, refused, session};
use crate::journal::{Act, Who};
use crate::program::{Arrived, Program, Successor};

/// Attempts before faults stop, and after.
const PATIENCE: usize = 3;

impl<'h> Life<'h> {
    /// What runs inside `hand_over`.
    pub(super) fn far_side(&self) -> Result<(), CarrierError> {
        let far = &self.now().far;
        if let Some(tamper) = far.tampered.filter(|_| !self.stopped.get()) {
            self.tampered.set(self.tamper(tamper));
        }
        if far.does(Conduct::Silent) && !self.silent.replace(true) {
            self.rivals.borrow_mut().extend(self.host.adopt(&self.reader().build()));
            return Ok(());
        }
        for _ in 0..far.quitters {
            drop(self.host.adopt(&self.reader().build()));
        }
        let Some(successor) = self.take_over() else { return Err(refused("it could not be taken over")) };
        *self.arrived.borrow_mut() = Some(successor);
        self.too_late();
        if far.does(Conduct::Liar) { Err(refused("this is not true")) } else { Ok(()) }
    }

    /// Whoever opened an offer that is gone can no longer commit.
    pub(super) fn too_late(&self) {
        for mut rival in self.rivals.take() {
            let party = rival.party;
            let commits = || rival.adopted.restore().is_ok() && rival.commit().is_ok();
            assert_ne!(self.mortal(party, commits), Some(true), "two programs have committed");
        }
    }

    /// Changes bytes on offer. Whether any byte is another one now.
    fn tamper(&self, tamper: Tamper) -> bool {
        let Ok(view) = self.host.machine.successor() else { return false };
        let Ok(census) = view.census() else { return false };
        let frames: Vec<Pfn> = census.preserved.into_iter().flat_map(FrameRange::frames).collect();
        let pick = |number: u16| frames.get(usize::from(number).checked_rem(frames.len())?).copied();
        let bytes = |pfn: Pfn| view.peek(pfn).map_or([0; FRAME_SIZE], |bytes| *bytes);
        let word = |pfn: Pfn, word: usize| {
            let mut found = [0; 8];
            let from = word * 8;
            found.copy_from_slice(bytes(pfn).get(from..from + 8).unwrap_or(&[0; 8]));
            found
        };
        let (Tamper::Flip { frame, .. }
        | Tamper::Lost { frame, .. }
        | Tamper::Doubled { frame, .. }
        | Tamper::Swapped { frame, .. }) = tamper;
        let Some(pfn) = pick(frame) else { return false };
        let used = bytes(pfn).iter().rposition(|byte| *byte != 0).map_or(1, |last| last / 8 + 1);
        let at = |number: u16| usize::from(number).checked_rem(used).unwrap_or(0);
        let (place, old, new) = match tamper {
            Tamper::Flip { word: flipped, bit, .. } => {
                let old = word(pfn, at(flipped));
                (at(flipped), old.to_vec(), (u64::from_le_bytes(old) ^ 1 << bit).to_le_bytes().to_vec())
            }
            Tamper::Lost { word: lost, .. } => (at(lost), word(pfn, at(lost)).to_vec(), vec![0; 8]),
            Tamper::Doubled { word: from, to, .. } => {
                (at(to), word(pfn, at(to)).to_vec(), word(pfn, at(from)).to_vec())
            }
            Tamper::Swapped { with, .. } => {
                let Some(with) = pick(with) else { return false };
                (0, bytes(pfn).to_vec(), bytes(with).to_vec())
            }
        };
        let place = PhysAddr::new(pfn.addr().get() + place as u64 * 8);
        old != new && self.host.machine.tamper(place, &new)
    }

    /// One program that adopts, restores, retrieves some and commits. `None` if anything stood in its way, which has to
    /// be a fault.
    fn take_over(&self) -> Option<Successor<'h>> {
        let came = self.came();
        self.opened.set(came);
        let excused = |what: &dyn core::fmt::Display| {
            assert!(self.came() > came || self.tampered.get(), "without a fault: {what}");
        };
        let mut arrived = match self.host.adopt(&self.reader().build()) {
            Ok(arrived) => arrived,
            Err(error) => {
                excused(&error);
                return None;
            }
        };
        let party = arrived.party;
        for _ in 0..self.now().far.rivals {
            self.rivals.borrow_mut().extend(self.host.adopt(&self.reader().build()));
        }
        let took = self.mortal(party, || {
            self.check_list(&arrived);
            if self.now().far.does(Conduct::Hasty) {
                match arrived.commit() {
                    Ok(_) => panic!("somebody commits whose subsystems are not restored"),
                    Err(Stuck { kept, .. }) => arrived = kept,
                }
            }
            if !self.make_again(&mut arrived, came) {
                return None;
            }
            if self.now().far.does(Conduct::Renewed) && !self.renewed.replace(true) && self.renew_offer() {
                assert!(arrived.commit().is_err(), "who is shut out cannot commit");
                return None;
            }
            match arrived.commit() {
                Ok(successor) => Some(successor),
                Err(Stuck { error, .. }) => {
                    excused(&error);
                    None
                }
            }
        });
        took.flatten().or_else(|| {
            // A guardian has shut the first one out: the next one finds the offer renewed.
            let again = self.renewed.get() && self.came() == came && !self.tampered.get();
            if again { self.take_over() } else { None }
        })
    }

    /// A guardian renews the offer.
    fn renew_offer(&self) -> bool {
        let offer = Offer::from_word(self.host.machine.word());
        offer.is_some_and(|offer| ownership::reoffer(&mut self.host.machine.guardian(), offer).is_ok())
    }

    /// What arrived is what was handed over, in the same order.
    fn check_list(&self, arrived: &Arrived<'h>) {
        let expected = self.expected.borrow();
        let adopted = &arrived.adopted;
        let found = adopted.sessions().flat_map(|name| {
            adopted
                .files(name)
                .map(move |(token, kind, _)| (name.as_str().to_owned(), token.0, kind.as_str().to_owned()))
        });
        let found: Vec<_> = found.collect();
        let wanted = expected.iter().map(|file| (file.session.to_owned(), file.token, file.kind.clone()));
        assert_eq!(found, wanted.collect::<Vec<_>>(), "what arrived is not what was handed over");
    }

    /// Restores, and retrieves some files, in some order. `false` if the subsystems were not restored.
    fn make_again(&self, arrived: &mut Arrived<'h>, came: u64) -> bool {
        let mut rng = Rng::with_seed(self.now().far.order);
        let (writer, reader) = (self.speaks(), self.reader());
        let unread: Vec<_> = arrived.adopted.unreadable_subsystems().map(|(name, _)| name).collect();
        if !self.tampered.get() {
            let lost = writer.clock.is_some() && writer.common_clock(reader).is_none();
            assert_eq!(unread.len(), usize::from(lost), "{unread:?} cannot be read");
        }
        for name in unread {
            assert!(arrived.adopted.waive(name));
        }
        let expected = self.expected.borrow().clone();
        let mut early: Vec<_> = expected.iter().filter(|_| rng.bool()).collect();
        rng.shuffle(&mut early);
        let middle = rng.usize(..=early.len());
        let (before, after) = early.split_at(middle);
        for file in before {
            let found = arrived.retrieve(file.session, file.token);
            if found.is_err() {
                let again = arrived.retrieve(file.session, file.token);
                assert!(again.is_err(), "what was refused is asked again");
            }
            self.judge(file, came, found);
        }
        if let Err(error) = arrived.adopted.restore() {
            assert!(self.came() > came || self.tampered.get(), "without a fault: {error}");
            return false;
        }
        for file in after {
            self.judge(file, came, arrived.retrieve(file.session, file.token));
        }
        let unknown = arrived.retrieve("a", 77).expect_err("nobody preserved it");
        assert!(matches!(unknown, RetrieveError::UnknownToken { .. } | RetrieveError::UnknownSession { .. }));
        let ticks = self.ticks.borrow();
        let names = |speaks: super::plan::Speaks| 1 + usize::from(speaks.clock.is_some());
        for (nth, vcpus) in arrived.vcpus.iter().enumerate() {
            let read = nth == 0 || writer.common_clock(reader).is_some();
            let wanted = ticks.get(nth).copied().filter(|_| read && nth < names(writer)).unwrap_or(0);
            // A frame in the place of another is whole in itself: what names it cannot tell, unless its payload says
            // more.
            let swapped = matches!(self.now().far.tampered, Some(Tamper::Swapped { .. }));
            let waived = self.tampered.get() && (vcpus.ticks() == 0 || swapped);
            assert!(waived || vcpus.ticks() == wanted, "{} ticks, {wanted} were written", vcpus.ticks());
        }
        true
    }

    /// Whether what came of a retrieve may be.
    fn judge(&self, file: &Expected, came: u64, found: Result<SimFile, RetrieveError>) -> Option<SimFile> {
        let readable = file.readable(&self.expected.borrow(), self.speaks(), self.reader());
        match found {
            Ok(found) => {
                let version = readable.unwrap_or_else(|| panic!("{file:?} cannot be read, and was"));
                file.compare(&found, version);
                Some(found)
            }
            Err(RetrieveError::Orphan { .. }) if !self.tampered.get() => {
                assert!(self.speaks().common(&file.kind, self.reader()).is_none(), "{file:?} is set aside");
                None
            }
            Err(error) => {
                let excused = self.came() > came || self.tampered.get() || readable.is_none();
                assert!(excused, "without a fault: {error}");
                None
            }
        }
    }

    /// Nobody has the guest. As long as an offer stands, a guardian shuts out whoever else might take it, and starts
    /// another program. `None` if nothing is on offer, or what is on offer is damaged for good.
    pub(super) fn recover(&self) -> Option<Successor<'h>> {
        for attempt in 0..2 * PATIENCE {
            assert_eq!(self.host.guest.runner(&self.host.machine), None);
            if self.host.machine.word().holding() != Holding::Offered {
                return None;
            }
            if attempt == PATIENCE {
                self.stop();
            }
            if self.renew_offer() {
                self.too_late();
            }
            let successor = self.take_over();
            if successor.is_some() {
                self.too_late();
                return successor;
            }
        }
        assert!(self.tampered.get(), "what is on offer can be taken over");
        None
    }

    /// The rest of the way, with the guest running.
    pub(super) fn finish(&self, mut successor: Successor<'h>) -> Ended<'h> {
        let (host, party) = (self.host, successor.party);
        let finished = self.mortal(party, || {
            if self.lives(party) {
                assert_eq!(
                    host.guest.runner(&host.machine),
                    Some(party),
                    "the guest goes on, here and only here"
                );
            }
            let refused = successor.updated.luo_mut().prepare(&mut nobody()).map(drop);
            refused.expect_err("a second update before the first is finished");
            let lost = self.retrieve_rest(&mut successor);
            self.finish_all(successor, &lost)
        });
        let Some(Some(program)) = finished else { return self.lose() };
        if !self.lives(party) {
            drop(program);
            return self.lose();
        }
        program.assert_clean();
        self.check_order(&program);
        Ended::Completed(Box::new(program))
    }

    /// Files are finished last one first.
    fn check_order(&self, program: &Program<'h>) {
        if self.now().far.does(Conduct::BySession) {
            return;
        }
        let finished = self.host.journal.order(program.id, Act::Finish);
        let files = finished.into_iter().filter(|who| matches!(who, Who::File(_)));
        let expected = self.expected.borrow();
        let place = |who: &Who| expected.iter().position(|file| Who::File(file.mark) == *who);
        let places: Vec<_> = files.map(|who| place(&who)).collect();
        assert!(
            places.is_sorted_by(|one, other| one > other),
            "files are finished in this order: {places:?}"
        );
    }

    /// Retrieves what was not retrieved before the commit, but for what is to be left. Files that nobody took.
    fn retrieve_rest(&self, successor: &mut Successor<'h>) -> Vec<(SessionName, Token)> {
        let expected = self.expected.borrow().clone();
        let mut open = Vec::new();
        let mut lost = Vec::new();
        for (nth, file) in expected.iter().enumerate() {
            let place = (session(file.session), Token(file.token));
            let fate = successor.updated.files(place.0).find(|(token, ..)| *token == place.1);
            let taken = matches!(fate, Some((_, _, luo_core::Fate::Retrieved { taken: true })));
            if taken {
                let again = successor.retrieve(file.session, file.token);
                let again = again.expect_err("a file is retrieved twice");
                assert!(matches!(again, RetrieveError::AlreadyRetrieved { .. }), "{again}");
                continue;
            }
            if nth < usize::from(self.now().far.left) {
                lost.push(place);
                continue;
            }
            match self.judge(file, self.opened.get(), successor.retrieve(file.session, file.token)) {
                Some(found) => open.push(found),
                None => lost.push(place),
            }
        }
        *self.files.borrow_mut() = open;
        lost
    }

    /// Finishes everything; `None` if the program died.
    fn finish_all(&self, mut successor: Successor<'h>, lost: &[(SessionName, Token)]) -> Option<Program<'h>> {
        let (came, party) = (self.came(), successor.party);
        if !lost.is_empty() {
            match successor.finish() {
                Ok(_) => panic!("{lost:?} were lost by finishing"),
                Err(Stuck { kept, error: FinishError::Unclaimed(unclaimed) }) => {
                    assert_eq!(unclaimed.tokens, lost, "these are unclaimed");
                    successor = kept;
                }
                Err(Stuck { error, .. }) => panic!("{error}"),
            }
        }
        if let Some(file) = self.files.borrow().first().filter(|_| self.now().far.does(Conduct::Busy)) {
            host_busy(self, file, true);
            match successor.finish_discarding(lost) {
                Ok(_) => panic!("a busy file was finished"),
                Err(Stuck { kept, error: FinishError::NotYet(_) }) => successor = kept,
                Err(Stuck { error, .. }) => panic!("{error}"),
            }
            host_busy(self, file, false);
        }
        if self.now().far.does(Conduct::BySession) {
            for name in successor.updated.sessions().collect::<Vec<_>>() {
                let tokens: Vec<_> =
                    lost.iter().filter(|(other, _)| *other == name).map(|(_, token)| *token).collect();
                let knowingly = luo_core::Irrevocable::knowingly();
                if let Err(error) = successor.updated.finish_session_discarding(name, &tokens, knowingly) {
                    assert!(self.came() > came || !self.lives(party), "without a fault: {error}");
                }
            }
        }
        for attempt in 0..2 * PATIENCE {
            if attempt == PATIENCE {
                self.stop();
            }
            let came = self.came();
            match successor.finish_discarding(lost) {
                Ok(program) => return Some(program),
                Err(Stuck { kept, error }) => {
                    if !self.lives(kept.party) {
                        return None;
                    }
                    assert!(self.came() > came, "without a fault: {error}");
                    successor = kept;
                }
            }
        }
        panic!("without faults an update is finished");
    }
}

fn host_busy(life: &Life<'_>, file: &SimFile, busy: bool) {
    life.host.journal.set_busy(Who::File(file.mark()), busy);
}
