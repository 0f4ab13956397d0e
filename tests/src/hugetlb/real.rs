//! The fixture of real files of huge pages.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use luo_core::conformance::{Fixture, Side};
use luo_core::{Irrevocable, Registry, Version};
use luo_hugetlb::{CopyWhen, FreeTo, HugetlbFile, HugetlbFiles, Linux, PageSize, Port, Sort};
use rustix::fs::{
    FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, SeekFrom, fallocate, fchmod, fcntl_add_seals,
    fcntl_getfl, fcntl_setfl, ftruncate, memfd_create, open, seek, tell,
};
use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

use super::PAGE;
use super::guest::{Portrait, portrait, store};
use crate::flaky::{Flaky, Fuse};

/// Real memfds of 2 MiB pages, whose names begin as no others do.
#[derive(Debug)]
pub struct RealFixture {
    prefix: String,
    fuse: Fuse,
    when: CopyWhen,
    freeing: Option<FreeTo>,
    files: usize,
    /// The kernel's counts of the pages: all, free and reserved. They stay open: looking is most of a law's work.
    counts: [File; 3],
}

type Change = fn(&HugetlbFile) -> Result<(), Errno>;

/// What users do.
const CHANGES: [Change; 9] = [
    |file| written(file, 3, b"changed"),
    |file| written(file, PAGE + 7, &[7; 9000]),
    |file| fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, PAGE),
    |file| ftruncate(file, PAGE),
    |file| fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW),
    |file| seek(file, SeekFrom::Start(tell(file)? + 1)).map(drop),
    |file| fchmod(file, Mode::from_raw_mode(0o640)),
    |file| fcntl_setfl(file, fcntl_getfl(file)? ^ OFlags::APPEND),
    |file| fcntl_setfd(file, fcntl_getfd(file)? ^ FdFlags::CLOEXEC),
];

/// As through a mapping, where the descriptor, the seals and the size allow one.
fn written(file: &HugetlbFile, at: u64, bytes: &[u8]) -> Result<(), Errno> {
    let sealed = rustix::fs::fcntl_get_seals(file)?.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE);
    let writes = fcntl_getfl(file)? & OFlags::ACCMODE == OFlags::RDWR;
    let size = rustix::fs::fstat(file)?.st_size.unsigned_abs();
    if sealed || !writes || at + PAGE > size {
        return Err(Errno::PERM);
    }
    store(file, at, bytes);
    Ok(())
}

/// What such a file of the kernel's says now.
fn count(file: &File) -> String {
    let mut bytes = [0; 24];
    let len = file.read_at(&mut bytes, 0).expect("it is open");
    String::from_utf8_lossy(bytes.get(..len).unwrap_or_default()).into_owned()
}

fn reopen(file: &HugetlbFile, way: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    open(path.as_str(), way | OFlags::CLOEXEC, Mode::empty())
}

impl RealFixture {
    /// How many huge pages its files need, with a copy of them.
    pub const PAGES: u64 = 12;
    /// How many sorts of files there are.
    const FILES: usize = 5;

