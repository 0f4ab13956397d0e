//! Copying, on the simulated host and the simulated machine.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use std::sync::Mutex;

use luo_core::Refusal;
use luo_kho::sim::{Fragmentation, Machine, MachineConfig, SimKho};
use luo_kho::{FRAME_SIZE, Owned, ownership};
use luo_xarray::page_map::{PageStore, StoreNames};
use proptest::prelude::*;

use super::{Home, Saving, from_store};
use crate::options::Options;
use crate::sim::{SimGuestMemfd, SimHost};
use crate::{Binding, Facts, Flags, GuestMemfdError, PrivateMemory, Sharing, VmType};

const PAGE: u64 = 4096;
const PAGES: u64 = 64;

/// What the guest has to itself, past what the host can read: each page is exported turned over.
#[derive(Clone)]
struct Vault(SimGuestMemfd, Arc<Mutex<Vec<u64>>>);

impl PrivateMemory for Vault {
    fn next_present(&mut self, page: u64) -> Result<Option<Range<u64>>, Refusal> {
        Ok(self.0.memory().pages_from(page))
    }

    fn export(&mut self, page: u64, bytes: &mut [u8]) -> Result<(), Refusal> {
        self.1.lock().unwrap().push(page);
        self.0.memory().read(page * PAGE, bytes);
        bytes.reverse();
        Ok(())
    }

    fn import(&mut self, page: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let mut bytes = bytes.to_vec();
        bytes.reverse();
        self.0.write_at(page * PAGE, &bytes);
        Ok(())
    }
}

/// A program with memory, on a host with one file, all of it bound from guest frame 0x100 on.
struct Bench {
    host: SimHost,
    machine: Machine,
    kho: SimKho,
    owned: Owned,
    options: Options<SimHost>,
    exported: Arc<Mutex<Vec<u64>>>,
    file: SimGuestMemfd,
}

fn page(fill: u8) -> Vec<u8> {
    (0..=250).cycle().map(|n: u8| fill.wrapping_add(n)).take(FRAME_SIZE).collect()
}

impl Bench {
    fn new() -> Self {
        let machine = Machine::new(MachineConfig::default().fragmentation(Fragmentation::Random).seed(7));
        let (kho, owned) = machine.found().unwrap();
        let host = SimHost::new();
        let file = host.guest_memfd(None, PAGES, Flags::OPEN);
        file.told().bind(Binding { slot: 0, frame: 0x100, page: 0, count: PAGES }).unwrap();
        for at in [0u8, 1, 2, 10, 40, 63] {
            file.write_at(u64::from(at) * PAGE, &page(at + 1));
        }
        Self { host, machine, kho, owned, options: Options::default(), exported: Arc::default(), file }
    }

    /// Pages from 2 to 10, and page 40, are the guest's alone.
    fn with_private_pages(self) -> Self {
        for frames in [0x102..0x10A, 0x128..0x129] {
            self.file.told().share(frames, Sharing::Private).unwrap();
        }
        self
    }

    fn with_export(mut self) -> Self {
        let exported = Arc::clone(&self.exported);
        self.options.private = Some(Arc::new(move |file: &SimGuestMemfd| {
            Some(Box::new(Vault(file.clone(), Arc::clone(&exported))) as Box<dyn PrivateMemory>)
        }));
        self
    }

    fn begin(&mut self) -> Result<Saving<SimHost>, GuestMemfdError> {
        let Self { host, kho, options, file, .. } = self;
        let private = options.private_of(file);
        Saving::begin((&*host, &*options), file, &file.told().facts(), private, kho)
    }

    fn complete(&mut self, saving: &mut Saving<SimHost>) -> Result<StoreNames, GuestMemfdError> {
        saving.complete(&self.host, &self.file.told().facts(), &mut self.kho)
    }

    /// Makes the file again, after an update.
    fn made(self, names: &StoreNames) -> Result<SimGuestMemfd, GuestMemfdError> {
        let Self { host, machine, mut kho, owned, options, file, .. } = self;
        let _offer = ownership::offer(&mut kho, owned).unwrap();
        machine.kexec();
        let mut next = machine.successor().unwrap();
        let store = PageStore::restore(&mut next, names)?;
        let store = store.as_ref().map(|store| (store, names));
        let facts = Facts::clone(&file.told().facts());
        let home = Home { vm: host.vm(VmType(0)), named: false };
        from_store((&host, &options), &next, store, &home, (facts, true))
    }

    /// Panics unless what was saved makes the file again as it is.
    fn saved_whole(self, names: &StoreNames) {
        let file = self.file.clone();
        let again = self.made(names).unwrap();
        assert_eq!(contents(&again), contents(&file));
        assert_eq!(again.told().facts(), file.told().facts());
    }
}

/// Each page that exists.
fn contents(file: &SimGuestMemfd) -> BTreeMap<u64, Vec<u8>> {
    let existing = file.memory().pages_from(0).into_iter();
    let runs = existing
        .flat_map(|first| core::iter::successors(Some(first), |run| file.memory().pages_from(run.end)));
    runs.flatten()
        .map(|page| {
            let mut bytes = vec![0; FRAME_SIZE];
            file.memory().read(page * PAGE, &mut bytes);
            (page, bytes)
        })
        .collect()
}

#[test]
fn a_file_is_saved_with_its_holes() {
    let mut bench = Bench::new();
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    assert_eq!(names.pages, 6);
    bench.saved_whole(&names);
}

