//! Copying, on the simulated host and the simulated machine.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroUsize;
use core::ops::Range;
use std::sync::Mutex;

use luo_core::Refusal;
use luo_kho::ownership;
use luo_kho::sim::{FaultPlan, Fragmentation, Machine, MachineConfig, SimKho};
use luo_kho::{FRAME_SIZE, Owned, PreservedArray};
use luo_xarray::page_map::{PageMapError, PageStore, StoreNames};
use proptest::prelude::*;

use super::save::Hands;
use super::{Saving, make};
use crate::options::{DirtySource, Options};
use crate::sim::{SimHost, SimMemfd};
use crate::{Attributes, DirtyLog, HeadRoom, MemfdError, Name, Port, Progress, Seals};

const PAGE: u64 = 4096;

fn page(fill: u8) -> Vec<u8> {
    vec![fill; FRAME_SIZE]
}

/// A program with memory, on a host with one file.
struct Bench {
    host: SimHost,
    machine: Machine,
    kho: SimKho,
    owned: Owned,
    options: Options<SimMemfd>,
    file: SimMemfd,
    /// What the guest has written since the log was made, or drained.
    log: Arc<Mutex<Vec<Range<u64>>>>,
}

struct Log(Arc<Mutex<Vec<Range<u64>>>>);

impl DirtyLog for Log {
    fn drain(&mut self, dirty: &mut dyn FnMut(Range<u64>)) -> Result<(), Refusal> {
        self.0.lock().unwrap().drain(..).for_each(dirty);
        Ok(())
    }
}

impl Bench {
    fn new() -> Self {
        let machine = Machine::new(MachineConfig::default().fragmentation(Fragmentation::Random).seed(7));
        let (kho, owned) = machine.found().unwrap();
        let host = SimHost::new();
        let file = host.memfd("guest");
        file.resize(64 * PAGE).unwrap();
        for at in [0u8, 1, 2, 10, 40, 63] {
            file.write_at(u64::from(at) * PAGE, &page(at + 1)).unwrap();
        }
        Self { host, machine, kho, owned, options: Options::default(), file, log: Arc::default() }
    }

    /// With a dirty log.
    fn logged() -> Self {
        let mut bench = Self::new();
        let log = Arc::clone(&bench.log);
        bench.options.dirty = DirtySource::Given(Arc::new(move |_: &SimMemfd| {
            log.lock().unwrap().clear();
            Some(Box::new(Log(Arc::clone(&log))) as Box<dyn DirtyLog>)
        }));
        bench
    }

    /// As a guest writes: whoever keeps the log sees it.
    fn guest_writes(&self, at: u64, bytes: &[u8]) {
        self.file.write_at(at, bytes).unwrap();
        let end = at + bytes.len() as u64;
        self.log.lock().unwrap().push(at / PAGE..end.div_ceil(PAGE));
    }

    fn begin(&mut self) -> Result<Saving<SimHost>, MemfdError> {
        let name = Name::new("guest").unwrap();
        let mut hands = Hands { port: &self.host, options: &self.options, memory: &mut self.kho };
        Saving::begin(&self.file, name, &mut hands)
    }

    fn complete(&mut self, saving: &mut Saving<SimHost>) -> Result<StoreNames, MemfdError> {
        let attributes = self.host.look(&self.file)?;
        let mut hands = Hands { port: &self.host, options: &self.options, memory: &mut self.kho };
        saving.complete(&attributes, &mut hands)
    }

    /// Makes the file again, after an update.
    fn made(self, names: &StoreNames) -> Result<SimMemfd, MemfdError> {
        let Self { host, machine, mut kho, owned, options, file, .. } = self;
        let wanted = file.attributes();
        let _offer = ownership::offer(&mut kho, owned).unwrap();
        machine.kexec();
        let mut next = machine.successor().unwrap();
        let claimed = PageStore::restore(&mut next, names)?;
        let store = claimed.as_ref().map(|claimed| (claimed, names));
        make((&host, &options), &next, store, (&Name::new("guest").unwrap(), &wanted))
    }

