//! The fixture of simulated files of huge pages.

use std::ops::Range;

use luo_core::conformance::{Fixture, Side};
use luo_core::{Irrevocable, Registry, Version};
use luo_hugetlb::sim::{SimHost, SimHuge};
use luo_hugetlb::{
    Access, Attributes, CopyWhen, FreeTo, HostError, HugetlbFiles, NAME_MAX, Owner, PageSize, Place, Pool,
    Seals, Status, Times,
};

/// Pages of 16 KiB: huge enough, and four frames each.
pub const SMALL: PageSize = match PageSize::new(16 << 10) {
    Some(size) => size,
    None => panic!("16 KiB is a page size"),
};
const PAGE: u64 = SMALL.bytes();
const PAGE_LEN: usize = 16 << 10;

/// Simulated files.
#[derive(Debug)]
pub struct SimFixture {
    host: SimHost,
    when: CopyWhen,
    freeing: Option<FreeTo>,
    files: usize,
}

/// All of a file that its user can observe, but where it is below a mount: a copy is there when it is finished.
pub type Portrait = (PageSize, Option<Place>, Attributes, Vec<(Range<u64>, Vec<u8>)>);

/// How many sorts of files there are.
const FILES: usize = 6;

type Change = fn(&SimHuge) -> Result<(), HostError>;

/// What users do.
const CHANGES: [Change; 9] = [
    |file| file.write_at(3, b"changed"),
    |file| file.write_at(9 * PAGE - 5, &[7; 10]),
    |file| file.discard(0..1),
    |file| file.resize(2 * PAGE),
    |file| file.add_seals(Seals::SHRINK | Seals::GROW),
    |file| {
        file.seek(file.attributes().position + 1);
        Ok(())
    },
    |file| {
        file.set_mode(file.attributes().mode ^ 0o020);
        Ok(())
    },
    |file| {
        let flipped = if file.attributes().status == Status::APPEND { Status::NONE } else { Status::APPEND };
        file.set_status(flipped);
        Ok(())
    },
    |file| {
        file.set_close_on_exec(!file.attributes().close_on_exec);
        Ok(())
    },
];

/// A host with two nodes.
fn host() -> SimHost {
    let host = SimHost::new(&[(SMALL, &[24, 40]), (PageSize::MIB_2, &[1, 0])]);
    host.mount("/dev/hugepages", SMALL);
    host
}

impl SimFixture {
    /// Files that are copied when this says so.
    pub fn new(when: CopyWhen) -> Self {
        Self { host: host(), when, freeing: None, files: FILES }
    }

    /// Pages are freed while they are copied.
    #[must_use]
    pub fn freeing(mut self, to: FreeTo) -> Self {
        self.freeing = Some(to);
        self
    }

    /// With the first so many files only: dense, sparse, empty, with the longest name, without a name below a mount,
    /// sealed.
    #[must_use]
    pub fn first(mut self, files: usize) -> Self {
        self.files = files;
        self
    }

    fn filled(&self, nth: usize) -> Result<SimHuge, HostError> {
        let memfd = |name: &str, pages: u64| {
            let file = self.host.memfd(name, SMALL);
            file.resize(pages * PAGE).map(|()| file)
        };
        Ok(match nth {
            0 => {
                let file = memfd("dense", 3)?;
                file.write_at(0, &vec![0xA5; 3 * PAGE_LEN])?;
                file
            }
            1 => {
                let file = memfd("sparse", 12)?;
                file.seek(123);
                file.set_mode(0o600);
                file.write_at(0, &[1; 4096])?;
                self.host.prefer(1);
                file.write_at(2 * PAGE + 5, b"in the middle")?;
                self.host.prefer(0);
                file.write_at(3 * PAGE, &[3; 4096])?;
                file.write_at(11 * PAGE, &[11; PAGE_LEN])?;
                file
            }
            2 => {
                let file = memfd("", 0)?;
                file.set_status(Status::APPEND | Status::NONBLOCK);
                file.set_close_on_exec(false);
                file
            }
            3 => memfd(&"n".repeat(NAME_MAX), 9)?,
            4 => {
                let file = self.host.open_at("/dev/hugepages", "guest");
                self.host.unlink("/dev/hugepages", "guest");
                file.resize(10 * PAGE)?;
                file.write_at(PAGE, b"mounted")?;
                file
            }
            _ => {
                let file = memfd("sealed", 6)?;
                file.set_owner(Owner { user: 1000, group: 100 });
                file.write_at(5 * PAGE, &[1; 4096])?;
                file.add_seals(Seals::KNOWN)?;
                file.reopen(Access::Read)
            }
        })
    }
}

impl Fixture for SimFixture {
    type Handler = HugetlbFiles<SimHost>;
    type Portrait = Portrait;
    type Baseline = (usize, Vec<Pool>);

    fn renew(&mut self) {
        self.host = host();
    }

    fn handler(&mut self, _: Side) -> HugetlbFiles<SimHost> {
        let handler = HugetlbFiles::new(self.host.clone()).copying(self.when);
        match self.freeing {
            Some(to) => handler.freeing(to, Irrevocable::knowingly()),
            None => handler,
        }
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        self.files
    }

    fn file(&mut self, nth: usize) -> SimHuge {
        self.filled(nth).expect("a new file may be filled")
    }

    fn another_reference(&mut self, file: &SimHuge) -> SimHuge {
        file.reopen(Access::Read)
    }

    fn refused(&mut self) -> Vec<SimHuge> {
        let [strange, stranger, poisoned] =
            ["strange", "stranger", "poisoned"].map(|name| self.host.memfd(name, SMALL));
        strange.add_seals(Seals::from_bits(1 << 20)).expect("it is new");
        stranger.set_status(Status::UNKNOWN);
        poisoned.resize(PAGE).and_then(|()| poisoned.write_at(0, b"lost")).expect("it is new");
        poisoned.poison(0);
        vec![strange, stranger, poisoned]
    }

    fn strangers(&mut self) -> Vec<SimHuge> {
        vec![self.host.pipe()]
    }

    fn portrait(&mut self, file: &SimHuge, _: Version) -> Portrait {
        let attributes = Attributes { blocks: 0, times: Times::default(), ..file.attributes() };
        let place = Some(file.place()).filter(|place| matches!(place, Place::Memfd(_)));
        let pages = file.runs().into_iter().flat_map(|run| run.pages);
        let contents = pages.map(|page| {
            let mut bytes = vec![0; PAGE_LEN];
            file.read_at(page * PAGE, &mut bytes);
            (page..page + 1, bytes)
        });
        (file.page_size(), place, attributes, contents.collect())
    }

    fn baseline(&mut self) -> (usize, Vec<Pool>) {
        (self.host.alive(), self.host.pools_now())
    }

    fn changes(&self) -> usize {
        CHANGES.len()
    }

    fn change(&mut self, file: &SimHuge, which: usize) -> bool {
        let before = self.portrait(file, Version(1));
        let change = CHANGES.get(which).expect("one of those that there are");
        change(file).is_ok() && self.portrait(file, Version(1)) != before
    }

    fn arm(&mut self, nth: u64) {
        self.host.arm(nth);
    }

    fn disarm(&mut self) -> bool {
        self.host.disarm()
    }
}