#[test]
fn what_was_written_and_punched_since_prepare_is_saved() {
    let mut bench = Bench::new();
    let mut saving = bench.begin().unwrap();
    bench.file.write_at(30 * PAGE + 5, &[9; 9000]);
    bench.file.punch(0..2);
    let names = bench.complete(&mut saving).unwrap();
    assert_eq!(names.pages, 7);
    bench.saved_whole(&names);
}

#[test]
fn a_file_without_pages_takes_no_more_than_it_could_need() {
    let mut bench = Bench::new();
    bench.file.punch(0..PAGES);
    bench.options.spare = Some(0);
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    assert_eq!((names, bench.kho.census().unwrap().allocated.len()), (StoreNames::NONE, 0));
    bench.saved_whole(&names);
}

#[test]
fn a_file_that_outgrew_its_frames_is_refused_with_numbers_and_can_be_tried_again() {
    let mut bench = Bench::new();
    bench.options.spare = Some(2);
    let mut saving = bench.begin().unwrap();
    bench.file.write_at(20 * PAGE, &[1; 3 * FRAME_SIZE]);
    let error = bench.complete(&mut saving).unwrap_err();
    assert!(matches!(error, GuestMemfdError::OutOfRoom { present: 9, reserved: 8 }), "{error}");
    bench.file.punch(0..1);
    let names = bench.complete(&mut saving).unwrap();
    bench.saved_whole(&names);
}

#[test]
fn private_pages_are_refused_where_nobody_exports_them() {
    let mut bench = Bench::new();
    let mut saving = bench.begin().unwrap();
    bench.file.told().share(0x128..0x129, Sharing::Private).unwrap();
    let error = bench.complete(&mut saving).unwrap_err();
    assert!(matches!(&error, GuestMemfdError::Hidden { why } if why.contains("1 of its pages")), "{error}");
    bench.file.told().share(0x128..0x129, Sharing::Shared).unwrap();
    let names = bench.complete(&mut saving).unwrap();
    bench.saved_whole(&names);
}

#[test]
fn a_poisoned_page_is_refused_with_its_number_before_anything_is_paused() {
    let mut bench = Bench::new();
    bench.file.poison(10);
    assert!(matches!(bench.begin().err(), Some(GuestMemfdError::Poisoned { page: 10 })));
    let mut bench = Bench::new();
    let mut saving = bench.begin().unwrap();
    bench.file.poison(2);
    assert!(
        matches!(bench.complete(&mut saving), Err(GuestMemfdError::Poisoned { page: 2 })),
        "or in the pause"
    );
}

#[test]
fn private_pages_are_exported_and_all_others_are_read() {
    let mut bench = Bench::new().with_private_pages().with_export();
    let exported = Arc::clone(&bench.exported);
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    assert_eq!((names.pages, &*exported.lock().unwrap()), (6, &vec![2, 40]));
    bench.saved_whole(&names);
}

#[test]
fn a_file_that_the_host_cannot_map_is_exported_whole() {
    let mut bench = Bench::new().with_export();
    let closed = bench.host.guest_memfd(None, PAGES, Flags::NONE);
    closed.write_at(7 * PAGE, &page(7));
    bench.file = closed;
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    assert_eq!(*bench.exported.lock().unwrap(), [7]);
    bench.saved_whole(&names);
}

#[test]
fn who_cannot_import_refuses_what_was_exported() {
    let mut bench = Bench::new().with_private_pages().with_export();
    let mut saving = bench.begin().unwrap();
    let names = bench.complete(&mut saving).unwrap();
    bench.options.private = None;
    assert!(matches!(bench.made(&names), Err(GuestMemfdError::NoImport)));
}

#[test]
fn damaged_names_are_refused() {
    type Damage = fn(&mut StoreNames);
    let damages: [(Damage, &str); 4] = [
        (|names| names.pages += 1, "another number of pages"),
        (|names| names.index_len -= 8, "length"),
        (|names| names.index_len = u64::MAX, "outside"),
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
fn every_failing_call_leaves_everything_to_be_tried_again() {
    for nth in 0.. {
        let mut bench = Bench::new();
        let mut saving = bench.begin().unwrap();
        bench.host.arm(nth);
        let attempt = bench.complete(&mut saving);
        let fired = bench.host.disarm();
        assert_eq!(attempt.is_err(), fired);
        let names = bench.complete(&mut saving).unwrap();
        bench.saved_whole(&names);
        if !fired {
            assert!(nth > 4, "it was not tried");
            return;
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_guest_does_between_prepare_and_freeze_crosses(
        steps in prop::collection::vec((0u64..PAGES, 1u8..9, 0u8..3), 0..30)
    ) {
        let mut bench = Bench::new().with_export();
        let mut saving = bench.begin().unwrap();
        for (from, len, what) in steps {
            let pages = from..(from + u64::from(len)).min(PAGES);
            let frames = pages.start + 0x100..pages.end + 0x100;
            match what {
                0 => bench.file.write_at(from * PAGE, &vec![len; usize::try_from((pages.end - from) * PAGE).unwrap()]),
                1 => bench.file.punch(pages),
                _ => {
                    let sharing = if len % 2 == 0 { Sharing::Private } else { Sharing::Shared };
                    bench.file.told().share(frames, sharing).unwrap();
                }
            }
        }
        let names = bench.complete(&mut saving).unwrap();
        bench.saved_whole(&names);
    }
}
