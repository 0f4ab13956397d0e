//! Promise: a guest_memfd that was handed over is memory of the successor's machine: a vCPU executes what lies in it
//! and writes it, in slots by the address of a mapping where the file is the old one, in slots of the file where it was
//! made anew.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use std::os::fd::OwnedFd;

use kvm_ioctls::VcpuExit;
use luo_core::{Registry, Token};
use luo_guestmemfd::linux::Slots;
use luo_guestmemfd::{Binding, Flags, GuestMemfd, GuestMemfds, Linux, Retrieve, Vm, Vms};
use luo_tests::guestmemfd::{alone, cross, unsupported};
use luo_tests::memfd::ProcessGround;
use luo_tests::session;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

const MEMORY: Token = Token(0);
const VM: Token = Token(1);
/// Where the guest's program is.
const CODE: u64 = 0x1000;

/// `inc byte [0x3000]; mov al, [0x3000]; out 0x10, al; hlt`, for real mode.
const PROGRAM: [u8; 10] = [0xFE, 0x06, 0x00, 0x30, 0xA0, 0x00, 0x30, 0xE6, 0x10, 0xF4];

/// A machine with 16 pages of memory and the program in them.
fn guest() -> (Vm, GuestMemfd) {
    let vm = Vm::create().unwrap();
    let memory = GuestMemfd::create(&vm, 16, Flags::OPEN).unwrap();
    memory.told().bind(Binding { slot: 0, frame: 0, page: 0, count: 8 }).unwrap();
    memory.told().bind(Binding { slot: 1, frame: 0x100, page: 8, count: 8 }).unwrap();
    memory.map().unwrap().write(CODE, &PROGRAM).unwrap();
    (vm, memory)
}

/// Executes the program once. What it put out.
fn run(vm: &Vm, _slots: &Slots) -> u8 {
    let mut vcpu = vm.fd().create_vcpu(0).unwrap();
    let mut special = vcpu.get_sregs().unwrap();
    (special.cs.base, special.cs.selector) = (0, 0);
    vcpu.set_sregs(&special).unwrap();
    let mut general = vcpu.get_regs().unwrap();
    (general.rip, general.rflags) = (CODE, 2);
    vcpu.set_regs(&general).unwrap();
    match vcpu.run().unwrap() {
        VcpuExit::IoOut(0x10, [byte]) => *byte,
        other => panic!("the guest came out for {other:?}"),
    }
}

fn update(retrieve: Retrieve, vm: &Vm, memory: &GuestMemfd) -> (Vm, GuestMemfd) {
    let registry = |_| {
        let mut registry = Registry::new();
        let files = GuestMemfds::new(Linux::new()).retrieving(retrieve);
        registry.handler(files).unwrap().handler(Vms::new(Linux::new())).unwrap();
        registry
    };
    let crossed = cross(
        &ProcessGround::new(),
        registry,
        |luo| {
            luo.open_session(session("vm")).unwrap();
            luo.preserve(session("vm"), MEMORY, memory.clone()).map_err(|stuck| stuck.error.to_string())?;
            luo.preserve(session("vm"), VM, vm.clone()).map_err(|stuck| stuck.error.to_string())
        },
        || (),
        |adopted| {
            let memory = adopted.retrieve(session("vm"), MEMORY).map_err(|error| error.to_string())?;
            let vm = adopted.retrieve(session("vm"), VM).map_err(|error| error.to_string())?;
            Ok((vm, memory))
        },
    );
    crossed.unwrap().arrived
}

#[test]
fn each_successors_machine_goes_on_in_the_memory_of_the_first() {
    if unsupported("each_successors_machine_goes_on_in_the_memory_of_the_first") {
        return;
    }
    let _alone = alone();
    let (mut vm, mut memory) = guest();
    for generation in 0..6u8 {
        let slots = Slots::make(&vm, &memory).unwrap();
        assert_eq!(slots.are_native(), generation == 0, "the file was made for the first machine only");
        assert_eq!(run(&vm, &slots), generation + 1);
        drop(slots);
        (vm, memory) = update(Retrieve::MapOld, &vm, &memory);
    }
}

#[test]
fn a_copy_is_bound_to_the_machine_for_which_it_is_made() {
    if unsupported("a_copy_is_bound_to_the_machine_for_which_it_is_made") {
        return;
    }
    let _alone = alone();
    let (mut vm, mut memory) = guest();
    for generation in 0..6u8 {
        let slots = Slots::make(&vm, &memory).unwrap();
        assert!(slots.are_native());
        assert_eq!(run(&vm, &slots), generation + 1);
        drop(slots);
        (vm, memory) = update(Retrieve::CopyIntoNew, &vm, &memory);
    }
}

/// What KVM says of an old file, which shapes all this.
#[test]
fn a_file_cannot_be_bound_to_another_machine_than_its_own() {
    if unsupported("a_file_cannot_be_bound_to_another_machine_than_its_own") {
        return;
    }
    let _alone = alone();
    let (vm, memory) = guest();
    let other = Vm::create().unwrap();
    let descriptor = memory.to_file().unwrap().into();
    let claimed = GuestMemfd::new(descriptor, Flags::OPEN, Some(other.clone())).unwrap();
    claimed.told().bind(Binding { slot: 0, frame: 0, page: 0, count: 16 }).unwrap();
    let refused = Slots::make(&other, &claimed).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
    Slots::make(&vm, &memory).unwrap();
}

/// The folder in which the kernel shows its machines; `None` where it does not, or not to us. Nothing is mounted
/// anywhere.
fn machines() -> Option<OwnedFd> {
    let context = fsopen("debugfs", FsOpenFlags::FSOPEN_CLOEXEC).ok()?;
    fsconfig_create(&context).ok()?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).ok()?;
    openat(&mounted, "kvm", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// How many machines this thread has made that the kernel still has: each is shown under the number of its maker.
fn alive(machines: &OwnedFd) -> usize {
    let ours = format!("{}-", rustix::thread::gettid().as_raw_nonzero());
    let folder = openat(machines, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let entries = rustix::fs::Dir::read_from(&folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&ours)).count()
}

/// The price of mapping the old file: measured where debugfs can be seen.
#[test]
fn a_mapped_file_keeps_the_first_machine_in_the_kernel_and_a_copy_does_not() {
    let test = "a_mapped_file_keeps_the_first_machine_in_the_kernel_and_a_copy_does_not";
    if unsupported(test) {
        return;
    }
    let Some(machines) = machines() else {
        println!("SKIPPED: {test}: the kernel does not show its machines to this user");
        return;
    };
    let probe = Vm::create().unwrap();
    if alive(&machines) == 0 {
        println!(
            "SKIPPED: {test}: the kernel shows its machines under other numbers than this process knows"
        );
        return;
    }
    drop(probe);
    let _alone = alone();
    for (retrieve, left) in [(Retrieve::MapOld, 2), (Retrieve::CopyIntoNew, 1)] {
        let before = alive(&machines);
        let (mut vm, mut memory) = guest();
        for _ in 0..4 {
            (vm, memory) = update(retrieve, &vm, &memory);
        }
        // The successor's, and where the file is the old one, the first; none of those in between.
        assert_eq!(alive(&machines) - before, left, "{retrieve:?}");
        drop((vm, memory));
        assert_eq!(alive(&machines), before, "{retrieve:?}");
    }
}
