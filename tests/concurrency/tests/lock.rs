//! One orchestrator behind a lock, used by several threads: many interleavings, chosen so that few preemptions find
//! what few can find (PCT). Whatever the order, somebody has been first, and everybody else is told.
#![cfg(not(loom))]

use luo_core::{FinishError, Luo, PrepareOneError, PreserveError, RetrieveError, Stuck, Token};
use luo_kho::sim::SimKho;
use luo_tests::{Build, By, Host, Successor, assert_no_frames, nobody, session};
use shuttle::sync::Mutex;
use shuttle::thread;

/// How many schedules of each model, unless `LUO_SCHEDULES` says otherwise.
const SCHEDULES: usize = 2000;
/// How many preemptions they are made to find.
const DEPTH: usize = 3;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("LUO_SCHEDULES").ok().and_then(|count| count.parse().ok());
    shuttle::check_pct(model, schedules.unwrap_or(SCHEDULES), DEPTH);
}

fn luo(host: &Host) -> Luo<SimKho> {
    let mut luo = host.found(&Build::plain()).luo;
    luo.open_session(session("a")).unwrap();
    luo
}

#[test]
fn k1_preserve_and_close() {
    explore(|| {
        let host = Host::new();
        let (luo, file) = (Mutex::new(luo(&host)), host.note("x"));
        thread::scope(|scope| {
            let preserve = scope.spawn(|| {
                let outcome = luo.lock().unwrap().preserve(session("a"), Token(1), file.clone());
                match outcome {
                    Ok(()) => true,
                    Err(Stuck { error: PreserveError::UnknownSession { .. }, .. }) => false,
                    Err(stuck) => panic!("{stuck}"),
                }
            });
            luo.lock().unwrap().close_session(session("a")).unwrap();
            let _first_or_second = preserve.join().unwrap();
        });
        assert_eq!(file.pins(), 0, "closed, or never preserved");
        assert_eq!(luo.lock().unwrap().sessions().len(), 0);
    });
}

#[test]
fn k2_one_token_and_one_file_twice() {
    explore(|| {
        let host = Host::new();
        let (luo, files) = (Mutex::new(luo(&host)), [host.note("x"), host.note("y")]);
        let preserve = |file: usize, token: u64| {
            let outcome = luo.lock().unwrap().preserve(session("a"), Token(token), files[file].clone());
            match outcome {
                Ok(()) => true,
                Err(Stuck {
                    error: PreserveError::TokenInUse { .. } | PreserveError::FileInUse { .. },
                    ..
                }) => false,
                Err(stuck) => panic!("{stuck}"),
            }
        };
        let preserve = &preserve;
        let [one, other, again] = thread::scope(|scope| {
            let tries =
                [(0, 1), (1, 1), (0, 2)].map(|(file, token)| scope.spawn(move || preserve(file, token)));
            tries.map(|tried| tried.join().unwrap())
        });
        assert!(one || other, "somebody has token 1");
        assert!(!(one && other) && !(one && again), "nobody has it twice, nor the file twice");
        let pins = files.each_ref().map(luo_tests::SimFile::pins);
        assert_eq!(pins, [u32::from(one || again), u32::from(other)]);
    });
}

#[test]
fn k6_prepare_and_change() {
    explore(|| {
        let host = Host::new();
        let (luo, file) = (Mutex::new(luo(&host)), host.note("x"));
        thread::scope(|scope| {
            let update = scope.spawn(|| {
                let mut carrier = nobody();
                luo.lock().unwrap().prepare(&mut carrier).unwrap().cancel();
            });
            let change = scope.spawn(|| {
                luo.lock().unwrap().preserve(session("a"), Token(1), file.clone()).unwrap();
                match luo.lock().unwrap().prepare_file(session("a"), Token(1), &nobody()) {
                    // Somebody has taken it out in between.
                    Ok(()) | Err(PrepareOneError::Session(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            });
            let mut guard = luo.lock().unwrap();
            let _there_or_not = guard.unpreserve(session("a"), Token(1));
            drop(guard);
            update.join().unwrap();
            change.join().unwrap();
        });
        let mut luo = luo.into_inner().unwrap();
        luo.close_session(session("a")).unwrap();
        assert_no_frames(&luo.memory().census().unwrap());
        assert_eq!(file.pins(), 0);
        host.journal.expect_any_order();
        host.check();
    });
}

/// A successor with one file to be taken.
fn updated(host: &Host) -> Successor<'_> {
    let mut old = host.found(&Build::plain());
    old.preserve("a", 1, &host.note("x"));
    old.update(By::Exec, &Build::plain())
}

#[test]
fn k4_two_retrieve() {
    explore(|| {
        let host = Host::new();
        let new = Mutex::new(updated(&host));
        let retrieve = || match new.lock().unwrap().retrieve("a", 1) {
            Ok(_) => true,
            Err(RetrieveError::AlreadyRetrieved { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        let both = thread::scope(|scope| {
            let other = scope.spawn(retrieve);
            [retrieve(), other.join().unwrap()]
        });
        assert!(both[0] ^ both[1], "one of them has it");
    });
}

#[test]
fn k5_retrieve_and_finish() {
    explore(|| {
        let host = Host::new();
        let new = Mutex::new(Some(updated(&host)));
        let (retrieved, finished) = thread::scope(|scope| {
            let retrieve = scope.spawn(|| {
                let mut guard = new.lock().unwrap();
                guard.as_mut().is_some_and(|new| new.retrieve("a", 1).is_ok())
            });
            let mut guard = new.lock().unwrap();
            let finished = match guard.take().unwrap().finish() {
                Ok(program) => {
                    program.assert_clean();
                    true
                }
                Err(Stuck { kept, error: FinishError::Unclaimed(_) }) => {
                    *guard = Some(kept);
                    false
                }
                Err(stuck) => panic!("{stuck}"),
            };
            drop(guard);
            (retrieve.join().unwrap(), finished)
        });
        assert!(retrieved, "nothing is lost by finishing");
        if !finished {
            new.into_inner().unwrap().unwrap().finish().unwrap().assert_clean();
        }
    });
}
