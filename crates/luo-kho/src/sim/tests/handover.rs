//! Generations, boots, offers, and who wins.

use std::sync::Barrier;
use std::thread;

use super::super::*;
use super::*;
use crate::ownership::Holding;

/// A machine whose founder has saved and offered.
fn offered() -> (Machine, SimKho, Offer, Vec<FrameRange>) {
    let (machine, mut kho, owned) = founded(small());
    let kept = save(&mut kho).unwrap();
    let offer = ownership::offer(&mut kho, owned).unwrap();
    (machine, kho, offer, kept)
}

#[test]
fn a_generation_is_a_committed_handover_and_a_boot_is_not() {
    let (machine, mut kho, mut owned) = founded(small());
    save(&mut kho).unwrap();
    for generation in 0..6 {
        assert_eq!((kho.generation(), machine.generation()), (generation, generation));
        assert!(machine.enter_guest(&owned));
        let offer = ownership::offer(&mut kho, owned).unwrap();
        if generation % 2 == 1 {
            machine.kexec();
        }
        let mut next = machine.successor().unwrap();
        assert_eq!(next.generation(), generation, "before the commit it lies behind nobody");
        load(&mut next).unwrap();
        owned = ownership::commit(&mut next, offer).unwrap();
        kho = next;
    }
    assert_eq!((kho.generation(), machine.boots()), (6, 3));
    assert_eq!(machine.violations(), []);
    machine.kexec();
    assert_eq!(machine.generation(), 0, "memory that was not offered begins anew");
}

#[test]
fn a_revoked_offer_is_not_a_generation() {
    let (machine, mut kho, offer, _) = offered();
    let owned = ownership::revoke(&mut kho, offer).unwrap();
    assert_eq!((kho.generation(), machine.generation()), (0, 0));
    assert!(machine.enter_guest(&owned));
}

#[test]
fn the_adopters_allocator_holds_what_was_preserved_and_the_trackers_nodes() {
    let (machine, mut kho, owned) = founded(small());
    let before = kho.census().unwrap();
    let private = kho.alloc(count(5)).unwrap();
    kho.write(private.addr(), &page(7)).unwrap();
    let kept = save(&mut kho).unwrap();
    let near = kho.census().unwrap();
    ownership::offer(&mut kho, owned).unwrap();

    for boot in 0..2 {
        let mut next = machine.fork().successor().unwrap();
        let far = next.census().unwrap();
        assert_eq!(far.allocated, near.preserved);
        assert_eq!(far.preserved, near.preserved);
        assert_eq!((far.tracker_nodes, far.root, far.claimed.len()), (near.tracker_nodes, near.root, 0));
        assert_eq!(next.read(private), Err(KhoError::NotAllocated { range: private }));
        if boot == 0 {
            machine.kexec();
        }
        // What the old side kept to itself is gone even where the same boot goes on.
        let _owned = commit(&mut next).unwrap();
        assert_eq!(next.alloc(count(5)).unwrap(), private);
        assert_eq!(bytes_of(&next, private), alloc::vec![0; 5 * FRAME_SIZE]);
        next.free(private).unwrap();
        let kept = kept.clone();
        for &range in &kept {
            next.reclaim(range).unwrap();
        }
        release(&mut next, kept);
        assert_eq!(next.census().unwrap(), before);
    }
}

#[test]
fn kexec_poisons_every_frame_that_was_not_handed_over() {
    let (machine, mut kho, owned) = founded(small());
    let private = kho.alloc(count(1)).unwrap();
    kho.write(private.addr(), &page(7)).unwrap();
    let kept = save(&mut kho).unwrap();
    let sealed = kept.iter().map(|&range| bytes_of(&kho, range)).collect::<Vec<_>>();
    ownership::offer(&mut kho, owned).unwrap();
    machine.kexec();

    let next = machine.successor().unwrap();
    let poisoned = poison(1).to_le_bytes().repeat(FRAME_SIZE / 8);
    assert_ne!(poison(1), poison(2));
    let census = next.census().unwrap();
    let whole = machine.span().frames().filter(|&frame| next.peek(frame).unwrap()[..] != poisoned);
    let whole = whole.count() as u64;
    assert_eq!(
        whole,
        census.tracker_nodes + census.preserved.iter().map(|run| run.count().get()).sum::<u64>()
    );
    assert_eq!(next.peek(private.start()).unwrap()[..], poisoned);
    for (&range, bytes) in kept.iter().zip(sealed) {
        assert_eq!(bytes_of(&next, range), bytes);
    }
    assert_eq!(kho.word(), Err(KhoError::Crashed), "the old kernel's programs are gone");
}

