//! Promise: every property of a guest_memfd crosses an update, or the update says why it cannot. One test for each, on
//! real guest_memfds, mapped, copied into new ones, and copied into preserved frames; on simulated ones where a machine
//! cannot be asked to do it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::cell::Cell;
use std::os::fd::AsFd;

use luo_core::conformance::{Ground, SimGround};
use luo_core::{Passage, Registry, Token};
use luo_guestmemfd::sim::{SimGuestMemfd, SimHost};
use luo_guestmemfd::{
    Binding, Flags, GuestMemfd, GuestMemfds, Linux, Port, RUNS_MAX, Retrieve, Sharing, Vm, VmType, Vms,
};
use luo_tests::guestmemfd::{Crossed, alone, cross, portrait, unsupported};
use luo_tests::memfd::ProcessGround;
use luo_tests::session;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

const PAGE: u64 = 4096;
const VM: Token = Token(100);

/// How files cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Map,
    CopyIntoNew,
    Store,
}

const WAYS: [Way; 3] = [Way::Map, Way::CopyIntoNew, Way::Store];

/// Takes files and their machine across. `meanwhile` happens between prepare and freeze.
fn update_of(
    way: Way,
    vm: &Vm,
    files: &[GuestMemfd],
    meanwhile: impl FnOnce(),
) -> Result<Crossed<(Vm, Vec<GuestMemfd>)>, String> {
    update_seen(way, vm, files, meanwhile, || ())
}

/// As [`update_of`]; `retrieved` looks on, when all is retrieved and nothing is committed.
fn update_seen(
    way: Way,
    vm: &Vm,
    files: &[GuestMemfd],
    meanwhile: impl FnOnce(),
    retrieved: impl Fn(),
) -> Result<Crossed<(Vm, Vec<GuestMemfd>)>, String> {
    let ground = match way {
        Way::Map | Way::CopyIntoNew => ProcessGround::new(),
        Way::Store => ProcessGround::new().refusing("guest_memfds stay"),
    };
    let retrieve = if way == Way::CopyIntoNew { Retrieve::CopyIntoNew } else { Retrieve::MapOld };
    let registry = |_| {
        let mut registry = Registry::new();
        let files = GuestMemfds::new(Linux::new()).retrieving(retrieve);
        registry.handler(files).unwrap().handler(Vms::new(Linux::new())).unwrap();
        registry
    };
    cross(
        &ground,
        registry,
        |luo| {
            luo.open_session(session("vm")).unwrap();
            luo.preserve(session("vm"), VM, vm.clone()).map_err(|stuck| stuck.error.to_string())?;
            for (token, file) in (0..).map(Token).zip(files) {
                luo.preserve(session("vm"), token, file.clone()).map_err(|stuck| stuck.error.to_string())?;
            }
            Ok(())
        },
        meanwhile,
        |adopted| {
            let each = (0..files.len() as u64).map(|token| adopted.retrieve(session("vm"), Token(token)));
            let found: Result<Vec<GuestMemfd>, _> = each.collect();
            let found = found.map_err(|error| error.to_string())?;
            let vm = adopted.retrieve(session("vm"), VM).map_err(|error| error.to_string())?;
            retrieved();
            Ok((vm, found))
        },
    )
}

fn one(way: Way, file: &GuestMemfd, meanwhile: impl FnOnce()) -> Result<GuestMemfd, String> {
    let vm = file.vm().unwrap().clone();
    let crossed = update_of(way, &vm, std::slice::from_ref(file), meanwhile)?;
    Ok(crossed.arrived.1.into_iter().next().unwrap())
}

fn nothing() {}

/// The file on the other side, which is all that it was.
#[track_caller]
fn crosses(way: Way, file: &GuestMemfd) -> GuestMemfd {
    let before = portrait(file);
    let after = one(way, file, nothing).unwrap();
    assert_eq!(portrait(&after), before, "{way:?}");
    after
}

/// Some pages, of which these exist.
fn guest(pages: u64, existing: &[u64]) -> GuestMemfd {
    let file = GuestMemfd::create(&Vm::create().unwrap(), pages, Flags::OPEN).unwrap();
    let window = file.map().unwrap();
    for page in existing {
        let fill = (page % 250 + 1).to_le_bytes()[0];
        let bytes: Vec<u8> = (0..=250).cycle().map(|n: u8| n.wrapping_mul(fill)).take(4096).collect();
        window.write(page * PAGE, &bytes).unwrap();
    }
    file
}

