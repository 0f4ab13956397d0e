//! Promise: a guest_memfd brings the virtual machine that it serves, whichever of them is asked for first; one whose
//! machine is not there is not carried, and the error says so.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use luo_core::conformance::{Side, SimGround};
use luo_core::{Luo, Registry, Token};
use luo_guestmemfd::sim::{SimGuestMemfd, SimHost, SimVm};
use luo_guestmemfd::{DESCRIPTOR, Flags, GuestMemfds, VmType, Vms};
use luo_kho::sim::SimKho;
use luo_tests::guestmemfd::cross;
use luo_tests::session;

const VM: Token = Token(7);
const FILES: [Token; 2] = [Token(0), Token(1)];

fn registry(host: &SimHost) -> Registry {
    let mut registry = Registry::new();
    registry.handler(GuestMemfds::new(host.clone())).unwrap().handler(Vms::new(host.clone())).unwrap();
    registry
}

/// A machine of type 3 with two files.
fn guest(host: &SimHost) -> (SimVm, [SimGuestMemfd; 2]) {
    let vm = host.vm(VmType(3));
    let files = [16, 32].map(|pages| host.guest_memfd(Some(&vm), pages, Flags::OPEN));
    for file in &files {
        file.write_at(4096, b"a page");
    }
    (vm, files)
}

/// Preserves the files, and the machine in the session of this name.
fn preserve(
    luo: &mut Luo<SimKho>,
    vm: Option<(&'static str, &SimVm)>,
    files: &[SimGuestMemfd; 2],
) -> Result<(), String> {
    luo.open_session(session("guest")).unwrap();
    for (token, file) in FILES.into_iter().zip(files) {
        luo.preserve(session("guest"), token, file.clone()).map_err(|stuck| stuck.error.to_string())?;
    }
    let Some((name, vm)) = vm else { return Ok(()) };
    if name != "guest" {
        luo.open_session(session(name)).unwrap();
    }
    luo.preserve(session(name), VM, vm.clone()).map_err(|stuck| stuck.error.to_string())
}

/// An update that does not come so far that the guest has to stop. What kept it.
#[track_caller]
fn kept(host: &SimHost, vm: Option<(&'static str, &SimVm)>, files: &[SimGuestMemfd; 2]) -> String {
    let update = cross(
        &SimGround::exec(),
        |_| registry(host),
        |luo| preserve(luo, vm, files),
        || panic!("the guest was told to stop"),
        |_| Ok(()),
    );
    update.map(drop).unwrap_err()
}

#[test]
fn in_any_order_all_files_and_their_user_get_the_same_machine() {
    let orders = [[VM, FILES[0], FILES[1]], [FILES[1], VM, FILES[0]], [FILES[0], FILES[1], VM]];
    let grounds = [
        SimGround::exec(),
        SimGround::exec().refusing(DESCRIPTOR, "they stay"),
        SimGround::kexec().refusing(DESCRIPTOR, "they stay"),
    ];
    for (order, ground) in orders.iter().flat_map(|order| grounds.iter().map(move |ground| (order, ground))) {
        let host = SimHost::new();
        let (vm, files) = guest(&host);
        let crossed = cross(
            ground,
            |_| registry(&host),
            |luo| preserve(luo, Some(("guest", &vm)), &files),
            || (),
            |adopted| {
                let (mut machine, mut found) = (None, Vec::new());
                for token in order {
                    if *token == VM {
                        machine = Some(adopted.retrieve::<SimVm>(session("guest"), VM).unwrap());
                    } else {
                        found.push(adopted.retrieve::<SimGuestMemfd>(session("guest"), *token).unwrap());
                    }
                }
                Ok((machine.unwrap(), found))
            },
        );
        let (machine, found) = crossed.unwrap().arrived;
        assert_ne!(machine.number(), vm.number(), "a machine of the successor's own");
        assert_eq!(machine.vm_type(), VmType(3));
        let served: Vec<_> = found.iter().map(|file| file.vm().unwrap().number()).collect();
        assert_eq!(served, [machine.number(); 2]);
    }
}

#[test]
fn a_machine_that_is_not_preserved_is_missed_before_anything_is_paused() {
    let host = SimHost::new();
    let (_vm, files) = guest(&host);
    let error = kept(&host, None, &files);
    assert!(
        error.contains("failed to prepare: its virtual machine is not preserved in its session"),
        "{error}"
    );
}

#[test]
fn a_machine_in_another_session_does_not_count() {
    let host = SimHost::new();
    let (vm, files) = guest(&host);
    let error = kept(&host, Some(("elsewhere", &vm)), &files);
    assert!(
        error.contains("failed to prepare: its virtual machine is not preserved in its session"),
        "{error}"
    );
    assert!(error.contains("`elsewhere`"), "it says where the machine is: {error}");
}

/// The far side has no handler of machines: files that need one fail by name, and the guest stays where it is.
#[test]
fn a_machine_that_did_not_arrive_is_missed_by_name() {
    let host = SimHost::new();
    let (vm, files) = guest(&host);
    let update = cross(
        &SimGround::exec(),
        |side| {
            if side == Side::Near {
                return registry(&host);
            }
            let mut registry = Registry::new();
            registry.handler(GuestMemfds::new(host.clone())).unwrap();
            registry
        },
        |luo| preserve(luo, Some(("guest", &vm)), &files),
        || (),
        |adopted| {
            let file = adopted.retrieve::<SimGuestMemfd>(session("guest"), FILES[0]);
            file.map(drop).map_err(|error| error.to_string())
        },
    );
    let error = update.map(drop).unwrap_err();
    assert!(error.contains("its virtual machine, token 0x7, is missing"), "{error}");
}
