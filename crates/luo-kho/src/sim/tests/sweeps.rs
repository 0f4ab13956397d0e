//! Every failure and every crash of a small story, one after the other: save, offer, adopt, commit, release.

use core::ops::Range;

use super::super::*;
use super::*;
use crate::ownership::Holding;

fn calls(machine: &Machine) -> u64 {
    machine.counters().calls
}

#[test]
fn every_failing_call_of_saving_leaves_no_trace() {
    let story = |plan: Option<u64>| -> Range<u64> {
        let (machine, mut kho, owned) = founded(small());
        let before = (calls(&machine), kho.census().unwrap());
        machine.inject(plan.map_or_else(FaultPlan::none, |nth| FaultPlan::none().fail(nth)));
        let saved = save(&mut kho);
        let after = calls(&machine);
        let failed = machine.counters().failed;
        assert_eq!((saved.is_err(), failed), (plan.is_some(), u64::from(plan.is_some())), "{plan:?}");
        if saved.is_err() {
            assert_eq!(kho.census().unwrap(), before.1, "call {plan:?} left a trace");
            save(&mut kho).unwrap();
        }
        ownership::offer(&mut kho, owned).unwrap();
        load(&mut machine.successor().unwrap()).unwrap();
        before.0..after
    };
    let sweep = story(None);
    assert!(sweep.clone().count() > 3 * usize::from(KEPT), "nodes are taken as well: {sweep:?}");
    for nth in sweep {
        story(Some(nth));
    }
}

#[test]
fn every_failing_call_of_adopting_leaves_the_offer_as_it_was() {
    let (offered, mut kho, owned) = founded(small());
    save(&mut kho).unwrap();
    ownership::offer(&mut kho, owned).unwrap();
    let adopt = |machine: &Machine| -> Result<(SimKho, Owned), OwnershipError> {
        let mut next = machine.successor()?;
        let before = next.census()?;
        let offer = Offer::from_word(next.word()?).unwrap();
        let adopted = load(&mut next).map_err(OwnershipError::Kho).and_then(|claimed| {
            let owned = ownership::commit(&mut next, offer);
            if owned.is_err() {
                forgo(&mut next, claimed);
            }
            owned
        });
        match adopted {
            Ok(owned) => Ok((next, owned)),
            Err(error) => {
                assert_eq!(next.census()?, before);
                Err(error)
            }
        }
    };
    let clean = offered.fork();
    let _far = adopt(&clean).unwrap();
    for nth in calls(&offered)..calls(&clean) {
        let machine = offered.fork();
        machine.inject(FaultPlan::none().fail(nth));
        let error = adopt(&machine).map(|_| ()).unwrap_err();
        assert!(matches!(error, OwnershipError::Kho(KhoError::Injected { nth: found, .. }) if found == nth));
        assert_eq!(machine.word(), offered.word());
        let (_, owned) = adopt(&machine).unwrap();
        assert!(machine.enter_guest(&owned));
    }
}

/// The whole story, told until somebody dies.
fn tell(machine: &Machine) -> Result<(), OwnershipError> {
    let (mut near, owned) = machine.found()?;
    save(&mut near)?;
    let offer = ownership::offer(&mut near, owned).map_err(|kept| kept.error)?;
    let mut far = machine.successor()?;
    let claimed = load(&mut far)?;
    let owned = match ownership::commit(&mut far, offer) {
        Err(error) if machine.is_alive(near.party()) => {
            let word = machine.word();
            match ownership::revoke(&mut near, offer) {
                // The successor died before its commit: the guest goes on here, exactly once.
                Ok(owned) => assert!(machine.enter_guest(&owned)),
                Err(OwnershipError::Departed(departed)) => assert_eq!(departed.word(), word),
                Err(other) => panic!("{other}"),
            }
            return Err(error);
        }
        result => result?,
    };
    assert!(machine.enter_guest(&owned));
    release(&mut far, claimed);
    if !machine.is_alive(far.party()) {
        return Err(OwnershipError::Kho(KhoError::Crashed));
    }
    assert_eq!(far.census()?, untouched(machine));
    Ok(())
}

/// What a program has taken that has done nothing.
fn untouched(machine: &Machine) -> Census {
    machine.fork().fresh().unwrap().census().unwrap()
}

/// Whatever happened, the machine is in a state from which the protocol knows the way.
fn settle(machine: &Machine, what: &str) {
    match machine.word().holding() {
        Holding::Vacant => drop(machine.found().unwrap()),
        Holding::Running | Holding::Retired => {
            // The death of the owner is a plain crash: nobody adopts half of anything.
            assert!(matches!(machine.successor(), Err(KhoError::NotOffered { .. })), "{what}");
        }
        Holding::Offered => {
            // The guardian shuts the others out, and the old program adopts what was sealed, to the byte.
            let renewed = ownership::reoffer(&mut machine.guardian(), standing(machine)).unwrap();
            let mut old = machine.successor().unwrap();
            load(&mut old).unwrap();
            let owned = ownership::commit(&mut old, renewed).unwrap();
            assert!(machine.enter_guest(&owned), "{what}");
        }
    }
    assert_eq!(machine.violations(), [], "{what}");
}