#[test]
fn kexec_without_an_offer_and_a_power_cycle_keep_nothing() {
    let (machine, mut kho, _owned) = founded(small());
    let kept = save(&mut kho).unwrap();
    machine.kexec();
    assert_eq!((machine.word(), machine.boots(), machine.generation()), (Word::VACANT, 1, 0));
    assert_eq!(kho.unpreserve(kept[0]), Err(KhoError::Crashed));

    let (mut kho, owned) = machine.found().unwrap();
    assert_eq!(kho.census().unwrap().preserved, []);
    save(&mut kho).unwrap();
    ownership::offer(&mut kho, owned).unwrap();
    machine.power_cycle();
    assert_eq!(machine.word(), Word::VACANT);
    assert!(matches!(machine.successor(), Err(KhoError::NotOffered { .. })));
    assert!(machine.found().is_ok());
}

#[test]
fn an_offer_outlives_one_reboot_and_not_two() {
    let (machine, _kho, _, _) = offered();
    machine.kexec();
    assert!(machine.successor().is_ok());
    machine.kexec();
    assert!(matches!(machine.successor(), Err(KhoError::NotOffered { .. })));
    assert_eq!(machine.word(), Word::VACANT);
}

#[test]
fn two_successors_race_and_one_wins() {
    let (machine, mut kho, offer, kept) = offered();
    let (mut first, mut second) = (machine.successor().unwrap(), machine.successor().unwrap());
    load(&mut first).unwrap();
    load(&mut second).unwrap();
    let owned = ownership::commit(&mut second, offer).unwrap();
    assert!(matches!(ownership::commit(&mut first, offer), Err(OwnershipError::Departed(_))));
    assert!(matches!(ownership::revoke(&mut kho, offer), Err(OwnershipError::Departed(_))));
    assert!(crate::Departed::witness(&kho, offer).unwrap().is_some());
    assert!(machine.enter_guest(&owned));

    let refused = KhoError::NotOwner { word: machine.word() };
    second.write(kept[0].addr(), &page(99)).unwrap();
    assert_eq!(first.write(kept[0].addr(), &page(1)), Err(refused.clone()));
    assert_eq!(kho.write(kept[0].addr(), &page(1)), Err(refused));
    // The winner's view is the machine's memory from now on.
    ownership::offer(&mut second, owned).unwrap();
    assert_eq!(bytes_of(&machine.successor().unwrap(), kept[0]), page(99));
}

