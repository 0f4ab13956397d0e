//! The port of the simulated host.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use luo_core::{Identity, Refusal};
use luo_kho::sim::SimFile;
use luo_kho::{ByteLen, FRAME_BYTES, FrameCount, FrameRange, KhoError, Memory};

use super::file::Inode;
use super::{SimGuestMemfd, SimHost, SimVm};
use crate::port::{Look, Port, Sort};
use crate::{Facts, GuestMemfdError, HostError, VmType};

/// "Bad address": what the host hears that touches a private page.
const EFAULT: i32 = 14;
/// What plans are made with: 1 GiB in a second.
const BYTES_PER_SECOND: u64 = 1 << 30;

/// A simulated guest_memfd that is being filled.
#[derive(Debug)]
pub struct SimDraft(SimGuestMemfd);

impl Port for SimHost {
    type Vm = SimVm;
    type File = SimGuestMemfd;
    type Reader = SimGuestMemfd;
    type Draft = SimDraft;

    fn vm_identity(&self, vm: &SimVm) -> Identity {
        Identity(u128::from(vm.number()))
    }

    fn vm_type(&self, vm: &SimVm) -> VmType {
        vm.vm_type()
    }

    fn make_vm(&self, of: VmType) -> Result<SimVm, Refusal> {
        self.call("KVM_CREATE_VM").map_err(Refusal::new)?;
        Ok(self.vm(of))
    }

    fn identity(&self, file: &SimGuestMemfd) -> Identity {
        Identity(u128::from(file.file.number()))
    }

    fn sort(&self, file: &SimGuestMemfd) -> Result<Sort, HostError> {
        self.call("fstatfs")?;
        let ours = file.inode().is_some_and(|inode| inode.is_guest_memfd);
        Ok(if ours { Sort::GuestMemfd } else { Sort::Other })
    }

    fn look(&self, file: &SimGuestMemfd) -> Result<Look, HostError> {
        self.call("fstat")?;
        Ok(Look { size: file.file.size(), close_on_exec: file.closes_on_exec() })
    }

    fn facts(&self, file: &SimGuestMemfd) -> Arc<Facts> {
        file.told().facts()
    }

    fn vm(&self, file: &SimGuestMemfd) -> Option<SimVm> {
        file.vm().cloned()
    }

    fn attach(
        &self,
        file: &SimGuestMemfd,
        memory: &mut dyn Memory,
        frames: FrameCount,
    ) -> Result<FrameRange, KhoError> {
        memory.attach(&file.file, frames)
    }

    fn attached(
        &self,
        memory: &dyn Memory,
        segment: FrameRange,
        vm: Option<SimVm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<SimGuestMemfd, GuestMemfdError> {
        self.call("dup")?;
        let file = memory.attached(segment)?.downcast_ref::<SimFile>();
        let file = file.filter(|file| file.description::<Arc<Inode>>().is_some());
        let file = file.ok_or(GuestMemfdError::NotAGuestMemfd)?.clone();
        Ok(SimGuestMemfd::of(self, file, vm, facts, close_on_exec))
    }

    fn open(&self, file: &SimGuestMemfd) -> Result<SimGuestMemfd, HostError> {
        self.call("mmap")?;
        Ok(file.clone())
    }

    fn present(&self, reader: &SimGuestMemfd) -> Result<Vec<Range<u64>>, HostError> {
        self.call("mincore")?;
        let mut from = 0;
        Ok(core::iter::from_fn(|| {
            let run = reader.file.pages_from(from)?;
            from = run.end;
            Some(run)
        })
        .collect())
    }

    fn touch(&self, reader: &SimGuestMemfd, pages: Range<u64>) -> Result<(), GuestMemfdError> {
        self.call("madvise(MADV_POPULATE_READ)")?;
        let hidden = reader.told().facts().hidden();
        if hidden.iter().any(|range| range.start < pages.end && pages.start < range.end) {
            return Err(HostError { call: "madvise(MADV_POPULATE_READ)", errno: EFAULT }.into());
        }
        let poisoned = reader.inode().and_then(|inode| inode.poisoned.lock().range(pages).next().copied());
        poisoned.map_or(Ok(()), |page| Err(GuestMemfdError::Poisoned { page }))
    }

    fn read(&self, reader: &SimGuestMemfd, page: u64, bytes: &mut [u8]) -> Result<(), GuestMemfdError> {
        self.call("read")?;
        self.touch(reader, page..page + ByteLen::of(bytes.len()).get() / FRAME_BYTES)?;
        reader.file.read(page * FRAME_BYTES, bytes);
        Ok(())
    }

    fn draft(&self, vm: &SimVm, facts: &Facts) -> Result<SimDraft, HostError> {
        self.call("KVM_CREATE_GUEST_MEMFD")?;
        Ok(SimDraft(self.guest_memfd(Some(vm), facts.pages(), facts.flags())))
    }

    fn write(&self, draft: &SimDraft, page: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.call("write")?;
        draft.0.write_at(page * FRAME_BYTES, bytes);
        Ok(())
    }

    fn transfer(
        &self,
        from: &SimGuestMemfd,
        to: &SimDraft,
        pages: Range<u64>,
    ) -> Result<(), GuestMemfdError> {
        let mut bytes = vec![0; ByteLen::new((pages.end - pages.start) * FRAME_BYTES).as_usize()];
        self.read(from, pages.start, &mut bytes)?;
        Ok(self.write(to, pages.start, &bytes)?)
    }

    fn complete(
        &self,
        draft: SimDraft,
        vm: Option<SimVm>,
        facts: Facts,
        close_on_exec: bool,
    ) -> Result<SimGuestMemfd, HostError> {
        self.call("fcntl(F_SETFD)")?;
        Ok(SimGuestMemfd::of(self, draft.0.file, vm, facts, close_on_exec))
    }

    fn bytes_per_second(&self) -> u64 {
        BYTES_PER_SECOND
    }
}
