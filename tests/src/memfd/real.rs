//! The fixture of real memfds.

use std::ffi::CString;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use luo_core::conformance::{Fixture, Side};
use luo_core::{Registry, Version};
use luo_kho::FRAME_BYTES as PAGE;
use luo_memfd::{Attributes, CopyWhen, HeadRoom, Linux, Memfd, Memfds, Port, Sort};
use rustix::fs::{
    FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, SeekFrom, fallocate, fchmod, fcntl_add_seals,
    fcntl_getfl, fcntl_setfl, ftruncate, memfd_create, open, seek, tell, unlink,
};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd, pwrite};

use super::WriteLog;
use super::simulated::Portrait;
use crate::flaky::{Flaky, Fuse};

/// Real memfds, whose names begin as no others do.
#[derive(Debug)]
pub struct RealFixture {
    prefix: String,
    fuse: Fuse,
    when: CopyWhen,
    log: Option<WriteLog>,
    files: usize,
}

/// Its populated pages, in runs, each with its bytes as far as the file reaches. Of a sparse file no hole is read.
pub fn contents(file: &Memfd) -> Vec<(Range<u64>, Vec<u8>)> {
    let port = Linux::new();
    let size = port.look(file).expect("it is open").size;
    let reader = port.open(file).expect("its owner may read it");
    let (mut runs, mut from) = (Vec::new(), 0);
    while let Some(data) = port.next_data(&reader, from).expect("it can be searched") {
        from = data.end;
        let len = data.end.min(size) - data.start;
        let mut bytes = vec![0; usize::try_from(len).expect("it is populated, so it fits into memory")];
        port.read(&reader, data.start, &mut bytes).expect("it can be read");
        runs.push((data.start / PAGE..data.end.div_ceil(PAGE), bytes));
    }
    runs
}

/// All of it that a user can observe.
pub fn portrait(file: &Memfd) -> Portrait {
    let port = Linux::new();
    let attributes = port.look(file).expect("it is open");
    let name = port.name(file).expect("it has a name");
    (name, Attributes { blocks: 0, ..attributes }, contents(file))
}

fn write(file: impl AsFd, at: u64, bytes: &[u8]) -> Result<(), Errno> {
    pwrite(file, bytes, at).map(|written| assert_eq!(written, bytes.len()))
}

/// A way to write, for files whose descriptor is none.
fn reopen(file: &Memfd, way: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    open(path.as_str(), way | OFlags::CLOEXEC, Mode::empty())
}

type Change = fn(&Memfd) -> Result<Option<Range<u64>>, Errno>;

/// How many sorts of files there are.
const FILES: usize = 6;

/// What users do. The answer is the pages that were written, if any were.
const CHANGES: [Change; 9] = [
    |file| write(file, 3, b"changed").map(|()| Some(0..1)),
    |file| write(file, 30 * PAGE, &[7; 9000]).map(|()| Some(30..33)),
    |file| {
        fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, PAGE)?;
        Ok(Some(0..1))
    },
    |file| ftruncate(file, PAGE / 2).map(|()| Some(0..1)),
    |file| fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW).map(|()| None),
    |file| {
        seek(file, SeekFrom::Start(tell(file)? + 1))?;
        Ok(None)
    },
    |file| {
        fchmod(file, Mode::from_raw_mode(0o640))?;
        Ok(None)
    },
    |file| {
        fcntl_setfl(file, fcntl_getfl(file)? ^ OFlags::APPEND)?;
        Ok(None)
    },
    |file| {
        fcntl_setfd(file, fcntl_getfd(file)? ^ FdFlags::CLOEXEC)?;
        Ok(None)
    },
];

