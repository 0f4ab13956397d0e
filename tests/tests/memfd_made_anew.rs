//! Promise: a file that does not arrive as it was frozen is put right after the commit, where that is possible, and is
//! refused before it otherwise.
//!
//! An exec and a socket carry open files. A new kernel makes files of its own, and Linux 7.3 forgets some of what they
//! were. Here the carrier does it.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test panics")]

use luo_core::{Luo, Registry, Token};
use luo_kho::carrier::CarrierError;
use luo_kho::sim::{Machine, MachineConfig, SimExec};
use luo_memfd::sim::{SimHost, SimMemfd};
use luo_memfd::{Attributes, Memfds, Owner, Seals, Status};
use luo_tests::session;

/// Takes a simulated memfd across; `meanwhile` between prepare and freeze, `tamper` between offer and retrieve.
fn cross(
    host: &SimHost,
    file: &SimMemfd,
    meanwhile: impl FnOnce(&SimMemfd),
    tamper: impl Fn(&SimMemfd),
) -> Result<SimMemfd, String> {
    let vm = session("vm");
    let machine = Machine::new(MachineConfig::default());
    let registry = || {
        let mut registry = Registry::new();
        registry.handler(Memfds::new(host.clone())).unwrap();
        registry
    };
    let (mut luo, owned) = Luo::found(machine.fresh().unwrap(), registry()).unwrap();
    luo.open_session(vm).unwrap();
    luo.preserve(vm, Token(0), file.clone()).unwrap();
    let mut arrived = None;
    let mut carrier = SimExec::new(|machine: &Machine| {
        tamper(file);
        let before = file.attributes();
        let refuse = |reason: &dyn ToString| CarrierError::Refused { reason: reason.to_string() };
        let adopted = Luo::adopt(machine.successor()?, registry());
        let mut adopted = adopted.map_err(|stuck| refuse(&stuck.error))?;
        let found: SimMemfd = adopted.retrieve(vm, Token(0)).map_err(|error| refuse(&error))?;
        assert_eq!(file.attributes(), before, "before the commit it is still its old user's");
        let (updated, _owned) = adopted.commit().map_err(|stuck| refuse(&stuck.error))?;
        updated.finish().map_err(|stuck| refuse(&stuck.error))?;
        arrived = Some(found);
        Ok(())
    });
    let prepared = luo.prepare(&mut carrier).map_err(|error| error.to_string())?;
    meanwhile(file);
    let frozen = prepared.freeze(owned).map_err(|stuck| stuck.error.to_string())?;
    let _departed = frozen.hand_over().map_err(|stuck| stuck.error.to_string())?;
    Ok(arrived.unwrap())
}

fn guest() -> (SimHost, SimMemfd) {
    let host = SimHost::new();
    let file = host.memfd("guest");
    file.write_at(0, &[7; 5000]).unwrap();
    (host, file)
}

#[test]
fn what_can_be_changed_back_is() {
    let (host, file) = guest();
    file.set_mode(0o640);
    file.set_owner(Owner { user: 7, group: 8 });
    file.set_status(Status::APPEND);
    file.seek(99);
    let before = file.attributes();
    let arrived = cross(
        &host,
        &file,
        |_| (),
        |file| {
            file.set_mode(0o777);
            file.set_owner(Owner { user: 0, group: 0 });
            file.set_status(Status::NONE);
            file.seek(0);
        },
    );
    assert_eq!(arrived.unwrap().attributes(), before);
}

#[test]
fn another_size_or_a_seal_too_many_is_refused() {
    let (host, file) = guest();
    let refused = cross(&host, &file, |_| (), |file| file.resize(4096).unwrap()).unwrap_err();
    assert!(refused.contains("it arrived with 4096 bytes, it was frozen with 5000 bytes"), "{refused}");
    let (host, file) = guest();
    let refused = cross(&host, &file, |_| (), |file| file.add_seals(Seals::WRITE).unwrap()).unwrap_err();
    assert!(refused.contains("it arrived with seals 0x8 that it did not have"), "{refused}");
}

#[test]
fn a_flag_that_only_opening_gives_is_missed() {
    let (host, file) = guest();
    file.set_status(Status::DSYNC);
    let refused = cross(&host, &file, |_| (), |file| file.set_status(Status::NONE)).unwrap_err();
    assert!(refused.contains("it arrived with status flags 0x0, it was open with 0x10"), "{refused}");
}

#[test]
fn a_seal_that_nobody_knows_is_refused_at_freeze_too() {
    let (host, file) = guest();
    let unknown = |file: &SimMemfd| file.add_seals(Seals::from_bits(1 << 9)).unwrap();
    let refused = cross(&host, &file, unknown, |_| ()).unwrap_err();
    assert!(refused.contains("failed to freeze") && refused.contains("seals 0x200"), "{refused}");
}