    /// Panics unless what was saved makes the file again as it is.
    fn saved_whole(self, names: &StoreNames) {
        let file = self.file.clone();
        let again = self.made(names).unwrap();
        assert_eq!(contents(&again), contents(&file));
        assert_eq!(again.attributes(), Attributes { blocks: again.attributes().blocks, ..file.attributes() });
        assert_eq!(populated(&again), populated(&file), "holes stay holes");
    }
}

fn contents(file: &SimMemfd) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.attributes().size).unwrap()];
    file.read_at(0, &mut bytes);
    bytes
}

fn populated(file: &SimMemfd) -> Vec<Range<u64>> {
    let mut runs = Vec::new();
    let mut from = 0;
    while let Some(run) = file.file().pages_from(from) {
        from = run.end;
        runs.push(run);
    }
    runs
}

#[test]
fn without_a_log_everything_is_copied_when_users_have_stopped() {
    let mut bench = Bench::new();
    let mut saving = bench.begin().unwrap();
    assert_eq!(saving.placed(), [], "prepare copies nothing");
    bench.file.write_at(2 * PAGE, b"late").unwrap();
    bench.file.discard(40..41).unwrap();
    bench.file.write_at(50 * PAGE, b"new").unwrap();
    let names = bench.complete(&mut saving).unwrap();
    assert_eq!(names.pages, 6);
    bench.saved_whole(&names);
}

#[test]
fn freeze_may_be_undone_and_made_again() {
    for mut bench in [Bench::new(), Bench::logged()] {
        let mut saving = bench.begin().unwrap();
        for round in 0..3u8 {
            bench.guest_writes(u64::from(round) * 9 * PAGE, &page(100 + round));
            bench.guest_writes(30 * PAGE, &[round; 9]);
            bench.complete(&mut saving).unwrap();
        }
        bench.file.resize(12 * PAGE + 5).unwrap();
        let names = bench.complete(&mut saving).unwrap();
        bench.saved_whole(&names);
    }
}

#[test]
fn with_a_log_freeze_copies_what_was_written_and_nothing_else() {
    let mut bench = Bench::logged();
    let mut saving = bench.begin().unwrap();
    assert_eq!(saving.placed().len(), 6);
    bench.guest_writes(10 * PAGE + 9, b"late");
    bench.guest_writes(20 * PAGE, b"new");
    let before = bench.host.calls();
    let names = bench.complete(&mut saving).unwrap();
    // A look; for each of two ranges the search for data, twice where the first one did not end it, and the reading.
    assert!(bench.host.calls() - before <= 7, "{}", bench.host.calls() - before);
    assert_eq!(names.pages, 7);
    bench.saved_whole(&names);
}

#[test]
fn pages_that_come_or_go_without_the_logs_knowledge_are_noticed() {
    for change in [|file: &SimMemfd| file.discard(1..3), |file: &SimMemfd| file.write_at(33 * PAGE, b"new")] {
        let mut bench = Bench::logged();
        let mut saving = bench.begin().unwrap();
        change(&bench.file).unwrap();
        let names = bench.complete(&mut saving).unwrap();
        bench.saved_whole(&names);
    }
}

#[test]
fn what_nobody_can_write_is_copied_before_the_pause() {
    let mut bench = Bench::new();
    bench.file.add_seals(Seals::WRITE | Seals::SHRINK).unwrap();
    let mut saving = bench.begin().unwrap();
    assert_eq!(saving.placed().len(), 6);
    bench.file.resize(100 * PAGE).unwrap();
    let before = bench.host.calls();
    let names = bench.complete(&mut saving).unwrap();
    assert_eq!(bench.host.calls() - before, 1, "freeze looks at the file");
    bench.saved_whole(&names);
}

