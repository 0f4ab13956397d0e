//! The fixture of simulated guest_memfds: files of every sort, and what their users do with them.

use std::ops::Range;
use std::sync::Arc;

use luo_core::conformance::{Fixture, Side};
use luo_core::{Registry, Version};
use luo_guestmemfd::sim::{SimGuestMemfd, SimHost, SimVm};
use luo_guestmemfd::{Binding, Facts, Flags, GuestMemfds, Retrieve, Sharing, TellError, Told, VmType};
use luo_kho::FRAME_BYTES as PAGE;

use super::Vault;

/// All of a file that its user can observe: what was told of it, whether an exec closes it, and each run of pages that
/// exist with its bytes.
pub type Portrait = (Arc<Facts>, bool, Vec<(Range<u64>, Vec<u8>)>);

/// Simulated guest_memfds.
#[derive(Debug)]
pub struct SimFixture {
    host: SimHost,
    vm: SimVm,
    retrieve: Retrieve,
    exports: bool,
}

type Telling = fn(&Told) -> Result<(), TellError>;

/// What users tell of any file, whatever host it is on.
pub(super) const TELLINGS: [Telling; 4] = [
    |told| told.bind(Binding { slot: 0x1_0003, frame: 0x5_0000, page: 0, count: 1 }),
    |told| {
        let bound = told.facts().bindings().first().map(|binding| binding.slot);
        bound.map_or(Err(TellError::TooMany), |slot| {
            told.unbind(slot);
            Ok(())
        })
    },
    |told| told.share(0x40..0x1040, Sharing::Shared),
    |told| told.share(0x9_0000..0x9_0001, Sharing::Private),
];

/// What is told of file `nth` of a fixture before an update.
pub(super) fn tell(told: &Told, nth: usize) -> Result<(), TellError> {
    match nth {
        0 => told.bind(Binding { slot: 0, frame: 0, page: 0, count: 5 }),
        1 => {
            told.bind(Binding { slot: 1, frame: 0x10_0000, page: 20, count: 20 })?;
            told.bind(Binding { slot: 0, frame: 0x100, page: 3, count: 10 })?;
            told.share(0..0x104, Sharing::Shared)?;
            // Frames that are bound nowhere: nothing of the file is private.
            told.share(0x200..0x280, Sharing::Private)
        }
        _ => Ok(()),
    }
}

/// Pages of file `nth` of a fixture, and those that exist.
pub(super) const FILES: [(u64, &[u8]); 3] = [(5, &[0, 1, 2, 3, 4]), (40, &[0, 2, 3, 17, 39]), (1, &[])];

impl SimFixture {
    /// Files of which successors make this.
    pub fn new(retrieve: Retrieve) -> Self {
        let host = SimHost::new();
        let vm = host.vm(VmType(0));
        Self { host, vm, retrieve, exports: false }
    }

    /// With private pages, and an embedder who exports them.
    #[must_use]
    pub fn exporting(mut self) -> Self {
        self.exports = true;
        self
    }

    /// All of it.
    pub fn portrait_of(file: &SimGuestMemfd) -> Portrait {
        let (mut runs, mut from) = (Vec::new(), 0);
        while let Some(run) = file.memory().pages_from(from) {
            from = run.end;
            let len = usize::try_from((run.end - run.start) * PAGE).expect("files of tests are small");
            let mut bytes = vec![0; len];
            file.memory().read(run.start * PAGE, &mut bytes);
            runs.push((run, bytes));
        }
        (file.told().facts(), file.closes_on_exec(), runs)
    }
}

impl Fixture for SimFixture {
    type Handler = GuestMemfds<SimHost>;
    type Portrait = Portrait;
    type Baseline = usize;

    fn renew(&mut self) {
        self.host = SimHost::new();
        self.vm = self.host.vm(VmType(0));
    }

    fn handler(&mut self, _: Side) -> Self::Handler {
        let vm = self.vm.clone();
        let handler = GuestMemfds::new(self.host.clone()).retrieving(self.retrieve).sparing(40);
        let handler = handler.in_vm(move || Ok(vm.clone()));
        if self.exports { handler.private_memory(|file| Some(Vault::open(file))) } else { handler }
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        FILES.len()
    }

    fn file(&mut self, nth: usize) -> SimGuestMemfd {
        let (pages, existing) = FILES.get(nth).expect("there are three");
        let flags = if self.exports && nth == 2 { Flags::NONE } else { Flags::OPEN };
        let file = self.host.guest_memfd(None, *pages, flags);
        for page in *existing {
            file.write_at(u64::from(*page) * PAGE, &[page + 1; 4096]);
        }
        tell(file.told(), nth).expect("it is new");
        if self.exports && nth < 2 {
            file.told().share(0x2..0x103, Sharing::Private).expect("guests have such frames");
        }
        file.set_close_on_exec(nth != 1);
        file
    }

    fn another_reference(&mut self, file: &SimGuestMemfd) -> SimGuestMemfd {
        file.view_in(&self.host, &self.vm)
    }

    fn refused(&mut self) -> Vec<SimGuestMemfd> {
        let made = |flags| self.host.guest_memfd(None, 4, flags);
        let strange = made(Flags::OPEN | Flags::from_bits(1 << 20));
        if self.exports {
            return vec![strange];
        }
        let private = made(Flags::OPEN);
        private.told().bind(Binding { slot: 0, frame: 0, page: 0, count: 4 }).expect("it is new");
        private.told().share(2..3, Sharing::Private).expect("guests have such frames");
        vec![strange, private, made(Flags::NONE), made(Flags::MMAP), made(Flags::INIT_SHARED)]
    }

    fn strangers(&mut self) -> Vec<SimGuestMemfd> {
        vec![self.host.pipe()]
    }

    fn portrait(&mut self, file: &SimGuestMemfd, _: Version) -> Portrait {
        Self::portrait_of(file)
    }

    fn baseline(&mut self) -> usize {
        self.host.alive()
    }

    fn changes(&self) -> usize {
        TELLINGS.len() + 4
    }

    fn change(&mut self, file: &SimGuestMemfd, which: usize) -> bool {
        let before = Self::portrait_of(file);
        match (which.checked_sub(TELLINGS.len()), file.told().facts().pages()) {
            (None, _) => {
                let tell = TELLINGS.get(which).expect("it is below their number");
                if tell(file.told()).is_err() {
                    return false;
                }
            }
            (Some(0), _) => file.write_at(3, b"changed"),
            (Some(1), pages) if pages > 33 => file.write_at(30 * PAGE, &[7; 9000]),
            (Some(2), _) => file.punch(0..1),
            (Some(3), _) => file.set_close_on_exec(!file.closes_on_exec()),
            _ => return false,
        }
        Self::portrait_of(file) != before
    }

    fn arm(&mut self, nth: u64) {
        self.host.arm(nth);
    }

    fn disarm(&mut self) -> bool {
        self.host.disarm()
    }
}
