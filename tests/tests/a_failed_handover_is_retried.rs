//! A carrier that does not carry leaves everything frozen as it was: the handover can be tried again, or undone. A
//! carrier that cannot even prepare is told before anything is paused.

use luo_core::{Cause, Participant, Passage, Phase, State, Stuck};
use luo_kho::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};
use luo_kho::ownership::{Holding, OwnershipError};
use luo_kho::sim::{Call, FaultPlan, SimExec, SimKexec, SimKho};
use luo_kho::{Departed, Offer};
use luo_tests::{Act, Build, By, Host, NO_COPY, Program, SIM_FILE, carrier, refused};

fn world(host: &Host) -> Program<'_> {
    let mut old = host.found(&Build::standard());
    old.preserve("s", 1, &host.note("carry me"));
    old
}

#[test]
fn the_third_attempt_succeeds() {
    let host = Host::new();
    let mut old = world(&host);
    let (build, mut attempts, mut arrived) = (Build::standard(), 0, None);
    let mut far = carrier(By::Exec, |_| {
        attempts += 1;
        if attempts < 3 { Err(refused(attempts)) } else { host.arrive(&build, &mut arrived) }
    });
    let mut frozen = old.luo.prepare(&mut *far).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    for attempt in 1..3 {
        let Stuck { kept, error } = frozen.hand_over().unwrap_err();
        assert_eq!((error.phase, error.participant), (Phase::HandOver, Participant::Carrier("sim-exec")));
        assert!(error.to_string().ends_with(&format!("the successor refused: {attempt}")), "{error}");
        assert_eq!(kept.luo().state(), State::Frozen);
        assert_eq!(host.machine.word().holding(), Holding::Running);
        frozen = kept;
    }
    let _departed = frozen.hand_over().unwrap();
    drop(far);
    assert_eq!(host.journal.order(old.id, Act::Unfreeze), []);
    let mut new = arrived.unwrap();
    assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"carry me");
    new.finish().unwrap().assert_clean();
}

/// Takes any other word than that of its first offer for a commit, and whatever it has seen once for ever after.
#[derive(Default)]
struct Hasty {
    first: Option<Offer>,
    seen: Option<Departed>,
}

impl Carrier<SimKho> for Hasty {
    fn name(&self) -> &'static str {
        "hasty"
    }

    fn conveys(&self, _kind: DescriptorKind) -> Conveyance {
        Conveyance::ByReference
    }

    fn prepare(&mut self, _kho: &mut SimKho) -> Result<(), CarrierError> {
        Ok(())
    }

    fn cancel(&mut self, _kho: &mut SimKho) {}

    fn hand_over(&mut self, kho: &mut SimKho, offer: Offer) -> Result<Departed, CarrierError> {
        let first = *self.first.get_or_insert(offer);
        if self.seen.is_none() {
            self.seen = Departed::witness(kho, first)?;
        }
        self.seen.ok_or_else(|| refused("it waits"))
    }
}

/// A carrier that succeeds before anybody has committed is not believed: neither with the word of this very offer, nor
/// with that of an earlier one.
#[test]
fn who_has_not_left_has_not_departed() {
    let host = Host::new();
    let mut old = world(&host);
    let mut hasty = Hasty::default();
    let frozen = old.luo.prepare(&mut hasty).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    let Stuck { kept: mut frozen, error } = frozen.hand_over().unwrap_err();
    assert!(error.to_string().ends_with("the successor refused: it waits"), "{error}");
    for _ in 0..2 {
        let Stuck { kept, error } = frozen.hand_over().unwrap_err();
        assert_eq!((error.phase, error.participant), (Phase::HandOver, Participant::Carrier("hasty")));
        let expected = matches!(error.cause, Cause::Ownership(OwnershipError::WrongTurn { .. }));
        assert!(expected, "{error}");
        assert_eq!((kept.luo().state(), host.machine.word().holding()), (State::Frozen, Holding::Running));
        frozen = kept;
    }
    let right = frozen.cancel().unwrap();
    old.run(right);
    old.assert_clean();
}

/// The reboot fails with an errno: the kernel stays, and so does the guest.
#[test]
fn a_reboot_that_fails_gives_everything_back() {
    let host = Host::new();
    let mut old = world(&host);
    let mut far = SimKexec::new(|_| unreachable!("there is no other side")).failing(16);
    let frozen = old.luo.prepare(&mut far).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    let Stuck { kept: frozen, error } = frozen.hand_over().unwrap_err();
    assert_eq!(error.to_string(), "carrier `sim-kexec` failed to hand over: reboot failed with errno 16");
    let right = frozen.cancel().unwrap();
    assert!(!far.is_prepared());
    old.run(right);
    assert_eq!(host.machine.boots(), 0);
    old.assert_clean();
    let mut new = old.update(By::Kexec, &Build::standard());
    assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"carry me");
    new.finish().unwrap().assert_clean();
}

