//! Versions: the reader takes the newest that both sides know, the writer's policy decides what is offered, and no
//! common version is known before anything is paused: cases V1 to V8 of `docs/faults.md`.

use luo_core::{
    Cause, Fate, Kind, OrphanReason, Participant, Phase, RetrieveError, Role, State, Token, Version,
    VersionRange, WritePolicy,
};
use luo_tests::{Act, Build, By, Contents, Host, NOTE, Successor, Who, nobody, session};

/// A host on which `old` has written one note, with a position and a flag, and `new` has taken over.
fn updated<'h>(host: &'h Host, old: &Build, policy: WritePolicy, new: &Build) -> Successor<'h> {
    let mut program = host.found(old);
    let file = host.note("a note");
    file.change(|contents| (contents.position, contents.flags) = (3, 5));
    program.preserve("s", 1, &file);
    program.luo.set_policy(policy);
    program.update(By::Kexec, new)
}

fn notes(versions: core::ops::RangeInclusive<u16>) -> Build {
    Build::empty().file(NOTE, versions)
}

/// Whether the note that arrived was written in a version with flags.
fn has_flags(contents: &Contents) -> bool {
    assert_eq!((contents.bytes.as_slice(), contents.position), (&b"a note"[..], 3));
    contents.flags == 5
}

fn orphan(error: RetrieveError) -> OrphanReason {
    let RetrieveError::Orphan { reason, .. } = error else { panic!("{error}") };
    reason
}

/// V1, V4: nothing in the successor reads the kind.
#[test]
fn an_unknown_kind_is_set_aside() {
    let host = Host::new();
    let mut new = updated(&host, &Build::plain(), WritePolicy::newest(), &Build::empty().file("log", 1..=2));
    let reason = orphan(new.retrieve("s", 1).unwrap_err());
    assert_eq!(reason, OrphanReason::UnknownKind { kind: Kind::literal(NOTE) });
    assert_eq!(reason.to_string(), "nothing that is registered reads `note`");
    assert_eq!(new.order(Act::Retrieve), []);
    new.finish_discarding(&[(session("s"), Token(1))]).unwrap().assert_clean();
}

/// V2: only a newer version than the successor reads.
#[test]
fn a_newer_version_is_set_aside() {
    let host = Host::new();
    let mut new = updated(&host, &notes(1..=4), WritePolicy::newest_of(2), &notes(1..=2));
    let kind = Kind::literal(NOTE);
    let reads = VersionRange::new(Version(1), Version(2)).unwrap();
    let reason = orphan(new.retrieve("s", 1).unwrap_err());
    let written = vec![Version(4), Version(3)];
    assert_eq!(reason, OrphanReason::UnknownVersion { kind, written, reads });
    assert_eq!(reason.to_string(), "`note` was written as [v4, v3], this build reads v1..v2");
    let fates: Vec<_> = new.updated.files(session("s")).map(|(_, _, fate)| fate).collect();
    assert!(matches!(fates[..], [Fate::Orphan(_)]), "{fates:?}");
    new.finish_discarding(&[(session("s"), Token(1))]).unwrap().assert_clean();
}

/// V3: older by one, older by two; and too old.
#[test]
fn an_older_version_is_read_as_long_as_it_is_known() {
    for (reads, readable) in [(1..=3, true), (2..=4, false)] {
        let host = Host::new();
        let mut new = updated(&host, &notes(1..=1), WritePolicy::newest(), &notes(reads));
        match new.retrieve("s", 1) {
            Ok(file) => assert!(readable && !has_flags(&file.contents()), "version 1 has no flags"),
            Err(error) => assert!(!readable, "{error}"),
        }
    }
}

/// V5, V6: of the versions that were written the newest that is known is read.
#[test]
fn the_newest_common_version_is_read() {
    for (newest, flags) in [(1, false), (2, true), (3, true), (9, true)] {
        let host = Host::new();
        let mut new = updated(&host, &notes(1..=3), WritePolicy::every(), &notes(1..=newest));
        assert_eq!(has_flags(&new.retrieve("s", 1).unwrap().contents()), flags, "newest read: {newest}");
        new.finish().unwrap().assert_clean();
    }
}

/// V8: every writer's range against every reader's. They meet exactly if a version that was written is read.
#[test]
fn the_matrix_of_builds_holds() {
    let ranges = || (1..=4u16).flat_map(|oldest| (oldest..=4).map(move |newest| (oldest, newest)));
    for (oldest, newest) in ranges() {
        for at_most in [1usize, 2, 4] {
            for (reads_from, reads_to) in ranges() {
                let host = Host::new();
                let (old, next) = (notes(oldest..=newest), notes(reads_from..=reads_to));
                let mut new = updated(&host, &old, WritePolicy::newest_of(at_most), &next);
                let written = (oldest..=newest).rev().take(at_most);
                let common = written.filter(|version| (reads_from..=reads_to).contains(version)).max();
                let found = new.retrieve("s", 1).map(|file| has_flags(&file.contents()));
                assert_eq!(found.ok(), common.map(|version| version > 1));
                host.check();
            }
        }
    }
}

/// V8: a downgrade works because N and N-1 are written together, and back again.
#[test]
fn a_downgrade_is_possible_when_two_versions_are_written() {
    let host = Host::new();
    let new = updated(&host, &notes(1..=2), WritePolicy::newest_of(2), &notes(1..=1));
    let mut downgraded = new;
    let file = downgraded.retrieve("s", 1).unwrap();
    assert!(!has_flags(&file.contents()));
    let mut program = downgraded.finish().unwrap();
    program.preserve("s", 1, &file);
    let mut again = program.update(By::Exec, &notes(1..=2));
    assert_eq!(again.retrieve("s", 1).unwrap().contents(), file.contents());
    again.finish().unwrap().assert_clean();
}

