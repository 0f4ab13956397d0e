//! The port: each question is one or a few system calls.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Instant;

use luo_core::{Identity, Refusal};
use luo_descriptor::linux::{self, failed};
use luo_kho::{ByteLen, FRAME_BYTES, FrameCount, FrameRange, KhoError, Memory, process};
use rustix::fs::{FileType, FsWord, fstat, fstatfs};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::spread::spread;
use super::{GuestMemfd, Vm, Window};
use crate::port::{Look, Port, Sort};
use crate::{Facts, GuestMemfdError, HostError, VmType};

/// The file systems in which kernels keep guest_memfds: `ANON_INODE_FS_MAGIC` and `GUEST_MEMFD_MAGIC`.
const HOMES: [FsWord; 2] = [0x0904_1934, 0x474D_454D];
/// What every kernel calls them.
const NAME: &[u8] = b"[kvm-gmem]";
/// What is copied to learn how fast that is, and how often: some milliseconds.
const TRIAL: (usize, u32) = (8 << 20, 2);

type VmSource = Arc<dyn Fn(VmType) -> Result<Vm, Refusal> + Send + Sync>;

/// The port of this process's kernel.
#[derive(Clone, Default)]
pub struct Linux {
    source: Option<VmSource>,
    rate: OnceLock<u64>,
}

impl Linux {
    /// Machines are made where they are needed.
    pub const fn new() -> Self {
        Self { source: None, rate: OnceLock::new() }
    }