fn punch(file: &GuestMemfd, page: u64) {
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, page * PAGE, PAGE).unwrap();
}

/// A test on real files, with every other such test out of the way.
macro_rules! real {
    ($(#[$meta:meta])* fn $name:ident() $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            if unsupported(stringify!($name)) {
                return;
            }
            let _alone = alone();
            $body
        }
    };
}

real! {
    fn size_and_flags_cross() {
        for way in WAYS {
            for pages in [1, 513] {
                let after = crosses(way, &guest(pages, &[0]));
                let facts = after.told().facts();
                assert_eq!((facts.flags(), facts.pages()), (Flags::OPEN, pages));
                assert_eq!(Linux::new().look(&after).unwrap().size, pages * PAGE);
            }
        }
    }
}

#[test]
fn unknown_flags_are_refused_with_a_reason() {
    let host = SimHost::new();
    let file = host.guest_memfd(None, 4, Flags::OPEN | Flags::from_bits(0x40));
    let refused = simulated(&host, &[file], nothing).unwrap_err();
    assert!(refused.contains("flags 0x40, which this build does not know"), "{refused}");
}

real! {
    fn contents_cross() {
        for way in WAYS {
            let all: Vec<u64> = (0..600).collect();
            crosses(way, &guest(600, &all));
        }
    }
}

real! {
    fn holes_stay_holes() {
        for way in WAYS {
            let file = guest(1 << 18, &[0, 1, 7, 600, (1 << 18) - 1]);
            let after = crosses(way, &file);
            assert_eq!(after.map().unwrap().present().unwrap(), [0..2, 7..8, 600..601, (1 << 18) - 1..1 << 18]);
            assert!(crosses(way, &guest(64, &[])).map().unwrap().present().unwrap().is_empty());
        }
    }
}

real! {
    fn its_machine_and_the_type_of_that_cross_as_a_dependency() {
        for way in WAYS {
            let file = guest(4, &[1]);
            let old = file.vm().unwrap().clone();
            let (vm, files) = update_of(way, &old, &[file, guest_of(&old)], nothing).unwrap().arrived;
            assert_eq!((vm.vm_type(), vm.is(&old)), (VmType(0), false), "a machine of the successor's own");
            assert!(files.iter().all(|file| file.vm().is_some_and(|own| own.is(&vm))), "one for all files");
            let native = files.iter().all(|file| file.is_native_to(&vm));
            assert_eq!(native, way != Way::Map, "a mapped file was made for another machine");
        }
    }
}

fn guest_of(vm: &Vm) -> GuestMemfd {
    GuestMemfd::create(vm, 2, Flags::OPEN).unwrap()
}

real! {
    fn bindings_cross_as_they_are_told_at_freeze() {
        for way in WAYS {
            let file = guest(64, &[3]);
            file.told().bind(Binding { slot: 0, frame: 0, page: 0, count: 32 }).unwrap();
            file.told().bind(Binding { slot: 1, frame: 0x10_0000, page: 32, count: 16 }).unwrap();
            let late = || {
                file.told().unbind(0);
                file.told().bind(Binding { slot: 7, frame: 0x20_0000, page: 48, count: 16 }).unwrap();
            };
            let after = one(way, &file, late).unwrap();
            let slots: Vec<_> = after.told().facts().bindings().iter().map(|binding| binding.slot).collect();
            assert_eq!(slots, [1, 7]);
        }
    }
}

real! {
    fn the_map_of_shared_and_private_frames_crosses_as_it_is_told_at_freeze() {
        for way in WAYS {
            let file = guest(64, &[3]);
            file.told().share(0..0x1000, Sharing::Shared).unwrap();
            let late = || file.told().share(0x800..1 << 40, Sharing::Private).unwrap();
            let after = one(way, &file, late).unwrap();
            let runs: Vec<_> = after.told().facts().sharing().runs().collect();
            assert_eq!(runs, [(0..0x800, Sharing::Shared), (0x800..1 << 40, Sharing::Private)]);
        }
    }
}