#[test]
fn a_crash_before_and_after_every_store() {
    let clean = Machine::new(small());
    tell(&clean).unwrap();
    let stores = clean.counters().stores;
    assert!(stores > u64::from(KEPT) * 512, "each word of each frame is a store");
    for nth in 0..stores {
        for crash in [Crash::BeforeStore(nth), Crash::AfterStore(nth)] {
            let machine = Machine::new(small());
            machine.inject(FaultPlan::none().crash(crash));
            assert_eq!(tell(&machine), Err(OwnershipError::Kho(KhoError::Crashed)), "{crash:?}");
            assert_eq!(machine.counters().crashed, 1, "{crash:?}");
            let made = nth + u64::from(crash == Crash::AfterStore(nth));
            assert_eq!(machine.counters().stores, made, "{crash:?}");
            settle(&machine, &alloc::format!("{crash:?}"));
        }
    }
}

#[test]
fn a_crash_before_and_after_every_swap() {
    let clean = Machine::new(small());
    tell(&clean).unwrap();
    let swaps = clean.counters().swaps;
    assert_eq!(swaps, 3);
    for nth in 0..swaps {
        for crash in [Crash::BeforeSwap(nth), Crash::AfterSwap(nth)] {
            let machine = Machine::new(small());
            machine.inject(FaultPlan::none().crash(crash));
            assert_eq!(tell(&machine), Err(OwnershipError::Kho(KhoError::Crashed)), "{crash:?}");
            let word = machine.word();
            let expected = match crash {
                Crash::BeforeSwap(0) => Holding::Vacant,
                Crash::AfterSwap(1) => Holding::Offered,
                _ => Holding::Running,
            };
            assert_eq!(word.holding(), expected, "{crash:?}");
            // Before the commit the predecessor took the guest back; after it, the successor has it.
            let generation = u64::from(crash == Crash::AfterSwap(2));
            assert_eq!(machine.generation(), generation, "{crash:?}");
            settle(&machine, &alloc::format!("{crash:?}"));
        }
    }
}

#[test]
fn a_crash_at_every_call() {
    let clean = Machine::new(small());
    tell(&clean).unwrap();
    for nth in 0..calls(&clean) {
        let machine = Machine::new(small());
        machine.inject(FaultPlan::none().crash(Crash::AtCall(nth)));
        let told = tell(&machine);
        assert_eq!(told, Err(OwnershipError::Kho(KhoError::Crashed)), "call {nth}");
        assert_eq!(machine.counters().crashed, 1, "call {nth}");
        settle(&machine, &alloc::format!("call {nth}"));
    }
}

/// A write of four words, two of them in the second frame, of which `made` take effect.
fn torn(crash: impl FnOnce(u64) -> Crash, made: usize, dies: bool) {
    let (machine, mut kho, _owned) = founded(small());
    let range = kho.alloc(count(2)).unwrap();
    machine.inject(FaultPlan::none().crash(crash(machine.counters().stores)));
    let at = crate::PhysAddr::new(range.addr().get() + crate::FRAME_BYTES - 16);
    assert_eq!(kho.write(at, &[0xFF; 32]).is_err(), dies);
    let mut expected = [0; 32];
    expected[..8 * made].fill(0xFF);
    let (first, second) = (kho.peek(range.start()).unwrap(), kho.peek(pfn(range.end() - 1)).unwrap());
    assert_eq!((&first[FRAME_SIZE - 16..], &second[..16]), expected.split_at(16));
    assert_eq!(machine.is_alive(kho.party()), !dies);
}

#[test]
fn a_torn_write_is_a_prefix_of_words() {
    for (nth, made) in (0..4).zip(0..) {
        torn(|now| Crash::BeforeStore(now + nth), made, true);
        torn(|now| Crash::AfterStore(now + nth), made + 1, true);
    }
    torn(|now| Crash::BeforeStore(now + 4), 4, false);
    torn(|now| Crash::AfterStore(now + 4), 4, false);
}

#[test]
fn two_faults_of_one_plan_both_happen() {
    let (machine, mut near, owned) = founded(small());
    save(&mut near).unwrap();
    let swaps = machine.counters().swaps;
    machine.inject(FaultPlan::none().crash(Crash::AfterSwap(swaps)).crash(Crash::BeforeSwap(swaps + 1)));
    assert!(ownership::offer(&mut near, owned).is_err());
    let mut far = machine.successor().unwrap();
    assert_eq!(commit(&mut far), Err(OwnershipError::Kho(KhoError::Crashed)));
    assert_eq!(machine.counters().crashed, 2);
    assert!(!machine.is_alive(near.party()) && !machine.is_alive(far.party()));
    settle(&machine, "both sides dead");
}

#[test]
fn undoing_is_never_failed_by_a_plan() {
    let (machine, mut kho, owned) = founded(small());
    let kept = save(&mut kho).unwrap();
    let offer = ownership::offer(&mut kho, owned).unwrap();
    machine.inject(FaultPlan::none().fail_from(0));
    let owned = ownership::revoke(&mut kho, offer).unwrap();
    release(&mut kho, kept);
    assert_eq!(machine.counters().failed, 0);
    let kept = ownership::offer(&mut kho, owned).unwrap_err();
    assert!(matches!(kept.error, OwnershipError::Kho(KhoError::Injected { call: "swap", .. })));
    assert_eq!(machine.counters().failed, 1);
}

#[test]
fn the_same_story_makes_the_same_calls() {
    let trace = || {
        let machine = Machine::new(small().fragmentation(Fragmentation::Random).seed(3));
        machine.begin_trace();
        tell(&machine).unwrap();
        (machine.trace(), machine.counters())
    };
    let (first, counters) = trace();
    assert_eq!(trace(), (first.clone(), counters));
    assert_eq!(first.len() as u64, counters.calls);
    assert_eq!(first[0].1, Call::TakeNode);
    assert!(first.iter().any(|&(_, call)| call == Call::Open));
}