/// The policy chooses from the successor's manifest, so that it reads what is written and nothing more is.
#[test]
fn the_successors_manifest_decides_what_is_written() {
    let (old, next) = (notes(1..=3), notes(1..=2));
    let host = Host::new();
    let mut program = host.found(&old);
    program.preserve("s", 1, &host.note("a note"));
    program.luo.set_policy(WritePolicy::newest().for_successor(next.manifest()));
    let plan = program.luo.plan(&[&nobody()], None);
    assert_eq!(plan.files[0].versions, [Version(2)]);
    let mut new = program.update(By::Exec, &next);
    new.retrieve("s", 1).unwrap();
    new.finish().unwrap().assert_clean();
}

/// No common version is known by `plan`, and refused by `prepare`: before any pause, with everything as it was.
#[test]
fn no_common_version_is_known_before_the_pause() {
    let cases = [
        (notes(5..=5), "no common version: this side writes [v2, v1], the successor reads v5"),
        (Build::empty(), "the successor has nothing that reads this kind"),
    ];
    for (next, why) in cases {
        let host = Host::new();
        let mut program = host.found(&Build::plain());
        program.preserve("s", 1, &host.note("a note"));
        assert_eq!(program.luo.manifest().unreadable_by(&next.manifest()).len(), 1);
        let plan = program.luo.plan(&[&nobody()], Some(&next.manifest()));
        assert!(!plan.is_possible_with(0));
        assert!(plan.to_string().contains(why), "{plan}");
        program.luo.set_policy(WritePolicy::newest().for_successor(next.manifest()));
        let error = program.luo.prepare(&mut nobody()).unwrap_err();
        let kind = Kind::literal(NOTE);
        let file = Participant::File { session: session("s"), token: Token(1), kind };
        assert_eq!((error.participant, error.phase), (file, Phase::Prepare));
        assert!(matches!(error.cause, Cause::NoCommonVersion { .. } | Cause::UnknownToSuccessor));
        assert_eq!(error.to_string(), format!("file 0x1 of session `s` (note) failed to prepare: {why}"));
        assert_eq!(host.journal.order(program.id, Act::Prepare), []);
        assert_eq!(program.luo.state(), State::Normal);
        program.assert_clean();
    }
}

/// Subsystems and shared objects are asked for as files are.
#[test]
fn subsystems_and_shared_objects_are_negotiated_too() {
    let versions = |subsystem: u16, pool: u16| {
        let build = Build::empty().subsystem("vcpus", subsystem..=subsystem);
        build.pool("pool", pool..=pool).file_on(NOTE, 1..=2, &["pool"])
    };
    for (next, who) in [(versions(2, 1), "subsystem `vcpus`"), (versions(1, 2), "shared object `pool`")] {
        let host = Host::new();
        let mut program = host.found(&versions(1, 1));
        program.preserve("s", 1, &host.note("a note"));
        let plan = program.luo.plan(&[&nobody()], Some(&next.manifest()));
        assert!(!plan.is_possible_with(0));
        assert_eq!(plan.obstacles.len(), 1);
        assert!(plan.obstacles[0].starts_with(who), "{plan}");
        program.luo.set_policy(WritePolicy::every().for_successor(next.manifest()));
        let error = program.luo.prepare(&mut nobody()).unwrap_err();
        assert_eq!(error.participant.to_string(), who);
        program.assert_clean();
    }
}

/// A build may read versions that it no longer writes.
#[test]
fn reading_and_writing_are_two_things() {
    let writer = Build::empty().file_writing(NOTE, 1..=3, &[3]);
    let manifest = writer.manifest();
    let support = manifest.support(Role::Handler, Kind::literal(NOTE)).unwrap();
    assert_eq!((support.reads.oldest(), support.writes.as_slice()), (Version(1), &[Version(3)][..]));
    let host = Host::new();
    let mut new = updated(&host, &notes(1..=1), WritePolicy::newest(), &writer);
    let file = new.retrieve("s", 1).unwrap();
    let mut program = new.finish().unwrap();
    program.preserve("s", 1, &file);
    program.luo.set_policy(WritePolicy::every().for_successor(notes(1..=2).manifest()));
    let error = program.luo.prepare(&mut nobody()).unwrap_err();
    assert!(matches!(error.cause, Cause::NoCommonVersion { .. }), "{error}");
    program.luo.set_policy(WritePolicy::every());
    let mut next = program.update(By::Exec, &writer);
    assert_eq!(next.retrieve("s", 1).unwrap().bytes(), b"a note");
    next.finish().unwrap().assert_clean();
}

/// A file prepared ahead of time was written for whoever was to come then. If the policy has changed since, it is
/// written anew: the successor could not read it.
#[test]
fn what_was_prepared_for_another_successor_is_prepared_again() {
    let host = Host::new();
    let mut program = host.found(&notes(1..=3));
    let files = [1, 2, 3].map(|token| {
        let file = host.note("a note");
        program.preserve("s", token, &file);
        program.luo.prepare_file(session("s"), Token(token), &nobody()).unwrap();
        Who::File(file.mark())
    });
    let id = program.id;
    program.luo.set_policy(WritePolicy::newest().for_successor(notes(1..=2).manifest()));
    let mut new = program.update(By::Kexec, &notes(1..=2));
    let [first, second, third] = files;
    assert_eq!(host.journal.order(id, Act::Cancel), [third, second, first], "every undo runs in reverse");
    assert_eq!(host.journal.order(id, Act::Prepare), [files, files].concat());
    assert_eq!(new.retrieve_all().len(), 3);
    new.finish().unwrap().assert_clean();
}