/// As many runs as are carried, and a last one that comes before the freeze: it would not be read again.
#[test]
fn a_run_too_many_is_refused_in_freeze_too() {
    let host = SimHost::new();
    let file = host.guest_memfd(None, 4, Flags::OPEN);
    let run = |nth: u64| file.told().share(2 * nth..2 * nth + 1, Sharing::Shared).unwrap();
    (0..RUNS_MAX).for_each(run);
    simulated(&host, std::slice::from_ref(&file), nothing).unwrap();
    let refused = simulated(&host, std::slice::from_ref(&file), || run(RUNS_MAX)).unwrap_err();
    assert!(refused.contains("65537 runs, of which 65536 can be carried"), "{refused}");
    assert!(refused.contains("failed to freeze"), "{refused}");
}

real! {
    fn an_exec_closes_a_new_file() {
        assert!(Linux::new().look(&guest(1, &[])).unwrap().close_on_exec);
    }
}

real! {
    fn whether_an_exec_closes_it_crosses() {
        for way in WAYS {
            for flags in [FdFlags::CLOEXEC, FdFlags::empty()] {
                let file = guest(1, &[0]);
                fcntl_setfd(&file, flags).unwrap();
                let after = crosses(way, &file);
                assert_eq!(Linux::new().look(&after).unwrap().close_on_exec, flags == FdFlags::CLOEXEC);
            }
        }
    }
}

real! {
    /// The file is held still by nobody: a hole that is punched until freeze is a hole, a page that is written is
    /// there.
    fn what_is_written_and_punched_until_freeze_crosses() {
        for way in WAYS {
            let file = guest(100, &[0, 1, 2, 50]);
            let late = || {
                punch(&file, 1);
                file.map().unwrap().write(70 * PAGE, b"late").unwrap();
            };
            let after = one(way, &file, late).unwrap();
            assert_eq!(portrait(&after), portrait(&file));
            assert_eq!(after.map().unwrap().present().unwrap(), [0..1, 2..3, 50..51, 70..71]);
        }
    }
}

real! {
    /// Its size is fixed, it has neither position nor seals, and nobody can change its mode: there is nothing to carry.
    fn what_other_files_have_and_it_has_not_cannot_be_changed() {
        let file = guest(4, &[0]);
        assert_eq!(rustix::fs::ftruncate(&file, 8 * PAGE), Err(Errno::INVAL));
        assert_eq!(rustix::fs::tell(&file), Err(Errno::SPIPE));
        assert_eq!(rustix::fs::fcntl_get_seals(&file), Err(Errno::INVAL));
        assert_eq!(rustix::fs::fchmod(&file, rustix::fs::Mode::RUSR), Err(Errno::INVAL));
        crosses(Way::Map, &file);
    }
}

real! {
    fn a_mapped_file_is_the_same_memory_and_a_copy_is_another() {
        for way in WAYS {
            let file = guest(4, &[0]);
            let after = crosses(way, &file);
            let same = Linux::new().identity(&after) == Linux::new().identity(&file);
            file.map().unwrap().write(0, b"seen").unwrap();
            let mut seen = [0; 4];
            after.map().unwrap().read(0, &mut seen).unwrap();
            assert_eq!((same, &seen == b"seen"), (way == Way::Map, way == Way::Map));
        }
    }
}

real! {
    fn before_the_commit_nothing_of_the_old_file_has_changed() {
        for way in WAYS {
            let file = guest(30, &[0, 9]);
            let before = portrait(&file);
            let looked = Cell::new(0);
            let look = || {
                looked.set(looked.get() + 1);
                assert_eq!(portrait(&file), before, "{way:?}");
            };
            update_seen(way, file.vm().unwrap(), std::slice::from_ref(&file), nothing, look).unwrap();
            assert_eq!((looked.get(), portrait(&file)), (1, before), "nor after it");
        }
    }
}

real! {
    fn two_descriptors_of_one_file_are_one_file() {
        let file = guest(4, &[0]);
        let vm = file.vm().unwrap().clone();
        let descriptor = file.as_fd().try_clone_to_owned().unwrap();
        let other = GuestMemfd::new(descriptor, Flags::OPEN, Some(vm.clone())).unwrap();
        let refused = update_of(Way::Map, &vm, &[file, other], nothing).unwrap_err();
        assert!(refused.contains("known already as token 0x0"), "{refused}");
    }
}