impl RealFixture {
    /// Files that are copied when this says so.
    pub fn new(when: CopyWhen) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Twice, so that a damaged byte in the name of one fixture's file does not make it another's.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("law-{number}-{number}-");
        Self { prefix, fuse: Fuse::default(), when, log: None, files: FILES }
    }

    /// With a dirty log.
    #[must_use]
    pub fn logged(mut self) -> Self {
        self.log = Some(WriteLog::default());
        self
    }

    /// With the first so many files only: dense, sparse, empty, sealed, not executable, to be written.
    #[must_use]
    pub fn first(mut self, files: usize) -> Self {
        self.files = files;
        self
    }

    fn create(&self, name: &str, flags: MemfdFlags) -> Memfd {
        let name = CString::new(format!("{}{name}", self.prefix)).expect("no NUL in it");
        memfd_create(&name, MemfdFlags::CLOEXEC | flags).expect("a memfd can be had").into()
    }

    fn filled(&self, nth: usize) -> Result<Memfd, Errno> {
        let sealable = MemfdFlags::ALLOW_SEALING;
        Ok(match nth {
            0 => {
                // Nobody said that it may be sealed: it has F_SEAL_SEAL.
                let file = self.create("dense", MemfdFlags::EXEC);
                write(&file, 0, &[0xA5; 3 * 4096 + 100])?;
                file
            }
            1 => {
                let file = self.create("sparse", sealable | MemfdFlags::EXEC);
                ftruncate(&file, 40 * PAGE)?;
                for page in [0u8, 2, 3, 17, 39] {
                    write(&file, u64::from(page) * PAGE, &[page + 1; 4096])?;
                }
                seek(&file, SeekFrom::Start(123))?;
                fchmod(&file, Mode::from_raw_mode(0o600))?;
                file
            }
            2 => {
                let file = self.create("empty", sealable);
                fcntl_setfl(&file, OFlags::APPEND | OFlags::NONBLOCK)?;
                fcntl_setfd(&file, FdFlags::empty())?;
                file
            }
            3 => {
                let file = self.create("sealed", sealable | MemfdFlags::EXEC);
                write(&file, 5 * PAGE, &[1; 4096])?;
                let reader = reopen(&file, OFlags::RDONLY)?;
                fcntl_add_seals(&file, SealFlags::from_bits_retain(0x1F))?;
                reader.into()
            }
            4 => {
                let file = self.create("not executable", MemfdFlags::NOEXEC_SEAL);
                write(&file, 1, b"x")?;
                file
            }
            _ => {
                let file = self.create("to be written", sealable | MemfdFlags::EXEC);
                write(&file, PAGE, b"written")?;
                reopen(&file, OFlags::WRONLY | OFlags::DSYNC)?.into()
            }
        })
    }
}

impl Fixture for RealFixture {
    type Handler = Memfds<Flaky<Linux>>;
    type Portrait = Option<Portrait>;
    type Baseline = Vec<String>;

    fn renew(&mut self) {}

    fn handler(&mut self, _: Side) -> Self::Handler {
        let handler = Memfds::new(Flaky::new(Linux::new(), self.fuse.clone())).copying(self.when);
        let handler = handler.head_room(HeadRoom { at_least: 40, ..HeadRoom::DEFAULT });
        match self.log.clone() {
            None => handler,
            Some(log) => handler.dirty_log(move |file| Some(log.begin(Linux::new().identity(file)))),
        }
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        self.files
    }

    fn file(&mut self, nth: usize) -> Memfd {
        self.filled(nth).expect("a new file may be filled")
    }

    fn another_reference(&mut self, file: &Memfd) -> Memfd {
        reopen(file, OFlags::RDONLY).expect("its owner may read it").into()
    }

    fn refused(&mut self) -> Vec<Memfd> {
        let path = self.create("path", MemfdFlags::EXEC);
        let mut refused = vec![reopen(&path, OFlags::PATH).expect("anybody may").into()];
        // A machine without a tmpfs there has no such files.
        for unlinked in [false, true] {
            let place = format!("/dev/shm/{}{}-{unlinked}", self.prefix, std::process::id());
            let made = open(place.as_str(), OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RWXU);
            let Ok(made) = made else { continue };
            if unlinked {
                unlink(place.as_str()).expect("it was just made");
                refused.push(made.into());
            } else {
                refused.push(made.into());
                unlink(place.as_str()).expect("it was just made");
            }
        }
        refused
    }

    fn strangers(&mut self) -> Vec<Memfd> {
        let opened = |path: &str| Memfd::from(std::fs::File::open(path).expect("every Linux has it"));
        let (pipe, _) = std::io::pipe().expect("a pipe can be had");
        let huge = memfd_create("huge", MemfdFlags::HUGETLB | MemfdFlags::CLOEXEC).map(Memfd::from);
        let mut strangers =
            vec![opened("/dev/null"), opened("/proc/self/exe"), Memfd::from(OwnedFd::from(pipe))];
        strangers.extend(huge);
        strangers
    }

    /// None of what is no memfd.
    fn portrait(&mut self, file: &Memfd, _: Version) -> Option<Portrait> {
        let memfd = matches!(Linux::new().sort(file), Ok(Sort::Memfd));
        memfd.then(|| portrait(file))
    }

    /// Descriptors of this fixture's memfds in this process.
    fn baseline(&mut self) -> Vec<String> {
        let open = std::fs::read_dir("/proc/self/fd").expect("Linux has it");
        let links = open.filter_map(|entry| {
            let path = entry.ok()?.path();
            Some(format!("{}{}", path.display(), std::fs::read_link(&path).ok()?.display()))
        });
        let ours = format!("/memfd:{}", self.prefix);
        links.filter(|link| link.contains(&ours)).collect()
    }

    fn changes(&self) -> usize {
        CHANGES.len()
    }

    fn change(&mut self, file: &Memfd, which: usize) -> bool {
        let before = portrait(file);
        let change = CHANGES.get(which).expect("one of those that there are");
        let Ok(written) = change(file) else { return false };
        if let (Some(log), Some(pages)) = (&self.log, written) {
            log.wrote(Linux::new().identity(file), pages);
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
