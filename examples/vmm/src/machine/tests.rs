//! Machines that run: what a thread guest does is what its counter says, and a guest goes on in another machine.

use std::time::Duration;

use luo_core::{Luo, Registry};
use luo_kho::FrameCount;
use luo_kho::process::ProcessKho;

use super::*;
use crate::guest::{Findings, fill, verify};
use crate::state::{V1, V2};

struct Host {
    owned: Owned,
    _luo: Luo<ProcessKho>,
    layout: Layout,
    memory: Mapped,
    devices: Arc<Mutex<Devices>>,
    trace: Arc<Trace>,
    _folder: tempfile::TempDir,
}

fn host(vcpus: u32) -> Host {
    let layout = Layout::new(8 << 20, vcpus).unwrap();
    let files = Backing::Memfd.create(&layout, None).unwrap();
    let memory = Mapped::new(&layout, &files, None, Populate::Later).unwrap();
    fill(memory.guest(), &layout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trace = Arc::new(Trace::create(&folder.path().join("trace")).unwrap());
    let devices = Arc::new(Mutex::new(Devices::new(vcpus, Box::new(std::io::sink()))));
    let kho = ProcessKho::create(FrameCount::new(64).unwrap()).unwrap();
    let (luo, owned) = Luo::found(kho, Registry::new()).unwrap();
    Host { owned, _luo: luo, layout, memory, devices, trace, _folder: folder }
}

impl Host {
    fn machine(&self, kind: Kind) -> Machine {
        let (devices, trace) = (Arc::clone(&self.devices), Arc::clone(&self.trace));
        Machine::new(kind, self.layout, self.memory.clone(), devices, trace).unwrap()
    }

    /// Runs until each vCPU has done so many more steps.
    fn run(&self, machine: &mut Machine, steps: u64) -> MachineState {
        let counters = || -> Vec<u64> {
            (0..self.layout.vcpus())
                .map(|vcpu| crate::guest::books(self.memory.guest(), vcpu).unwrap().counter)
                .collect()
        };
        let before = counters();
        machine.run(&self.owned).unwrap();
        for _ in 0..3000 {
            thread::sleep(Duration::from_millis(10));
            if counters().iter().zip(&before).all(|(now, before)| now - before >= steps) {
                return machine.stop().unwrap();
            }
        }
        panic!("the guest stands still: {before:?}, then {:?}", counters());
    }

    /// Whether everything is as it has to be, while the machine lies still.
    fn check(&self) -> Findings {
        let findings = verify(self.memory.guest(), &self.layout).unwrap();
        assert_eq!(findings.wrong, 0, "{findings:x?}");
        assert_eq!(findings.compared, self.layout.bytes());
        for (counts, books) in self.devices.lock().counts().zip(&findings.books) {
            assert_eq!(counts.faults, 0);
            assert_eq!(books.backwards, 0);
            // The interrupt of the last ring is pending: the doorbell was rung when the vCPU had stopped.
            assert_eq!(counts.rings, books.interrupts + 1, "{counts:?} {books:?}");
            let due = books.counter / crate::guest::LINE_EVERY;
            assert!(counts.lines == due || counts.lines + 1 == due, "{counts:?} {books:?}");
        }
        findings
    }
}

/// Runs a guest, and takes it from machine to machine, in both formats.
fn relay(kind: Kind) {
    let host = host(2);
    let mut machine = host.machine(kind);
    machine.boot().unwrap();
    let mut state = host.run(&mut machine, 5000);
    host.check();
    for version in [V1, V2, V1, V2, V2] {
        let bytes = state.write(version).unwrap();
        drop(machine);
        let before = crate::guest::hash(host.memory.guest(), &host.layout).unwrap();
        machine = host.machine(kind);
        machine.restore(&MachineState::read(version, &bytes).unwrap()).unwrap();
        let after = crate::guest::hash(host.memory.guest(), &host.layout).unwrap();
        assert_eq!(before, after, "restoring writes no guest memory");
        state = host.run(&mut machine, 5000);
        host.check();
    }
    let findings = host.check();
    assert!(findings.books.iter().all(|books| books.interrupts > 10), "{findings:?}");
}

#[test]
fn a_guest_of_threads_goes_on_in_another_machine() {
    relay(Kind::Thread);
}

#[test]
fn a_guest_of_the_processor_goes_on_in_another_machine() {
    match available() {
        Ok(()) => relay(Kind::Kvm),
        Err(reason) => println!("SKIPPED: a_guest_of_the_processor_goes_on_in_another_machine: {reason}"),
    }
}

#[test]
fn a_byte_that_nobody_wrote_is_found() {
    use vm_memory::{Bytes as _, GuestAddress};
    let host = host(2);
    let mut machine = host.machine(Kind::Thread);
    machine.boot().unwrap();
    host.run(&mut machine, 3000);
    for (start, bytes) in host.layout.regions() {
        let at = GuestAddress(start + bytes - 8);
        let word: u64 = host.memory.guest().read_obj(at).unwrap();
        host.memory.guest().write_obj(word ^ 1 << 40, at).unwrap();
    }
    let findings = verify(host.memory.guest(), &host.layout).unwrap();
    assert_eq!((findings.wrong, findings.first.len()), (2, 2), "{findings:x?}");
}

#[test]
fn state_of_another_machine_is_refused() {
    let (two, three) = (host(2), host(3));
    let mut machine = two.machine(Kind::Thread);
    machine.boot().unwrap();
    let state = two.run(&mut machine, 100);
    let error = three.machine(Kind::Thread).restore(&state).unwrap_err();
    assert!(matches!(error, MachineError::Other { .. }), "{error}");
    assert!(matches!(machine.stop(), Err(MachineError::NotNow(_))));
}