/// No released kernel gives a second machine a file of the same memory; the simulated one does.
#[test]
fn two_files_of_one_memory_are_one_file() {
    let host = SimHost::new();
    let (one, other) = (host.vm(VmType(0)), host.vm(VmType(0)));
    let file = host.guest_memfd(Some(&one), 4, Flags::OPEN);
    let refused = simulated(&host, &[file.clone(), file.view_in(&host, &other)], nothing).unwrap_err();
    assert!(refused.contains("known already as token 0x0"), "{refused}");
}

/// On a host whose memory breaks; never on this one.
#[test]
fn a_poisoned_page_crosses_by_reference_and_is_refused_by_copy_before_anything_is_paused() {
    let host = SimHost::new();
    let file = host.guest_memfd(None, 8, Flags::OPEN);
    file.write_at(0, &vec![1; 8 * 4096]);
    file.poison(5);
    simulated(&host, std::slice::from_ref(&file), nothing).unwrap();
    let stays = SimGround::exec().refusing(luo_guestmemfd::DESCRIPTOR, "it stays");
    let refused = simulated_on(&stays, &host, &[file], || panic!("the guest was told to stop")).unwrap_err();
    assert!(refused.contains("failed to prepare") && refused.contains("page 5 is poisoned"), "{refused}");
}

real! {
    fn the_plan_says_what_a_copy_costs() {
        let file = guest(512, &(0..300).collect::<Vec<_>>());
        let vm = file.vm().unwrap().clone();
        let planned = |way| {
            let plan = update_of(way, &vm, std::slice::from_ref(&file), nothing).unwrap().plan;
            let file = plan.files.into_iter().find(|file| file.token == Token(0)).unwrap();
            file.passages.into_iter().next().unwrap()
        };
        assert_eq!(planned(Way::Map), Passage::ByReference);
        let Passage::ByCopy { bytes, why } = planned(Way::CopyIntoNew) else { panic!("it is copied") };
        assert_eq!(bytes.get(), 300 * PAGE);
        assert!(why.contains("new virtual machine: about") && why.contains("ms of pause at"), "{why}");
        let Passage::ByCopy { bytes, why } = planned(Way::Store) else { panic!("it is copied") };
        assert_eq!(bytes.get(), 300 * PAGE);
        assert!(why.contains("guest_memfds stay; about") && why.contains("ms of pause at"), "{why}");
    }
}

real! {
    fn a_file_crosses_again_and_again_by_turns() {
        let mut file = guest(40, &[0, 5, 6, 39]);
        file.told().bind(Binding { slot: 0, frame: 0, page: 0, count: 40 }).unwrap();
        let before = portrait(&file);
        for generation in 0..21 {
            file = one(WAYS[generation % 3], &file, nothing).unwrap();
            assert_eq!(portrait(&file), before, "generation {generation}");
        }
    }
}

/// Takes simulated files across that name no machine of the session's.
fn simulated(host: &SimHost, files: &[SimGuestMemfd], meanwhile: impl FnOnce()) -> Result<(), String> {
    simulated_on(&SimGround::exec(), host, files, meanwhile)
}

fn simulated_on<G: Ground>(
    ground: &G,
    host: &SimHost,
    files: &[SimGuestMemfd],
    meanwhile: impl FnOnce(),
) -> Result<(), String> {
    let registry = |_| {
        let mut registry = Registry::new();
        registry.handler(GuestMemfds::new(host.clone())).unwrap();
        registry
    };
    let preserve = |luo: &mut luo_core::Luo<G::Kho>| {
        luo.open_session(session("vm")).unwrap();
        for (token, file) in (0..).map(Token).zip(files) {
            luo.preserve(session("vm"), token, file.clone()).map_err(|stuck| stuck.error.to_string())?;
        }
        Ok(())
    };
    let crossed = cross(ground, registry, preserve, meanwhile, |adopted| {
        let each = (0..files.len() as u64).map(|token| adopted.retrieve(session("vm"), Token(token)));
        each.collect::<Result<Vec<SimGuestMemfd>, _>>().map_err(|error| error.to_string())
    });
    crossed.map(drop)
}
