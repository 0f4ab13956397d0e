//! The carriers of the simulated machine.

use alloc::borrow::ToOwned;

use super::super::*;
use super::*;
use crate::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};

const GUEST: DescriptorKind = DescriptorKind("guest_memfd");
const MEMFD: DescriptorKind = DescriptorKind("memfd");

/// Plays a successor that adopts everything.
fn adopts(machine: &Machine) -> Result<(SimKho, Owned), CarrierError> {
    let mut next = machine.successor()?;
    load(&mut next)?;
    let owned =
        commit(&mut next).map_err(|error| CarrierError::Refused { reason: alloc::format!("{error}") })?;
    Ok((next, owned))
}

fn refuses(_: &Machine) -> Result<(), CarrierError> {
    Err(CarrierError::Refused { reason: "not today".to_owned() })
}

fn ready<C: Carrier<SimKho>>(carrier: &mut C) -> (Machine, SimKho, Offer) {
    let (machine, mut kho, owned) = founded(small());
    save(&mut kho).unwrap();
    carrier.prepare(&mut kho).unwrap();
    let offer = ownership::offer(&mut kho, owned).unwrap();
    (machine, kho, offer)
}

#[test]
fn exec_returns_departed_after_the_commit() {
    let mut arrived = None;
    let mut carrier = SimExec::new(|machine: &Machine| {
        arrived = Some(adopts(machine)?);
        Ok(())
    });
    let (machine, mut kho, offer) = ready(&mut carrier);
    let departed = carrier.hand_over(&mut kho, offer).unwrap();
    assert!(!carrier.is_prepared());
    let (next, owned) = arrived.unwrap();
    assert_eq!((departed.word(), next.generation()), (owned.word(), 1));
    assert!(machine.enter_guest(&owned));
    assert_eq!(machine.violations(), []);
}

#[test]
fn the_word_decides_whatever_the_far_side_says() {
    let mut carrier = SimExec::new(|machine: &Machine| {
        let _far = adopts(machine)?;
        refuses(machine)
    });
    let (_, mut kho, offer) = ready(&mut carrier);
    assert!(carrier.hand_over(&mut kho, offer).is_ok());
}

#[test]
fn exec_that_fails_leaves_the_guest_here_and_the_carrier_prepared() {
    let mut carrier = SimExec::new(refuses);
    let (machine, mut kho, offer) = ready(&mut carrier);
    assert_eq!(carrier.hand_over(&mut kho, offer), refuses(&machine).map(|()| unreachable!()));
    assert!(carrier.is_prepared());
    let owned = ownership::revoke(&mut kho, offer).unwrap();
    assert!(machine.enter_guest(&owned));
    carrier.cancel(&mut kho);
    assert!(!carrier.is_prepared());

    let mut carrier = SimExec::new(|machine: &Machine| {
        let mut dies = machine.successor()?;
        machine.kill(dies.party());
        assert!(commit(&mut dies).is_err());
        Ok(())
    });
    let (_, mut kho, offer) = ready(&mut carrier);
    assert_eq!(carrier.hand_over(&mut kho, offer), Err(CarrierError::Deadline { awaited: "commit" }));
    assert!(ownership::revoke(&mut kho, offer).is_ok());
}

#[test]
fn exec_of_a_side_that_is_killed_meanwhile_answers_like_a_dead_one() {
    let (machine, mut kho, owned) = founded(small());
    save(&mut kho).unwrap();
    let near = kho.party();
    let mut carrier = SimExec::new(|machine: &Machine| {
        let _far = adopts(machine)?;
        machine.kill(near);
        Ok(())
    });
    let offer = ownership::offer(&mut kho, owned).unwrap();
    assert_eq!(carrier.hand_over(&mut kho, offer), Err(CarrierError::Kho(KhoError::Crashed)));
    assert_eq!(machine.generation(), 1);
    assert_eq!(machine.violations(), [Violation::Carrier { call: Call::HandOver }], "it was not prepared");
}