    /// The machines of this program that take the place of others are those that `source` gives: made beforehand, with
    /// all that belongs to them.
    #[must_use]
    pub fn with_vms(
        mut self,
        source: impl Fn(VmType) -> Result<Vm, Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

/// As [`failed`], for calls that answer with an error of the standard library's.
fn refused(call: &'static str) -> impl Fn(io::Error) -> HostError + Copy {
    move |error| HostError { call, errno: error.raw_os_error().unwrap_or_default() }
}

impl Port for Linux {
    type Vm = Vm;
    type File = GuestMemfd;
    type Reader = Window;
    type Draft = (GuestMemfd, Window);

    fn vm_identity(&self, vm: &Vm) -> Identity {
        Identity(u128::from(vm.number()))
    }

    fn vm_type(&self, vm: &Vm) -> VmType {
        vm.vm_type()
    }

    fn make_vm(&self, of: VmType) -> Result<Vm, Refusal> {
        match &self.source {
            Some(source) => source(of),
            None => Vm::create_of(of).map_err(|error| Refusal::new(refused("KVM_CREATE_VM")(error))),
        }
    }

    fn identity(&self, file: &GuestMemfd) -> Identity {
        Identity(linux::number(file.as_fd()))
    }

    fn sort(&self, file: &GuestMemfd) -> Result<Sort, HostError> {
        let stat = fstat(file).map_err(failed("fstat"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Sort::Other);
        }
        let home = fstatfs(file).map_err(failed("fstatfs"))?.f_type;
        if !HOMES.contains(&home) {
            return Ok(Sort::Other);
        }
        let link = linux::link(file.as_fd())?;
        let ours = link.as_bytes().windows(NAME.len()).any(|part| part == NAME);
        Ok(if ours { Sort::GuestMemfd } else { Sort::Other })
    }

    fn look(&self, file: &GuestMemfd) -> Result<Look, HostError> {
        let size = fstat(file).map_err(failed("fstat"))?.st_size.unsigned_abs();
        let flags = fcntl_getfd(file).map_err(failed("fcntl(F_GETFD)"))?;
        Ok(Look { size, close_on_exec: flags.contains(FdFlags::CLOEXEC) })
    }

    fn facts(&self, file: &GuestMemfd) -> Arc<Facts> {
        file.told().facts()
    }

    fn vm(&self, file: &GuestMemfd) -> Option<Vm> {
        file.vm().cloned()
    }

    fn attach(
        &self,
        file: &GuestMemfd,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        process::attach(memory, file.as_fd(), frames)
    }

    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        vm: Option<Vm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<GuestMemfd, GuestMemfdError> {
        let file = GuestMemfd::of(process::attached(memory, segment)?, facts, vm, false);
        set_close_on_exec(&file, close_on_exec)?;
        Ok(file)
    }

    fn open(&self, file: &GuestMemfd) -> Result<Window, HostError> {
        file.map().map_err(refused("mmap"))
    }

    fn present(&self, reader: &Window) -> Result<Vec<Range<u64>>, HostError> {
        reader.present().map_err(refused("mincore"))
    }

    fn touch(&self, reader: &Window, pages: Range<u64>) -> Result<(), GuestMemfdError> {
        let Err(error) = reader.populate(&pages, false) else { return Ok(()) };
        if error.raw_os_error() == Some(libc::EHWPOISON) {
            let mut each = pages.map(|page| (page, reader.populate(&(page..page + 1), false)));
            if let Some((page, _)) = each.find(|(_, populated)| populated.is_err()) {
                return Err(GuestMemfdError::Poisoned { page });
            }
        }
        Err(refused("madvise(MADV_POPULATE_READ)")(error).into())
    }

    fn read(&self, reader: &Window, page: u64, bytes: &mut [u8]) -> Result<(), GuestMemfdError> {
        self.touch(reader, page..page + ByteLen::of(bytes.len()).get() / FRAME_BYTES)?;
        Ok(reader.read(page * FRAME_BYTES, bytes).map_err(refused("to read a mapping"))?)
    }

    fn draft(&self, vm: &Vm, facts: &Facts) -> Result<(GuestMemfd, Window), HostError> {
        let made = GuestMemfd::create(vm, facts.pages(), facts.flags());
        let file = made.map_err(refused("KVM_CREATE_GUEST_MEMFD"))?;
        let window = file.map().map_err(refused("mmap"))?;
        Ok((file, window))
    }

    fn write(&self, (_, window): &Self::Draft, page: u64, bytes: &[u8]) -> Result<(), HostError> {
        spread(page..page + ByteLen::of(bytes.len()).get() / FRAME_BYTES, |pages| {
            let [from, to] = [pages.start, pages.end].map(|end| ByteLen::new((end - page) * FRAME_BYTES));
            let part = bytes.get(from.as_usize()..to.as_usize()).unwrap_or_default();
            populate_new(window, &pages)?;
            window.write(pages.start * FRAME_BYTES, part).map_err(refused("to write a mapping"))
        })
    }

    fn transfer(
        &self,
        from: &Window,
        (_, to): &Self::Draft,
        pages: Range<u64>,
    ) -> Result<(), GuestMemfdError> {
        spread(pages, |pages| {
            self.touch(from, pages.clone())?;
            populate_new(to, &pages)?;
            Ok(from.copy_to(to, &pages).map_err(refused("to copy from mapping to mapping"))?)
        })
    }

    fn complete(
        &self,
        (draft, _): Self::Draft,
        vm: Option<Vm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<GuestMemfd, HostError> {
        let descriptor = draft.to_file().map_err(refused("fcntl(F_DUPFD_CLOEXEC)"))?.into();
        let file = GuestMemfd::of(descriptor, facts, vm, true);
        set_close_on_exec(&file, close_on_exec)?;
        Ok(file)
    }

    /// Copies a little, once, and sees how long that takes.
    fn bytes_per_second(&self) -> u64 {
        *self.rate.get_or_init(|| {
            let (len, times) = TRIAL;
            let (from, mut to) = (vec![1u8; len], vec![0u8; len]);
            // The first time the pages of the target are put in place.
            to.copy_from_slice(&from);
            let since = Instant::now();
            for _ in 0..times {
                core::hint::black_box(&mut to).copy_from_slice(core::hint::black_box(&from));
            }
            let nanoseconds = since.elapsed().as_nanos().max(1);
            let bytes = len as u128 * u128::from(times);
            u64::try_from(bytes * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX).max(1)
        })
    }
}

/// Pages of a new file, before they are written.
fn populate_new(window: &Window, pages: &Range<u64>) -> Result<(), HostError> {
    window.populate(pages, true).map_err(refused("madvise(MADV_POPULATE_WRITE)"))
}

fn set_close_on_exec(file: &GuestMemfd, close: bool) -> Result<(), HostError> {
    let flags = if close { FdFlags::CLOEXEC } else { FdFlags::empty() };
    fcntl_setfd(file, flags).map_err(failed("fcntl(F_SETFD)"))
}

impl fmt::Debug for Linux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linux").field("source", &self.source.is_some()).finish_non_exhaustive()
    }
}
