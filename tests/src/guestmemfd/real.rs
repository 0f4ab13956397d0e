//! The fixture of real guest_memfds.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use luo_core::conformance::{Fixture, Side};
use luo_core::{Registry, Version};
use luo_guestmemfd::{Flags, GuestMemfd, GuestMemfds, Linux, Port, Retrieve, Sort, Vm, supported};
use luo_kho::FRAME_BYTES as PAGE;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::Portrait;
use super::simulated::{FILES, TELLINGS, tell};
use crate::flaky::{Flaky, Fuse};

/// Real guest_memfds.
#[derive(Debug)]
pub struct RealFixture {
    vm: Vm,
    fuse: Fuse,
    retrieve: Retrieve,
}

/// Says so, and answers yes, where this machine has no guest_memfds that a host can map.
pub fn unsupported(test: &str) -> bool {
    let why = supported().err();
    if let Some(why) = &why {
        println!("SKIPPED: {test}: {why}");
    }
    why.is_some()
}

/// Descriptors of guest_memfds have no names, so whoever counts them has to be the only one in this process.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files of more pages than these were made of damaged bytes: asking for each page whether it exists would take
/// minutes.
const PAGES_MAX: u64 = 1 << 18;

/// All of it that a user can observe.
pub fn portrait(file: &GuestMemfd) -> Portrait {
    if file.told().facts().pages() > PAGES_MAX {
        return (file.told().facts(), true, Vec::new());
    }
    let look = Linux::new().look(file).expect("it is open");
    let window = file.map().expect("its owner may map it");
    let present = window.present().expect("it can be asked");
    let runs = present.into_iter().map(|run| {
        let len = usize::try_from((run.end - run.start) * PAGE).expect("it exists, so it fits into memory");
        let mut bytes = vec![0; len];
        window.read(run.start * PAGE, &mut bytes).expect("it exists");
        (run, bytes)
    });
    (file.told().facts(), look.close_on_exec, runs.collect())
}

/// How many descriptors of this process have this in what the kernel calls them.
pub(super) fn open_files(name: &str) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux has it");
    let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().contains(name)).count()
}

fn write(file: &GuestMemfd, at: u64, bytes: &[u8]) {
    file.map().and_then(|window| window.write(at, bytes)).expect("its owner may write it");
}

impl RealFixture {
    /// Files of which successors make this.
    ///
    /// # Panics
    ///
    /// Where there are no virtual machines: see [`unsupported`].
    pub fn new(retrieve: Retrieve) -> Self {
        Self { vm: Vm::create().expect("it is supported"), fuse: Fuse::default(), retrieve }
    }

    fn made(&self, pages: u64, flags: Flags) -> GuestMemfd {
        let made = GuestMemfd::create(&self.vm, pages, flags).expect("it is supported");
        // Nobody tells which machine it serves: files that depend on others are tried elsewhere.
        let descriptor = made.to_file().expect("a descriptor can be had");
        GuestMemfd::new(descriptor.into(), flags, None).expect("it is open")
    }
}

impl Fixture for RealFixture {
    type Handler = GuestMemfds<Flaky<Linux>>;
    type Portrait = Option<Portrait>;
    type Baseline = usize;

    fn renew(&mut self) {}

    fn handler(&mut self, _: Side) -> Self::Handler {
        let vm = self.vm.clone();
        let handler = GuestMemfds::new(Flaky::new(Linux::new(), self.fuse.clone()));
        handler.retrieving(self.retrieve).sparing(40).in_vm(move || Ok(vm.clone()))
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        FILES.len()
    }

    fn file(&mut self, nth: usize) -> GuestMemfd {
        let (pages, existing) = FILES.get(nth).expect("there are three");
        let file = self.made(*pages, Flags::OPEN);
        for page in *existing {
            write(&file, u64::from(*page) * PAGE, &[page + 1; 4096]);
        }
        tell(file.told(), nth).expect("it is new");
        if nth == 1 {
            fcntl_setfd(&file, FdFlags::empty()).expect("it is open");
        }
        file
    }

    fn another_reference(&mut self, file: &GuestMemfd) -> GuestMemfd {
        let descriptor = file.to_file().expect("a descriptor can be had");
        GuestMemfd::new(descriptor.into(), Flags::OPEN, None).expect("it is open")
    }

    fn refused(&mut self) -> Vec<GuestMemfd> {
        // Which of these a kernel makes at all depends on its age.
        let closed = [Flags::NONE, Flags::MMAP, Flags::INIT_SHARED];
        let closed = closed.into_iter().filter_map(|flags| GuestMemfd::create(&self.vm, 4, flags).ok());
        closed.collect()
    }

    fn strangers(&mut self) -> Vec<GuestMemfd> {
        let stranger =
            |descriptor: OwnedFd| GuestMemfd::new(descriptor, Flags::OPEN, None).expect("it is open");
        let (pipe, _) = std::io::pipe().expect("a pipe can be had");
        let null = std::fs::File::open("/dev/null").expect("every Linux has it");
        let memfd =
            rustix::fs::memfd_create("memfd", rustix::fs::MemfdFlags::CLOEXEC).expect("one can be had");
        vec![stranger(pipe.into()), stranger(null.into()), stranger(memfd)]
    }

    /// None of what is no guest_memfd, or none that can be read.
    fn portrait(&mut self, file: &GuestMemfd, _: Version) -> Option<Portrait> {
        let open = file.told().facts().flags() == Flags::OPEN;
        let ours = open && matches!(Linux::new().sort(file), Ok(Sort::GuestMemfd));
        ours.then(|| portrait(file))
    }

    /// Descriptors of guest_memfds in this process.
    fn baseline(&mut self) -> usize {
        open_files("kvm-gmem")
    }

    fn changes(&self) -> usize {
        TELLINGS.len() + 4
    }

    fn change(&mut self, file: &GuestMemfd, which: usize) -> bool {
        let before = portrait(file);
        match (which.checked_sub(TELLINGS.len()), file.told().facts().pages()) {
            (None, _) => {
                let tell = TELLINGS.get(which).expect("it is below their number");
                if tell(file.told()).is_err() {
                    return false;
                }
            }
            (Some(0), _) => write(file, 3, b"changed"),
            (Some(1), pages) if pages > 33 => write(file, 30 * PAGE, &[7; 9000]),
            (Some(2), _) => {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(file, hole, 0, PAGE).expect("it has such a page");
            }
            (Some(3), _) => {
                let flags = fcntl_getfd(file.as_fd()).expect("it is open");
                fcntl_setfd(file, flags ^ FdFlags::CLOEXEC).expect("it is open");
            }
            _ => return false,
        }
        portrait(file) != before
    }

    fn arm(&mut self, nth: u64) {
        self.fuse.arm(nth);
    }

    fn disarm(&mut self) -> bool {
        self.fuse.disarm()
    }
}