#[test]
fn a_file_that_outgrew_its_reserve_is_refused_with_numbers() {
    let one_in = NonZeroUsize::new(3).unwrap();
    for mut bench in [Bench::new(), Bench::logged()] {
        bench.options.head_room = HeadRoom { one_in, at_least: 1 };
        let mut saving = bench.begin().unwrap();
        bench.guest_writes(20 * PAGE, &vec![1; 2 * FRAME_SIZE]);
        bench.complete(&mut saving).unwrap();
        bench.guest_writes(22 * PAGE, b"one too many");
        let error = bench.complete(&mut saving).unwrap_err();
        assert!(matches!(error, MemfdError::OutOfRoom { populated: 9, reserved: 8 }), "{error}");
        // The user can make room, or prepare again.
        bench.file.discard(0..1).unwrap();
        bench.log.lock().unwrap().push(0..1);
        let names = bench.complete(&mut saving).unwrap();
        bench.saved_whole(&names);
    }
}

/// The reserve is full: a hole that is named behind a new page makes room for it, and only the sum counts.
#[test]
fn a_page_that_comes_may_take_the_room_of_a_later_one_that_went() {
    let mut bench = Bench::logged();
    bench.options.head_room = HeadRoom { one_in: NonZeroUsize::MAX, at_least: 0 };
    let mut saving = bench.begin().unwrap();
    bench.file.discard(40..41).unwrap();
    bench.log.lock().unwrap().push(40..41);
    bench.guest_writes(5 * PAGE, b"new");
    let names = bench.complete(&mut saving).unwrap();
    bench.saved_whole(&names);
}

#[test]
fn a_file_that_cannot_grow_gets_no_more_than_it_can_use() {
    let mut bench = Bench::new();
    bench.file.add_seals(Seals::GROW).unwrap();
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    let slots = PreservedArray::<u8>::open(&bench.kho, names.slots.unwrap()).unwrap();
    assert_eq!(slots.len(), 64 * PAGE, "as large as the file, and no head room");
    drop(slots);
    bench.saved_whole(&names);

    let mut bench = Bench::new();
    bench.file.resize(0).unwrap();
    bench.file.add_seals(Seals::GROW).unwrap();
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    assert_eq!((names, bench.kho.census().unwrap().allocated.len()), (StoreNames::NONE, 0));
    bench.saved_whole(&names);
}

/// A guest that writes the same pages again whenever somebody asks what it wrote.
struct Restless {
    file: SimMemfd,
    asked: u32,
    /// How many pages it writes next, and what becomes of that.
    writes: u64,
    slows_down: bool,
}

impl DirtyLog for Restless {
    fn drain(&mut self, dirty: &mut dyn FnMut(Range<u64>)) -> Result<(), Refusal> {
        self.asked += 1;
        for at in 0..self.writes {
            self.file.write_at(at * PAGE, &self.asked.to_le_bytes()).unwrap();
        }
        dirty(0..self.writes);
        if self.slows_down {
            self.writes /= 4;
        }
        Ok(())
    }
}

#[test]
fn rounds_end_when_little_is_left_or_when_it_does_not_get_less() {
    // Of 1000 pages 400 are copied in a round, then 100 are left; or as many are dirty as there are.
    for (slows_down, left) in [(true, 100), (false, 1000)] {
        let mut bench = Bench::new();
        bench.file.write_at(0, &vec![9; 1000 * FRAME_SIZE]).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let progress = Arc::clone(&told);
        bench.options.progress = Some(Arc::new(move |progress_: Progress<'_>| {
            progress.lock().unwrap().push((progress_.done.get() / PAGE, progress_.of.get() / PAGE));
        }));
        bench.options.dirty = DirtySource::Given(Arc::new(move |file: &SimMemfd| {
            let file = file.clone();
            Some(Box::new(Restless {
                file,
                asked: 0,
                writes: if slows_down { 400 } else { 1000 },
                slows_down,
            }) as Box<dyn DirtyLog>)
        }));
        let mut saving = bench.begin().unwrap();
        assert_eq!(saving.dirty_pages(), left);
        let told = told.lock().unwrap().clone();
        assert_eq!(told.last().map(|(done, of)| done == of), Some(true), "{told:?}");
        let names = bench.complete(&mut saving).unwrap();
        bench.saved_whole(&names);
    }
}

