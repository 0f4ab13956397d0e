//! Subsystems are known by name, save their state and get it back: what Linux's patches of 2025 test as
//! `subsystem.register_unregister`, `double_unregister`, `register_unregister_many`, `getdata_verify` and
//! `prepare_fail`. Here they are registered before the orchestrator is made and live as long as it.

use luo_core::{Kind, Participant, Phase, Registry, RegistryError, Role, Stuck};
use luo_tests::{Act, Build, By, Host, Pen, ProgramId, Who, nobody};

fn named(name: &str) -> Who {
    Who::Subsystem(Kind::new(name).expect("a good name"))
}

#[test]
fn a_name_is_taken_once() {
    let host = Host::new();
    let pen = Pen::new(host.journal.clone(), ProgramId(0));
    let (mut registry, _) = Build::empty().subsystem("vcpus", 1..=1).registry(&pen);
    let (mut other, _) = Build::empty().subsystem("clock", 1..=1).registry(&pen);
    assert_eq!(registry.manifest().supports.len(), 1);
    let again =
        luo_tests::VcpuSaver::new(luo_tests::Speech::new("vcpus", 1..=1), luo_tests::Vcpus::default(), pen);
    let error = registry.subsystem(again).unwrap_err();
    assert_eq!(error, RegistryError::Duplicate { role: Role::Subsystem, kind: Kind::literal("vcpus") });
    assert_eq!(registry.manifest().supports.len(), 1, "the registry is as before");
    assert!(
        other
            .feature(Kind::literal("f"))
            .manifest()
            .support(Role::Subsystem, Kind::literal("clock"))
            .is_some()
    );
    assert_eq!(Registry::new().manifest().supports, []);
}

#[test]
fn many_subsystems_run_in_order_and_are_undone_in_reverse() {
    let names: Vec<_> = (0..50).map(|number| format!("subsystem-{number}")).collect();
    let build = names.iter().fold(Build::empty(), |build, name| build.subsystem(name, 1..=1));
    let host = Host::new();
    let mut program = host.found(&build);
    program.prepare_and_cancel(&mut nobody());
    let forwards: Vec<_> = names.iter().map(|name| named(name)).collect();
    let backwards: Vec<_> = forwards.iter().rev().copied().collect();
    assert_eq!(host.journal.order(program.id, Act::Prepare), forwards);
    assert_eq!(host.journal.order(program.id, Act::Cancel), backwards);
    let new = program.update(By::Kexec, &build);
    assert_eq!(new.order(Act::Restore), forwards);
    let new = new.finish().unwrap();
    assert_eq!(host.journal.order(new.id, Act::Finish), backwards);
    new.assert_clean();
}

#[test]
fn each_gets_its_own_state_back() {
    let build = Build::empty().subsystem("one", 1..=1).subsystem("two", 1..=3).subsystem("three", 2..=2);
    for by in By::ALL {
        let host = Host::new();
        let old = host.found(&build);
        for (times, vcpus) in (1..).zip(&old.vcpus) {
            (0..times).for_each(|_| vcpus.tick());
        }
        let new = old.update(by, &build);
        assert_eq!(new.vcpus.iter().map(luo_tests::Vcpus::ticks).collect::<Vec<_>>(), [1, 2, 3]);
        new.finish().unwrap().assert_clean();
    }
}

/// The last of many refuses: all before it are cancelled in reverse, it is not, and the next attempt goes through.
#[test]
fn prepare_fail() {
    let build = (0..20).fold(Build::empty(), |build, number| build.subsystem(&format!("s{number}"), 1..=1));
    let host = Host::new();
    let mut program = host.found(&build);
    host.journal.refuse_next(2 * 19);
    let error = program.luo.prepare(&mut nobody()).unwrap_err();
    assert_eq!(error.participant, Participant::Subsystem(Kind::literal("s19")));
    assert_eq!(error.phase, Phase::Prepare);
    assert_eq!(error.to_string(), "subsystem `s19` failed to prepare: question 38 was to be refused");
    let cancelled = host.journal.order(program.id, Act::Cancel);
    assert_eq!(cancelled, (0..19).rev().map(|number| named(&format!("s{number}"))).collect::<Vec<_>>());
    program.assert_clean();
    program.update(By::Exec, &build).finish().unwrap().assert_clean();
}

