//! A file may name others of its session by token. They are made first, in whatever order they are asked for; circles
//! and missing files are found before anything is handed over, and again on the far side, where nobody is believed.

use luo_core::{Cause, DependencyError, Fate, Phase, Prepared, RetrieveError, Stuck, Token};
use luo_kho::FrameCount;
use luo_kho::carrier::Carrier;
use luo_kho::sim::{MachineConfig, SimKho};
use luo_tests::{
    Act, Build, By, Host, LATE, LIAR, Program, SimFile, Successor, Who, carrier, frame_count, nobody, session,
};

/// A row of files, each depending on the next.
fn links(host: &Host, files: u64) -> Vec<SimFile> {
    let files: Vec<_> = (0..files).map(|number| host.note(format!("link {number}"))).collect();
    for (token, pair) in files.windows(2).enumerate() {
        let [file, next] = pair else { panic!("two at a time") };
        assert_eq!(file.mark(), token as u64);
        file.depend_on(next);
    }
    files
}

/// A program with such a row in session `s`, under tokens from 0.
fn row(host: &Host, files: u64) -> (Program<'_>, Vec<SimFile>) {
    let mut program = host.found(&Build::plain());
    let files = links(host, files);
    for (token, file) in (0..).zip(&files) {
        program.preserve("s", token, file);
    }
    (program, files)
}

/// The refusal that failed a prepare, as a missing dependency.
fn dependency(cause: &Cause) -> DependencyError {
    let Cause::Refused(refusal) = cause else { panic!("{cause}") };
    *refusal.cause::<DependencyError>().expect("it says what it depends on")
}

#[test]
fn a_file_brings_those_it_depends_on() {
    for (by, first) in [(By::Exec, 0), (By::Kexec, 3), (By::Exec, 1)] {
        let host = Host::new();
        let (program, _) = row(&host, 4);
        let mut new = program.update(by, &Build::plain());
        let file = new.retrieve("s", first).unwrap();
        // Dependencies are done first; each is done once.
        let made: Vec<_> = (first..4).rev().map(Who::File).collect();
        assert_eq!(new.order(Act::Retrieve), made);
        let rest: Vec<_> = (0..4).filter(|token| *token != first).collect();
        for token in &rest {
            assert_eq!(new.retrieve("s", *token).unwrap().bytes(), format!("link {token}").into_bytes());
        }
        assert_eq!(new.order(Act::Retrieve).len(), 4);
        if first < 3 {
            let token = new.updated.luo().token_of(session("s"), &file.depends_on()[0]);
            assert_eq!(token, Some(Token(first + 1)), "the same file as the one that has the token");
        }
        new.finish().unwrap().assert_clean();
    }
}

/// A file that only others asked for is not lost: its user still has to take it.
#[test]
fn being_depended_on_is_not_being_taken() {
    let host = Host::new();
    let (program, _) = row(&host, 2);
    let mut new = program.update(By::Kexec, &Build::plain());
    let first = new.retrieve("s", 0).unwrap();
    let fates: Vec<_> = new.updated.files(session("s")).map(|(_, _, fate)| fate).collect();
    assert!(
        matches!(fates[..], [Fate::Retrieved { taken: true }, Fate::Retrieved { taken: false }]),
        "{fates:?}"
    );
    let Stuck { kept: mut new, error } = new.finish().unwrap_err();
    assert!(error.to_string().contains("1 files are unclaimed: `s` 0x1"), "{error}");
    let second = new.retrieve("s", 1).unwrap();
    assert!(second.is(&first.depends_on()[0]));
    new.finish().unwrap().assert_clean();
}

/// The guest points a file at another while everything is prepared: freeze looks the tokens up again.
#[test]
fn tokens_are_looked_up_by_freeze_too() {
    let host = Host::new();
    let mut old = host.found(&Build::plain());
    let files = [host.note("a"), host.note("b"), host.note("c")];
    for (token, file) in (10..).zip(&files) {
        old.preserve("s", token, file);
    }
    files[0].depend_on(&files[1]);
    let (mut arrived, build) = (None, Build::plain());
    let mut far = carrier(By::Exec, |_| host.arrive(&build, &mut arrived));
    let prepared = old.luo.prepare(&mut *far).unwrap();
    files[0].depend_on_nobody();
    files[0].depend_on(&files[2]);
    let _departed = prepared.freeze(host.guest.leave(old.party)).unwrap().hand_over().unwrap();
    drop(far);
    let mut new = arrived.unwrap();
    let file = new.retrieve("s", 10).unwrap();
    assert_eq!(file.depends_on()[0].bytes(), b"c");
    new.retrieve_all();
    new.finish().unwrap().assert_clean();
}