#[test]
fn a_carrier_that_refuses_in_prepare_pauses_nobody() {
    for by in By::ALL {
        let host = Host::new();
        let mut old = world(&host);
        host.machine.inject(FaultPlan::none().fail_call(Call::Prepare, 0));
        let mut arrived = None;
        let build = Build::standard();
        let mut far = carrier(by, |_| host.arrive(&build, &mut arrived));
        let error = old.luo.prepare(&mut *far).unwrap_err();
        let name = if by == By::Exec { "sim-exec" } else { "sim-kexec" };
        assert_eq!((error.phase, error.participant), (Phase::Prepare, Participant::Carrier(name)));
        assert!(matches!(error.cause, Cause::Carrier(CarrierError::Kho(_))), "{error}");
        drop(far);
        assert_eq!(host.journal.order(old.id, Act::Freeze), []);
        assert!(old.vcpus[0].are_running());
        old.assert_clean();
        let mut new = old.update(by, &Build::standard());
        assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"carry me");
        new.finish().unwrap().assert_clean();
    }
}

/// The far side dies without a word; with a kexec nobody is left on this side, and the offer stands for who comes next.
#[test]
fn an_offer_outlives_the_kernel_that_made_it() {
    let host = Host::new();
    let mut old = world(&host);
    let id = old.id;
    let mut far = SimKexec::new(|_| Err(refused("the new program crashed")));
    let frozen = old.luo.prepare(&mut far).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    let Stuck { kept, .. } = frozen.hand_over().unwrap_err();
    drop(kept);
    assert_eq!(old.luo.state(), State::Departed, "it cannot say where the guest is, and undoes nothing");
    assert_eq!(host.journal.order(id, Act::Unpreserve), []);
    assert_eq!((host.machine.boots(), host.machine.word().holding()), (1, Holding::Offered));
    let mut new = host.adopt(&Build::standard()).unwrap().take_over().unwrap();
    assert_eq!(new.retrieve("s", 1).unwrap().bytes(), b"carry me");
    new.finish().unwrap().assert_clean();
}

/// It does not outlive two: the second kernel was given nothing.
#[test]
fn an_offer_does_not_outlive_two_kernels() {
    let host = Host::new();
    let mut old = world(&host);
    let mut far = SimKexec::new(|_| Err(refused("the new program crashed")));
    let frozen = old.luo.prepare(&mut far).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    drop(frozen.hand_over().unwrap_err());
    host.machine.kexec();
    host.adopt(&Build::standard()).unwrap_err();
    host.check();
}

/// A carrier says which descriptors it takes; `plan` tells for each file and carrier what that means.
#[test]
fn a_plan_knows_what_a_carrier_refuses() {
    let host = Host::new();
    let mut old = world(&host);
    let heavy = host.note([0; 100]);
    heavy.change(|contents| contents.flags = NO_COPY);
    old.preserve("s", 2, &heavy);
    let willing = SimExec::new(|_| Ok(()));
    let unwilling = SimKexec::new(|_| Ok(())).refusing(SIM_FILE, "no such descriptor crosses a kexec");
    let before = (host.journal.entries().len(), host.machine.counters());
    let plan = old.luo.plan(&[&willing, &unwilling], None);
    assert_eq!(plan.carriers, ["sim-exec", "sim-kexec"]);
    assert_eq!(plan.files[0].passages[0], Passage::ByReference);
    let Passage::ByCopy { bytes, why } = &plan.files[0].passages[1] else { panic!("{plan}") };
    assert_eq!((bytes.get(), why.as_ref()), (8, "no such descriptor crosses a kexec"));
    let Passage::Blocked { reason } = &plan.files[1].passages[1] else { panic!("{plan}") };
    assert_eq!(reason, "no such descriptor crosses a kexec; its contents cannot be copied");
    assert!(plan.is_possible_with(0) && !plan.is_possible_with(1) && !plan.is_possible_with(2));
    assert_eq!((plan.bytes_copied_with(0).get(), plan.bytes_copied_with(1).get()), (0, 8));
    heavy.change(|contents| contents.flags = luo_tests::STAYS);
    let plan = old.luo.plan(&[&willing], None);
    assert_eq!(plan.files[1].passages, [Passage::Blocked { reason: "it is nailed down".into() }]);
    assert_eq!((host.journal.entries().len(), host.machine.counters()), before, "a plan changes nothing");
    assert_eq!(Conveyance::ByReference, Carrier::conveys(&willing, SIM_FILE));
}