#[test]
fn a_log_that_fails_stops_the_step_and_forgets_nothing() {
    struct Broken(u32);
    impl DirtyLog for Broken {
        fn drain(&mut self, dirty: &mut dyn FnMut(Range<u64>)) -> Result<(), Refusal> {
            self.0 += 1;
            match self.0 {
                1 | 3 => Ok(()),
                _ => {
                    dirty(2..3);
                    Err(Refusal::because("the ring is full"))
                }
            }
        }
    }
    let mut bench = Bench::new();
    bench.options.dirty =
        DirtySource::Given(Arc::new(|_: &SimMemfd| Some(Box::new(Broken(0)) as Box<dyn DirtyLog>)));
    let mut saving = bench.begin().unwrap();
    bench.file.write_at(2 * PAGE, b"late").unwrap();
    assert!(matches!(bench.complete(&mut saving), Err(MemfdError::DirtyLog(_))));
    assert_eq!(saving.dirty_pages(), 1);
    let names = bench.complete(&mut saving).unwrap();
    bench.saved_whole(&names);
}

/// Every call of host and memory fails once in freeze; the next freeze saves the file whole.
#[test]
fn whatever_fails_in_freeze_can_be_tried_again() {
    for logged in [false, true] {
        for by_host in [true, false] {
            let mut nth = 0;
            loop {
                let mut bench = if logged { Bench::logged() } else { Bench::new() };
                let mut saving = bench.begin().unwrap();
                bench.guest_writes(10 * PAGE, b"late");
                bench.guest_writes(20 * PAGE, &page(7));
                bench.file.discard(0..1).unwrap();
                if by_host {
                    bench.host.arm(nth);
                } else {
                    bench.machine.inject(FaultPlan::none().fail(bench.machine.counters().calls + nth));
                }
                let outcome = bench.complete(&mut saving);
                bench.machine.inject(FaultPlan::none());
                let failed = bench.host.disarm() || bench.machine.counters().failed > 0;
                assert_eq!(outcome.is_err(), failed, "call {nth}: {outcome:?}");
                let names = bench.complete(&mut saving).unwrap();
                bench.saved_whole(&names);
                if !failed {
                    break;
                }
                nth += 1;
            }
            assert!(nth > 3, "only {nth} calls failed");
        }
    }
}

#[test]
fn progress_counts_up_to_the_whole_in_both_directions_and_with_threads() {
    let mut bench = Bench::new();
    bench.file.write_at(0, &vec![3; 3000 * FRAME_SIZE]).unwrap();
    bench.options.threads = NonZeroUsize::new(3);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    bench.options.progress = Some(Arc::new(move |progress: Progress<'_>| {
        heard.lock().unwrap().push((progress.direction, progress.done.get(), progress.of.get()));
    }));
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    bench.saved_whole(&names);
    let told = told.lock().unwrap();
    for direction in [crate::Direction::Saving, crate::Direction::Making] {
        let steps: Vec<_> = told.iter().filter(|(way, ..)| *way == direction).collect();
        assert!(steps.is_sorted_by_key(|(_, done, _)| done) && !steps.is_empty());
        assert_eq!(steps.last().map(|(_, done, of)| (*done, *of)), Some((3000 * PAGE, 3000 * PAGE)));
    }
}

#[test]
fn damaged_names_and_maps_are_refused() {
    type Damage = fn(&mut StoreNames);
    let damages: [(Damage, &str); 5] = [
        (|names| names.pages += 1, "another number of pages"),
        (|names| names.index_len -= 8, "length"),
        (|names| names.index_len = u64::MAX, "outside"),
        (|names| names.index_len = 0, "within the header"),
        (|names| core::mem::swap(&mut names.slots, &mut names.index), ""),
    ];
    for (damage, why) in damages {
        let mut bench = Bench::new();
        let mut saving = bench.begin().unwrap();
        let mut names = bench.complete(&mut saving).unwrap();
        damage(&mut names);
        let error = bench.made(&names).unwrap_err();
        assert!(alloc::format!("{error}").contains(why), "{error}");
    }
}