/// Freeze finds a circle; once the circle is gone, freeze goes through. What an attempt wrote down is forgotten with
/// it.
#[test]
fn a_circle_made_after_prepare_is_found_by_freeze() {
    let host = Host::new();
    let (mut program, files) = row(&host, 3);
    let (id, party) = (program.id, program.party);
    let (mut arrived, build) = (None, Build::plain());
    let mut far = carrier(By::Exec, |_| host.arrive(&build, &mut arrived));
    let prepared = program.luo.prepare(&mut *far).unwrap();
    files[2].depend_on(&files[0]);
    let Stuck { kept: (prepared, right), error } = prepared.freeze(host.guest.leave(party)).unwrap_err();
    let Cause::DependencyCycle { tokens } = &error.cause else { panic!("{error}") };
    assert_eq!((error.phase, tokens.as_slice()), (Phase::Freeze, &[Token(0), Token(1), Token(2)][..]));
    assert_eq!(host.journal.order(id, Act::Unfreeze), [2, 1, 0].map(Who::File));
    files[2].depend_on_nobody();
    let _departed = prepared.freeze(right).expect("there is no circle any more").hand_over().unwrap();
    drop(far);
    let mut new = arrived.unwrap();
    new.retrieve_all();
    new.finish().unwrap().assert_clean();
}

#[test]
fn a_circle_is_found_by_prepare() {
    for length in [1, 2, 5, 25] {
        let host = Host::new();
        let (mut program, files) = row(&host, length + 1);
        let last = usize::try_from(length).unwrap();
        files[last].depend_on(&files[1]);
        let error = program.luo.prepare(&mut nobody()).unwrap_err();
        let Cause::DependencyCycle { tokens } = &error.cause else { panic!("{error}") };
        assert_eq!(tokens.len() as u64, length, "the way into the circle is no part of it");
        assert_eq!((error.phase, tokens[0]), (Phase::Prepare, Token(1)));
        program.assert_clean();
        files[last].depend_on_nobody();
        program.update(By::Exec, &Build::plain()).retrieve_all();
    }
}

/// Diamonds are no circles.
#[test]
fn two_files_may_depend_on_one() {
    let host = Host::new();
    let mut old = host.found(&Build::plain());
    let [top, left, right, bottom] = ["top", "left", "right", "bottom"].map(|name| host.note(name));
    for (file, other) in [(&top, &left), (&top, &right), (&left, &bottom), (&right, &bottom)] {
        file.depend_on(other);
    }
    for (token, file) in (0..).zip([&bottom, &top, &right, &left]) {
        old.preserve("s", token, file);
    }
    let mut new = old.update(By::Kexec, &Build::plain());
    let top = new.retrieve("s", 1).unwrap();
    let [left, right] = &top.depends_on()[..] else { panic!("it depends on two") };
    assert!(left.depends_on()[0].is(&right.depends_on()[0]));
    assert_eq!(new.retrieve_all().len(), 3);
    new.finish().unwrap().assert_clean();
}

#[test]
fn a_missing_dependency_is_named() {
    let host = Host::new();
    let mut program = host.found(&Build::plain());
    let (file, other) = (host.note("a"), host.note("b"));
    file.depend_on(&other);
    program.preserve("s", 1, &file);
    let error = program.luo.prepare(&mut nobody()).unwrap_err();
    assert_eq!(dependency(&error.cause), DependencyError::NotPreserved);
    assert_eq!(
        error.to_string(),
        "file 0x1 of session `s` (note) failed to prepare: depends on a file that is not preserved in this session"
    );
    program.preserve("t", 2, &other);
    let error = program.luo.prepare(&mut nobody()).unwrap_err();
    let elsewhere = DependencyError::Elsewhere { session: session("t"), token: Token(2) };
    assert_eq!(dependency(&error.cause), elsewhere);
    program.luo.unpreserve(session("t"), Token(2)).unwrap();
    program.preserve("s", 2, &other);
    program.prepare_and_cancel(&mut nobody());
    file.depend_on(&host.file("alien", ""));
    let error = program.luo.prepare(&mut nobody()).unwrap_err();
    assert_eq!(dependency(&error.cause), DependencyError::NoHandler);
    program.assert_clean();
}