    /// Files that are copied when this says so.
    pub fn new(when: CopyWhen) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Twice, so that a damaged byte in the name of one fixture's file does not make it another's.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("huge-{number}-{number}-");
        let counts = ["nr", "free", "resv"].map(|count| {
            let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{count}_hugepages");
            File::open(path).expect("the host has such pages: they were borrowed")
        });
        Self { prefix, fuse: Fuse::default(), when, freeing: None, files: Self::FILES, counts }
    }

    /// Pages are freed while they are copied.
    #[must_use]
    pub fn freeing(mut self, to: FreeTo) -> Self {
        self.freeing = Some(to);
        self
    }

    /// With the first so many files only: sparse, empty, dense, to be written, sealed.
    #[must_use]
    pub fn first(mut self, files: usize) -> Self {
        self.files = files;
        self
    }

    fn filled(&self, nth: usize) -> Result<HugetlbFile, Errno> {
        let create = |name: &str, pages: u64| {
            let name = format!("{}{name}", self.prefix);
            HugetlbFile::create(&name, pages * PAGE, PageSize::MIB_2).map_err(|_| Errno::NODEV)
        };
        Ok(match nth {
            0 => {
                let file = create("sparse", 64)?;
                store(&file, 40 * PAGE, b"far away");
                seek(&file, SeekFrom::Start(123))?;
                fchmod(&file, Mode::from_raw_mode(0o600))?;
                file
            }
            1 => {
                let file = create("empty", 0)?;
                fcntl_setfl(&file, OFlags::APPEND | OFlags::NONBLOCK)?;
                fcntl_setfd(&file, FdFlags::empty())?;
                file
            }
            2 => {
                let file = create("dense", 2)?;
                store(&file, 5, &[0xA5; 9000]);
                store(&file, PAGE, &[0x5A; 100]);
                file
            }
            3 => {
                let file = create("to be written", 3)?;
                store(&file, PAGE, b"written");
                reopen(&file, OFlags::WRONLY | OFlags::DSYNC)?.into()
            }
            _ => {
                let file = create("sealed", 2)?;
                store(&file, PAGE, &[1; 4096]);
                let reader = reopen(&file, OFlags::RDONLY)?;
                fcntl_add_seals(&file, SealFlags::from_bits_retain(0x1F))?;
                reader.into()
            }
        })
    }
}

impl Fixture for RealFixture {
    type Handler = HugetlbFiles<Flaky<Linux>>;
    type Portrait = Option<Portrait>;
    type Baseline = (Vec<String>, [String; 3]);

    fn renew(&mut self) {}

    fn handler(&mut self, _: Side) -> Self::Handler {
        let handler = HugetlbFiles::new(Flaky::new(Linux::new(), self.fuse.clone())).copying(self.when);
        match self.freeing {
            Some(to) => handler.freeing(to, Irrevocable::knowingly()),
            None => handler,
        }
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        self.files
    }

    fn file(&mut self, nth: usize) -> HugetlbFile {
        self.filled(nth).expect("a new file may be filled")
    }

    fn another_reference(&mut self, file: &HugetlbFile) -> HugetlbFile {
        reopen(file, OFlags::RDONLY).expect("its owner may read it").into()
    }

    fn refused(&mut self) -> Vec<HugetlbFile> {
        let file = self.filled(1).expect("an empty file");
        vec![reopen(&file, OFlags::PATH).expect("anybody may").into()]
    }

    fn strangers(&mut self) -> Vec<HugetlbFile> {
        let opened = |path: &str| HugetlbFile::from(File::open(path).expect("every Linux has it"));
        let (pipe, _) = std::io::pipe().expect("a pipe can be had");
        let name = CString::new("ordinary").expect("no NUL in it");
        let memfd = memfd_create(name, MemfdFlags::CLOEXEC).expect("a memfd can be had");
        vec![opened("/dev/null"), opened("/proc/self/exe"), OwnedFd::from(pipe).into(), memfd.into()]
    }

    /// None of what has no huge pages.
    fn portrait(&mut self, file: &HugetlbFile, _: Version) -> Option<Portrait> {
        matches!(Linux::new().sort(file), Ok(Sort::Huge)).then(|| portrait(file))
    }

    /// Descriptors of this fixture's files in this process, and the pool.
    fn baseline(&mut self) -> (Vec<String>, [String; 3]) {
        let open = std::fs::read_dir("/proc/self/fd").expect("Linux has it");
        let links = open.filter_map(|entry| {
            let path = entry.ok()?.path();
            Some(format!("{}{}", path.display(), std::fs::read_link(&path).ok()?.display()))
        });
        let ours = format!("/memfd:{}", self.prefix);
        let ours = links.filter(|link| link.contains(&ours) || link.contains("/memfd:luo-stand-in"));
        (ours.collect(), self.counts.each_ref().map(count))
    }

    fn changes(&self) -> usize {
        CHANGES.len()
    }

    fn change(&mut self, file: &HugetlbFile, which: usize) -> bool {
        let before = portrait(file);
        let change = CHANGES.get(which).expect("one of those that there are");
        change(file).is_ok() && portrait(file) != before
    }

    fn arm(&mut self, nth: u64) {
        self.fuse.arm(nth);
    }

    fn disarm(&mut self) -> bool {
        self.fuse.disarm()
    }
}