#[test]
fn pages_beyond_the_end_and_frames_of_others_are_refused() {
    let mut bench = Bench::new();
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    bench.file.resize(63 * PAGE).unwrap();
    let error = bench.made(&names).unwrap_err();
    assert!(matches!(error, MemfdError::PageMap(PageMapError::Foreign { .. })), "{error}");

    // Two files; one is said to have its pages in the slots of the other.
    let mut bench = Bench::new();
    let mut one = bench.begin().unwrap();
    let mut other = bench.begin().unwrap();
    let names = bench.complete(&mut one).unwrap();
    let others = bench.complete(&mut other).unwrap();
    let error = bench.made(&StoreNames { slots: others.slots, ..names }).unwrap_err();
    assert!(matches!(error, MemfdError::PageMap(PageMapError::Foreign { .. })), "{error}");
}

#[test]
fn every_failing_call_of_making_a_file_leaves_nothing_on_the_host() {
    for nth in 0.. {
        let mut bench = Bench::new();
        let mut saving = bench.begin().unwrap();
        let names = bench.complete(&mut saving).unwrap();
        drop(saving);
        let (host, file) = (bench.host.clone(), bench.file.clone());
        let alive = host.alive();
        host.arm(nth);
        let made = bench.made(&names);
        if !host.disarm() {
            assert_eq!(contents(&made.unwrap()), contents(&file));
            assert!(nth > 5, "only {nth} calls could fail");
            break;
        }
        assert!(matches!(made, Err(MemfdError::Host(_))), "call {nth} failed, and the file was made");
        assert_eq!(host.alive(), alive);
    }
}

#[test]
fn a_host_that_takes_a_wish_and_forgets_it_is_found_out() {
    let mut bench = Bench::new();
    bench.file.set_mode(0o600);
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    bench.host.forget_modes();
    let Err(MemfdError::Unfaithful { wanted, made }) = bench.made(&names) else { panic!("it was believed") };
    assert_eq!((wanted.mode, made.mode), (0o600, 0o777));
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, u8, u64),
    Discard(u64, u64),
    Resize(u64),
    Freeze,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..80 * PAGE, any::<u8>(), 1u64..3 * PAGE).prop_map(|(at, fill, len)| Step::Write(at, fill, len)),
        2 => (0u64..80, 1u64..9).prop_map(|(from, count)| Step::Discard(from, from + count)),
        1 => (0u64..90 * PAGE).prop_map(Step::Resize),
        1 => Just(Step::Freeze),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a user does between prepare and the last freeze, the copy is the file.
    #[test]
    fn the_copy_is_the_file_as_it_was_when_it_froze(logged in any::<bool>(), steps in prop::collection::vec(steps(), 0..24)) {
        let mut bench = if logged { Bench::logged() } else { Bench::new() };
        bench.options.head_room.at_least = 90;
        let mut saving = bench.begin().unwrap();
        for step in steps {
            match step {
                Step::Write(at, fill, len) => bench.guest_writes(at, &vec![fill; usize::try_from(len).unwrap()]),
                Step::Discard(from, to) => {
                    bench.file.discard(from..to).unwrap();
                    bench.log.lock().unwrap().push(from..to);
                }
                // What is cut off is seen by the size; what grows back is a hole, and has to be named.
                Step::Resize(size) => {
                    bench.file.resize(size).unwrap();
                    bench.log.lock().unwrap().push(size / PAGE..100);
                }
                Step::Freeze => {
                    bench.complete(&mut saving).unwrap();
                }
            }
        }
        let names = bench.complete(&mut saving).unwrap();
        let slots = PreservedArray::<u8>::open(&bench.kho, names.slots.unwrap()).unwrap();
        prop_assert!(names.index_len <= PageStore::most_index_bytes(slots.len() / PAGE));
        bench.saved_whole(&names);
    }
}