/// A file prepared ahead of time has written a token down. When the file behind the token goes, the record is stale:
/// it is not handed over, and another file under the same token is not taken for it.
#[test]
fn a_dependency_that_goes_away_takes_the_prepared_record_with_it() {
    for another_takes_its_place in [false, true] {
        let host = Host::new();
        let (mut program, files) = row(&host, 2);
        program.luo.prepare_file(session("s"), Token(0), &nobody()).unwrap();
        program.luo.unpreserve(session("s"), Token(1)).unwrap();
        if another_takes_its_place {
            program.preserve("s", 1, &host.note("somebody else"));
        }
        let error = program.luo.prepare(&mut nobody()).expect_err("link 1 is not preserved");
        assert_eq!(dependency(&error.cause), DependencyError::NotPreserved);
        program.luo.preserve(session("s"), Token(2), files[1].clone()).unwrap();
        let mut new = program.update(By::Exec, &Build::plain());
        assert_eq!(new.retrieve("s", 0).unwrap().depends_on()[0].bytes(), b"link 1");
    }
}

/// Link 0 names 1, which names 2, which names 3: when 3 goes, only the record of 2 is stale.
#[test]
fn who_does_not_depend_on_what_goes_away_stays_prepared() {
    let host = Host::new();
    let (mut program, _files) = row(&host, 4);
    program.luo.prepare_session(session("s"), &nobody()).unwrap();
    program.luo.unpreserve(session("s"), Token(3)).unwrap();
    let prepared = [0, 1, 2, 3].map(|token| program.luo.is_prepared(session("s"), Token(token)));
    assert_eq!(prepared, [Some(true), Some(true), Some(false), None]);
    program.luo.cancel_session(session("s")).unwrap();
    program.assert_clean();
}

/// 32 dependencies in a row are followed, and one more is refused before anything is handed over: whoever is asked for
/// first, nobody is out of reach.
#[test]
fn depth_is_bounded_on_the_near_side() {
    let host = Host::new();
    let (program, _) = row(&host, 33);
    let mut new = program.update(By::Exec, &Build::plain());
    assert_eq!(new.retrieve("s", 0).unwrap().bytes(), b"link 0", "it brings the other 32");
    new.retrieve_all();
    new.finish().unwrap().assert_clean();
    for files in [34, 5_000] {
        let host = Host::with(MachineConfig::default().frames(FrameCount::new(1 << 16).unwrap()));
        let (mut program, links) = row(&host, files);
        let error = program.luo.prepare(&mut nobody()).unwrap_err();
        let Cause::DependencyTooDeep { token, depth: 33, max: 32 } = error.cause else { panic!("{error}") };
        assert_eq!((error.phase, token), (Phase::Prepare, Token(files - 34)));
        program.assert_clean();
        links.iter().for_each(SimFile::depend_on_nobody);
    }
}

/// Nor does it matter who was preserved first: here each is found behind one that is known not to be too deep.
#[test]
fn depth_is_bounded_from_the_end_of_the_row_too() {
    for files in [33, 34] {
        let host = Host::new();
        let mut program = host.found(&Build::plain());
        let links = links(&host, files);
        links.iter().rev().for_each(|file| program.preserve("s", file.mark(), file));
        let refused = program.luo.prepare(&mut nobody()).map(Prepared::cancel).err();
        let too_deep = refused.map(|error| match error.cause {
            Cause::DependencyTooDeep { token, depth, max: 32 } => (token, depth),
            _ => panic!("{error}"),
        });
        assert_eq!(too_deep, (files > 33).then_some((Token(0), 33)), "{files} files");
        program.assert_clean();
        links.iter().for_each(SimFile::depend_on_nobody);
    }
}

/// The far side does not follow more, whatever the bytes say; each level is a frame of the stack.
#[test]
fn depth_is_bounded_on_the_far_side() {
    let host = Host::new();
    let mut old = host.found(&Build::plain());
    for token in 0..1000 {
        let liar = host.note("a lie");
        liar.change(|contents| (contents.flags, contents.position) = (LIAR, token + 1));
        old.preserve("s", token, &liar);
    }
    old.preserve("s", 1000, &host.note("honest"));
    let mut new = old.update(By::Exec, &Build::plain());
    let error = new.retrieve("s", 0).unwrap_err().to_string();
    assert!(error.contains("token 0x21 of session `s` lies more than 32 dependencies deep"), "{error}");
    assert_eq!(new.retrieve("s", 1000).unwrap().bytes(), b"honest");
    assert_eq!(new.retrieve("s", 968).unwrap().depends_on().len(), 1, "32 dependencies are followed");
}