#[test]
fn of_many_successors_on_many_threads_one_wins() {
    for _ in 0..20 {
        let (machine, _kho, offer, _) = offered();
        let racers: [SimKho; 4] = core::array::from_fn(|_| machine.successor().unwrap());
        let start = Barrier::new(racers.len());
        let race = |mut next: SimKho| {
            load(&mut next).unwrap();
            start.wait();
            ownership::commit(&mut next, offer).is_ok_and(|owned| machine.enter_guest(&owned))
        };
        let won = thread::scope(|scope| {
            let threads = racers.map(|next| scope.spawn(|| race(next)));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(won.iter().filter(|&&won| won).count(), 1);
        assert_eq!((machine.word().holding(), machine.violations()), (Holding::Running, Vec::new()));
    }
}

#[test]
fn after_a_revoke_the_next_adopter_starts_from_identical_bytes() {
    let (machine, mut kho, offer, kept) = offered();
    let sealed: Vec<_> = kept.iter().map(|&range| bytes_of(&kho, range)).collect();
    let mut late = machine.successor().unwrap();
    load(&mut late).unwrap();
    let owned = ownership::revoke(&mut kho, offer).unwrap();
    assert!(matches!(ownership::commit(&mut late, offer), Err(OwnershipError::Departed(_))));

    // The guest ran on, and the memory has changed since.
    kho.write(kept[1].addr(), &page(2)).unwrap();
    let offer = ownership::offer(&mut kho, owned).unwrap();
    // Who opened the offer before this one has old bytes before it, and is refused even with the new word.
    assert!(matches!(ownership::commit(&mut late, offer), Err(OwnershipError::Departed(_))));

    let mut next = machine.successor().unwrap();
    let fresh = next.census().unwrap();
    assert_eq!(fresh.claimed, [], "claims of another adopter are its own");
    load(&mut next).unwrap();
    assert_eq!(kept.iter().map(|&range| bytes_of(&next, range)).collect::<Vec<_>>(), sealed);
    assert!(machine.enter_guest(&ownership::commit(&mut next, offer).unwrap()));
    assert_eq!(machine.violations(), []);
}

#[test]
fn a_renewed_offer_shuts_out_who_read_the_old_one_but_not_who_comes() {
    let (machine, mut kho, offer, _) = offered();
    let mut hung = machine.successor().unwrap();
    let mut guardian = machine.guardian();
    assert_eq!(guardian.census().unwrap().allocated, []);
    let renewed = ownership::reoffer(&mut guardian, standing(&machine)).unwrap();
    machine.kill(kho.party());

    assert!(matches!(ownership::commit(&mut hung, offer), Err(OwnershipError::Departed(_))));
    assert!(matches!(ownership::commit(&mut hung, renewed), Err(OwnershipError::Departed(_))));
    assert_eq!(ownership::revoke(&mut kho, offer), Err(OwnershipError::Kho(KhoError::Crashed)));
    let mut old_program = machine.successor().unwrap();
    load(&mut old_program).unwrap();
    let owned = ownership::commit(&mut old_program, renewed).unwrap();
    assert!(machine.enter_guest(&owned));
    assert_eq!(machine.violations(), []);
}

#[test]
fn the_offering_side_may_renew_and_then_revoke() {
    let (machine, mut kho, offer, _) = offered();
    let renewed = ownership::reoffer(&mut kho, offer).unwrap();
    assert!(matches!(ownership::revoke(&mut kho, offer), Err(OwnershipError::Departed(_))));
    let owned = ownership::revoke(&mut kho, renewed).unwrap();
    assert!(machine.enter_guest(&owned));
}

#[test]
fn a_party_without_a_right_to_the_turn_is_refused_and_noticed() {
    let (machine, _kho, offer, _) = offered();
    let mut guardian = machine.guardian();
    let mut next = machine.successor().unwrap();
    let refused = OwnershipError::Kho(KhoError::NotOwner { word: machine.word() });
    assert_eq!(ownership::commit(&mut guardian, offer), Err(refused.clone()));
    assert_eq!(ownership::reoffer(&mut next, offer), Err(refused));
    let parties: Vec<_> = machine
        .violations()
        .into_iter()
        .map(|violation| match violation {
            Violation::Swap { party, from, .. } if from == offer.word() => party,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(parties, [guardian.party(), next.party()]);
}

#[test]
fn entering_the_guest_with_a_right_that_has_gone_is_noticed() {
    let (machine, _kho, owned) = founded(small());
    assert!(machine.enter_guest(&owned));
    machine.power_cycle();
    assert!(!machine.enter_guest(&owned));
    assert_eq!(machine.violations(), [Violation::Guest { shown: owned.word(), word: Word::VACANT }]);
}

#[test]
fn an_enemy_can_change_what_is_on_offer() {
    let (machine, kho, _, kept) = offered();
    let at = kept[1].start().addr();
    let near_the_end = crate::PhysAddr::new(at.get() + crate::FRAME_BYTES - 2);
    let opened_before = machine.successor().unwrap();
    assert!(machine.tamper(near_the_end, &[0xEE; 4]));
    assert!(machine.tamper_names(Root::new(77), None));
    let next = machine.successor().unwrap();
    assert_eq!(next.root(), Root::new(77));
    assert_eq!(kept[1].end(), kept[2].start().get());
    assert_eq!(next.peek(kept[1].start()).unwrap()[FRAME_SIZE - 3..], [2, 0xEE, 0xEE]);
    assert_eq!(next.peek(kept[2].start()).unwrap()[..2], [0xEE, 0xEE]);
    assert_eq!(bytes_of(&opened_before, kept[1]), page(2));
    assert_eq!(bytes_of(&kho, kept[1]), page(2));
    assert_eq!(opened_before.root(), kho.root());

    assert!(machine.tamper_names(None, None));
    assert_eq!(machine.successor().unwrap().root(), Root::new(77));
    machine.power_cycle();
    assert!(!machine.tamper(at, &[1]) && !machine.tamper_names(None, None));
}

#[test]
fn what_was_forked_goes_its_own_way() {
    let (machine, mut kho, offer, _) = offered();
    let fork = machine.fork();
    let here = ownership::revoke(&mut kho, offer).unwrap();
    let mut next = fork.successor().unwrap();
    load(&mut next).unwrap();
    let there = ownership::commit(&mut next, offer).unwrap();
    assert!(machine.enter_guest(&here) && fork.enter_guest(&there));
    assert_eq!((machine.generation(), fork.generation()), (0, 1));
}