/// A subsystem that refuses to restore keeps the successor from committing; the predecessor goes on.
#[test]
fn a_subsystem_that_cannot_restore_stops_the_successor() {
    let host = Host::new();
    let mut old = host.found(&Build::standard());
    (0..5).for_each(|_| old.vcpus[0].tick());
    let build = Build::standard();
    let mut carrier = luo_tests::carrier(By::Exec, |_| {
        let mut arrived = host.adopt(&build).unwrap();
        host.journal.refuse_next(0);
        let error = arrived.adopted.restore().unwrap_err();
        assert_eq!(error.participant, Participant::Subsystem(Kind::literal("vcpus")));
        let again = arrived.adopted.restore().unwrap_err();
        assert_eq!(
            again.to_string(),
            error.to_string(),
            "the refusal is remembered, and the callback not repeated"
        );
        let stuck = arrived.commit().unwrap_err();
        assert_eq!((stuck.error.phase, stuck.error.participant), (Phase::Commit, error.participant));
        Err(luo_tests::refused(&error))
    });
    let frozen = old.luo.prepare(&mut *carrier).unwrap().freeze(host.guest.leave(old.party)).unwrap();
    let Stuck { kept: frozen, error } = frozen.hand_over().unwrap_err();
    assert!(error.to_string().contains("the successor refused: subsystem `vcpus` failed to restore"));
    let right = frozen.cancel().unwrap();
    drop(carrier);
    old.run(right);
    old.vcpus[0].tick();
    assert_eq!(old.vcpus[0].ticks(), 6);
    old.assert_clean();
}

/// A subsystem that refused, at its beginning or when it had claimed memory, can be waived; nothing of it stays behind.
#[test]
fn a_refused_restore_can_be_waived() {
    for at in [0, 1] {
        let host = Host::new();
        host.found(&Build::standard()).die_offering();
        let mut arrived = host.adopt(&Build::standard()).unwrap();
        host.journal.refuse_next(at);
        arrived.adopted.restore().unwrap_err();
        assert_eq!(
            arrived.adopted.luo().memory().census().unwrap().claimed,
            [],
            "what it claimed was forgone"
        );
        assert!(arrived.adopted.waive(Kind::literal(luo_tests::VCPUS)));
        let new = arrived.take_over().unwrap();
        assert_eq!(new.vcpus[0].ticks(), 0);
        new.finish().unwrap().assert_clean();
    }
}

/// A subsystem that is new in the successor, or has gone, was not restored and so is not finished either.
#[test]
fn who_was_not_restored_is_not_finished() {
    let host = Host::new();
    let old = host.found(&Build::empty().subsystem("old", 1..=1).subsystem("both", 1..=1));
    let build = Build::empty().subsystem("both", 1..=1).subsystem("new", 1..=1);
    let mut arrived = None;
    let mut carrier = luo_tests::carrier(By::Kexec, |_| {
        let mut adopted = host.adopt(&build).unwrap();
        assert!(adopted.adopted.waive(Kind::literal("old")));
        assert!(!adopted.adopted.waive(Kind::literal("new")), "nothing of it arrived");
        arrived = Some(adopted.take_over().unwrap());
        Ok(())
    });
    let (mut luo, party) = (old.luo, old.party);
    let _departed =
        luo.prepare(&mut *carrier).unwrap().freeze(host.guest.leave(party)).unwrap().hand_over().unwrap();
    drop(carrier);
    let new = arrived.unwrap();
    assert_eq!(new.order(Act::Restore), [named("both")]);
    let new = new.finish().unwrap();
    assert_eq!(host.journal.order(new.id, Act::Finish), [named("both")]);
    new.assert_clean();
}