/// The far side meets a circle that no honest near side writes: a writer that lies about tokens.
#[test]
fn a_circle_that_arrives_is_refused() {
    for (zero, one) in [(1, 0), (0, 0)] {
        let host = Host::new();
        let mut old = host.found(&Build::plain());
        let liar = |depends_on| {
            let file = host.note("a lie");
            file.change(|contents| (contents.flags, contents.position) = (LIAR, depends_on));
            file
        };
        old.preserve("s", 0, &liar(zero));
        old.preserve("s", 1, &liar(one));
        old.preserve("s", 2, &host.note("honest"));
        let mut new = old.update(By::Exec, &Build::plain());
        let error = new.retrieve("s", 0).unwrap_err();
        assert!(error.to_string().contains("token 0x0 of session `s` depends on itself"), "{error}");
        let again = new.retrieve("s", 1).unwrap_err();
        assert!(matches!(again, RetrieveError::Failed { .. }), "{again}");
        assert_eq!(new.retrieve("s", 2).unwrap().bytes(), b"honest");
        let claimed = new.updated.luo().memory().census().unwrap().claimed;
        assert_eq!(frame_count(&claimed), 2, "the liars claim nothing");
        let gone = [(session("s"), Token(0)), (session("s"), Token(1))];
        new.finish_discarding(&gone).unwrap().assert_clean();
    }
}

/// A build whose logs lean on a pool, which asks for a file before it is made again.
fn pool_asking_for(token: u64) -> Build {
    let pool = Build::plain().pool_asking("pool", 1..=1, session("s"), token);
    pool.file_on("log", 1..=2, &["pool"])
}

/// A shared object on the way is one level more, as a file would be: a pool is made at depth 1, and what it asks for at
/// depth 2.
#[test]
fn shared_objects_count_in_a_row_of_dependencies() {
    for (files, refused) in [(31, false), (32, true)] {
        let host = Host::new();
        let mut old = host.found(&pool_asking_for(0));
        let links: Vec<_> = (0..files).map(|_| host.note("link")).collect();
        links.windows(2).for_each(|pair| pair[0].depend_on(&pair[1]));
        (0..).zip(&links).for_each(|(token, link)| old.preserve("s", token, link));
        old.preserve("l", 0, &host.file("log", "leans on the pool"));
        let mut new = old.update(By::Exec, &pool_asking_for(0));
        let outcome = new.retrieve("l", 0).map_err(|error| error.to_string());
        let too_deep = "token 0x1f of session `s` lies more than 32 dependencies deep";
        assert_eq!(outcome.is_err_and(|error| error.contains(too_deep)), refused, "{files} files");
    }
}

/// A circle may lead through a shared object, which asks for a file that leans on it: the one that asked for it, or
/// another.
#[test]
fn a_circle_through_a_shared_object_is_refused() {
    let causes = ["token 0x0 of session `s` depends on itself", "a shared object depends on itself"];
    for (asked, cause) in (0..).zip(causes) {
        let host = Host::new();
        let mut old = host.found(&pool_asking_for(asked));
        old.preserve("s", 0, &host.file("log", "leans on the pool"));
        old.preserve("s", 1, &host.file("log", "leans on it too"));
        old.preserve("s", 2, &host.note("does not"));
        let mut new = old.update(By::Kexec, &pool_asking_for(asked));
        let error = new.retrieve("s", 0).unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
        assert_eq!(new.retrieve("s", 2).unwrap().bytes(), b"does not");
        let gone = [(session("s"), Token(0)), (session("s"), Token(1))];
        new.finish_discarding(&gone).unwrap().assert_clean();
    }
}

/// As little is believed of a token that nobody has.
#[test]
fn a_missing_dependency_that_arrives_is_named() {
    let host = Host::new();
    let mut old = host.found(&Build::plain());
    let liar = host.note("a lie");
    liar.change(|contents| (contents.flags, contents.position) = (LIAR, 77));
    old.preserve("s", 0, &liar);
    let mut new = old.update(By::Kexec, &Build::plain());
    let error = new.retrieve("s", 0).unwrap_err().to_string();
    assert!(error.contains("session `s` arrived without token 0x4d"), "{error}");
    new.finish_discarding(&[(session("s"), Token(0))]).unwrap().assert_clean();
}

/// A file prepared ahead of time may depend on one that is preserved later, if it looks it up late.
#[test]
fn late_dependencies_are_found_by_freeze() {
    let host = Host::new();
    let mut old = host.found(&Build::plain());
    let (file, other) = (host.note("early"), host.note("late"));
    file.change(|contents| contents.flags = LATE);
    file.depend_on(&other);
    old.preserve("s", 1, &file);
    let far: &dyn Carrier<SimKho> = &nobody();
    old.luo.prepare_file(session("s"), Token(1), far).unwrap();
    old.preserve("s", 2, &other);
    let mut new: Successor<'_> = old.update(By::Kexec, &Build::plain());
    assert_eq!(new.retrieve("s", 1).unwrap().depends_on()[0].bytes(), b"late");
    new.retrieve_all();
    new.finish().unwrap().assert_clean();
}