#[cfg(target_os = "linux")]
mod real {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use luo_memfd::{Access, Linux, Memfd, Port};
    use luo_tests::memfd::{ProcessGround, Way, contents, update};
    use rustix::fs::{
        MemfdFlags, Mode, SealFlags, SeekFrom, fchmod, fcntl_add_seals, fcntl_setfl, ftruncate,
    };
    use rustix::fs::{OFlags, memfd_create, open, seek};
    use rustix::io::pwrite;
    use std::os::fd::AsRawFd;

    use super::*;

    fn look(file: &Memfd) -> Attributes {
        Linux::new().look(file).unwrap()
    }

    /// As Linux 7.3 makes a file again: contents, size and position; mode 0o777, readable and writable, without flags,
    /// with a name of its own. Seals as they were when the file was preserved: here none.
    fn as_a_new_kernel_does(file: BorrowedFd<'_>) -> OwnedFd {
        let old = Memfd::from(file.try_clone_to_owned().unwrap());
        let new =
            memfd_create("luo", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC).unwrap();
        ftruncate(&new, look(&old).size).unwrap();
        for (run, bytes) in contents(&old) {
            pwrite(&new, &bytes, run.start * 4096).unwrap();
        }
        seek(&new, SeekFrom::Start(look(&old).position)).unwrap();
        new
    }

    fn guest() -> Memfd {
        let file = memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC);
        let file = Memfd::from(file.unwrap());
        pwrite(&file, &[7; 9000], 4096).unwrap();
        file
    }

    #[test]
    fn what_linux_forgets_is_put_right() {
        let file = guest();
        fchmod(&file, Mode::from_raw_mode(0o600)).unwrap();
        fcntl_setfl(&file, OFlags::APPEND).unwrap();
        seek(&file, SeekFrom::Start(4100)).unwrap();
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::EXEC).unwrap();
        let anew = update(Way::Reference).on(ProcessGround::new().remaking(as_a_new_kernel_does));
        let crossed = anew.cross(std::slice::from_ref(&file), || ()).unwrap();
        let [before] = crossed.before_the_commit[..] else { panic!("one file went in") };
        assert_eq!((before.mode, before.seals, before.status), (0o777, Seals::NONE, Status::NONE));
        let after = &crossed.files[0];
        let times = look(after).times;
        assert_eq!(look(after), Attributes { times, ..look(&file) });
        assert_eq!(contents(after), contents(&file));
    }

    #[test]
    fn what_could_only_be_read_is_opened_anew_to_be_read() {
        let file = guest();
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        let reader =
            Memfd::from(open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap());
        seek(&reader, SeekFrom::Start(5)).unwrap();
        fcntl_add_seals(&file, SealFlags::WRITE).unwrap();
        let anew = update(Way::Reference).on(ProcessGround::new().remaking(as_a_new_kernel_does));
        let after = anew.one(&reader, || ()).unwrap();
        assert_eq!((look(&after).access, look(&after).position), (Access::Read, 5));
        assert_eq!(look(&after).seals, Seals::WRITE, "also what only a writer may add");
        assert_eq!(contents(&after), contents(&file));
    }

    #[test]
    fn what_the_new_user_changed_before_finish_stays_changed() {
        let file = guest();
        fchmod(&file, Mode::from_raw_mode(0o600)).unwrap();
        let anew = update(Way::Reference).on(ProcessGround::new().remaking(as_a_new_kernel_does));
        let crossed = anew.cross_and(
            &[file],
            || (),
            |files| {
                fchmod(&files[0], Mode::from_raw_mode(0o640)).unwrap();
                seek(&files[0], SeekFrom::Start(77)).unwrap();
            },
        );
        let after = look(&crossed.unwrap().files[0]);
        assert_eq!((after.mode, after.position), (0o640, 77));
    }

    #[test]
    fn something_else_in_its_place_is_refused() {
        let shorter = |file: BorrowedFd<'_>| {
            let new = as_a_new_kernel_does(file);
            ftruncate(&new, 4096).unwrap();
            new
        };
        let sealed = |file: BorrowedFd<'_>| {
            let new = as_a_new_kernel_does(file);
            fcntl_add_seals(&new, SealFlags::WRITE).unwrap();
            new
        };
        let foreign = |_: BorrowedFd<'_>| OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
        for (ground, reason) in [
            (
                ProcessGround::new().remaking(shorter),
                "it arrived with 4096 bytes, it was frozen with 13096 bytes",
            ),
            (ProcessGround::new().remaking(sealed), "it arrived with seals 0x8"),
            (ProcessGround::new().remaking(foreign), "not a memfd"),
        ] {
            let file = guest();
            let before = look(&file);
            let refused = update(Way::Reference).on(ground).one(&file, || ()).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
            assert_eq!(look(&file), before);
        }
    }
}