#[test]
fn kexec_reboots_and_departs_if_the_new_kernel_committed() {
    let mut arrived = None;
    let mut carrier = SimKexec::new(|machine: &Machine| {
        arrived = Some(adopts(machine)?);
        Ok(())
    });
    let (machine, mut kho, offer) = ready(&mut carrier);
    assert!(carrier.is_prepared());
    let departed = carrier.hand_over(&mut kho, offer).unwrap();
    assert!(!carrier.is_prepared());
    let (_, owned) = arrived.unwrap();
    assert_eq!((departed.word(), machine.boots()), (owned.word(), 1));
    assert_eq!(kho.word(), Err(KhoError::Crashed));
}

#[test]
fn kexec_whose_new_kernel_does_nothing_yet_leaves_the_offer_to_the_test() {
    let mut carrier = SimKexec::new(|_: &Machine| Ok(()));
    let (machine, mut kho, offer) = ready(&mut carrier);
    assert_eq!(carrier.hand_over(&mut kho, offer), Err(CarrierError::Kho(KhoError::Crashed)));
    assert_eq!(ownership::revoke(&mut kho, offer), Err(OwnershipError::Kho(KhoError::Crashed)));
    let (_, owned) = adopts(&machine).unwrap();
    assert!(machine.enter_guest(&owned));
}

#[test]
fn a_reboot_that_fails_changes_nothing() {
    let mut carrier = SimKexec::new(|_: &Machine| unreachable!("nothing was booted")).failing(16);
    let (machine, mut kho, offer) = ready(&mut carrier);
    let failed = CarrierError::Host { call: "reboot", errno: 16 };
    assert_eq!(carrier.hand_over(&mut kho, offer), Err(failed));
    assert!(carrier.is_prepared());
    assert_eq!(machine.boots(), 0);
    assert!(ownership::revoke(&mut kho, offer).is_ok());
    carrier.cancel(&mut kho);
    assert!(!carrier.is_prepared());
}

#[test]
fn what_cannot_cross_is_said_beforehand() {
    let exec = SimExec::new(refuses).refusing(GUEST, "its pages are bound to the old VM");
    let kexec = SimKexec::new(refuses).refusing(GUEST, "no kernel preserves it");
    assert_eq!((exec.name(), kexec.name()), ("sim-exec", "sim-kexec"));
    assert_eq!(
        (exec.conveys(MEMFD), kexec.conveys(MEMFD)),
        (Conveyance::ByReference, Conveyance::ByReference)
    );
    let reason = |conveyance| match conveyance {
        Conveyance::Refused { reason } => reason,
        Conveyance::ByReference => panic!("it crosses"),
    };
    assert_eq!(reason(exec.conveys(GUEST)), "its pages are bound to the old VM");
    assert_eq!(reason(kexec.conveys(GUEST)), "no kernel preserves it");
}

fn can_be_failed_and_misused<C: Carrier<SimKho>>(mut carrier: C, is_prepared: impl Fn(&C) -> bool) {
    let (machine, mut kho, owned) = founded(small());
    machine.inject(FaultPlan::none().fail_call(Call::Prepare, 0).fail_call(Call::HandOver, 1));
    let injected = |result: Result<(), CarrierError>| {
        matches!(result, Err(CarrierError::Kho(KhoError::Injected { .. })))
    };
    assert!(injected(carrier.prepare(&mut kho)));
    assert!(!is_prepared(&carrier));
    carrier.prepare(&mut kho).unwrap();
    carrier.prepare(&mut kho).unwrap();
    assert!(is_prepared(&carrier));
    let offer = ownership::offer(&mut kho, owned).unwrap();
    assert!(!injected(carrier.hand_over(&mut kho, offer).map(|_| ())));
    assert!(injected(carrier.hand_over(&mut kho, offer).map(|_| ())));
    carrier.cancel(&mut kho);
    assert!(carrier.hand_over(&mut kho, offer).is_err());
    let misused = [Call::Prepare, Call::HandOver].map(|call| Violation::Carrier { call });
    assert_eq!(machine.violations(), misused);
}

#[test]
fn prepare_and_hand_over_can_be_failed_and_misuse_is_noticed() {
    can_be_failed_and_misused(SimExec::new(refuses), SimExec::is_prepared);
    can_be_failed_and_misused(SimKexec::new(refuses).failing(5), SimKexec::is_prepared);
}
