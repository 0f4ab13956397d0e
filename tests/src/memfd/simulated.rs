//! The fixture of simulated memfds: files of every sort, and what their users do with them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use luo_core::conformance::{Fixture, Side};
use luo_core::{Identity, Refusal, Registry, Version};
use luo_kho::FRAME_BYTES as PAGE;
use luo_memfd::sim::{SimHost, SimMemfd};
use luo_memfd::{
    Access, Attributes, CopyWhen, DirtyLog, HeadRoom, Memfds, NAME_MAX, Name, Owner, Port, Seals, Status,
    Times,
};
use parking_lot::Mutex;

/// What was written, by file: a dirty log for all of them.
#[derive(Clone, Debug, Default)]
pub struct WriteLog(Arc<Mutex<HashMap<Identity, Vec<Range<u64>>>>>);

struct LogOf(WriteLog, Identity);

impl WriteLog {
    /// These pages of this file were written.
    pub fn wrote(&self, file: Identity, pages: Range<u64>) {
        if let Some(log) = self.0.lock().get_mut(&file) {
            log.push(pages);
        }
    }

    /// A log of what is written to this file from now on.
    pub fn begin(&self, file: Identity) -> Box<dyn DirtyLog> {
        self.0.lock().insert(file, Vec::new());
        Box::new(LogOf(self.clone(), file))
    }
}

impl DirtyLog for LogOf {
    fn drain(&mut self, dirty: &mut dyn FnMut(Range<u64>)) -> Result<(), Refusal> {
        if let Some(log) = self.0.0.lock().get_mut(&self.1) {
            log.drain(..).for_each(dirty);
        }
        Ok(())
    }
}

impl Drop for LogOf {
    fn drop(&mut self) {
        self.0.0.lock().remove(&self.1);
    }
}

/// Simulated memfds.
#[derive(Debug)]
pub struct SimFixture {
    host: SimHost,
    when: CopyWhen,
    log: Option<WriteLog>,
    files: usize,
}

/// All of a memfd that its user can observe: name, attributes, and each run of populated pages with its bytes.
pub type Portrait = (Name, Attributes, Vec<(Range<u64>, Vec<u8>)>);

/// How many sorts of files there are.
const FILES: usize = 5;

type Change = fn(&SimMemfd) -> Result<Option<Range<u64>>, luo_memfd::HostError>;

/// What users do. The answer is the pages that were written, if any were.
const CHANGES: [Change; 9] = [
    |file| file.write_at(3, b"changed").map(|()| Some(0..1)),
    |file| file.write_at(30 * PAGE, &[7; 9000]).map(|()| Some(30..33)),
    |file| file.discard(0..1).map(|()| Some(0..1)),
    |file| file.resize(PAGE / 2).map(|()| Some(0..1)),
    |file| file.add_seals(Seals::SHRINK | Seals::GROW).map(|()| None),
    |file| {
        file.seek(file.attributes().position + 1);
        Ok(None)
    },
    |file| {
        file.set_mode(file.attributes().mode ^ 0o020);
        Ok(None)
    },
    |file| {
        let flipped = if file.attributes().status == Status::APPEND { Status::NONE } else { Status::APPEND };
        file.set_status(flipped);
        Ok(None)
    },
    |file| {
        file.set_close_on_exec(!file.attributes().close_on_exec);
        Ok(None)
    },
];

impl SimFixture {
    /// Files that are copied when this says so.
    pub fn new(when: CopyWhen) -> Self {
        Self { host: SimHost::new(), when, log: None, files: FILES }
    }

    /// With a dirty log.
    #[must_use]
    pub fn logged(mut self) -> Self {
        self.log = Some(WriteLog::default());
        self
    }

    /// With the first so many files only: dense, sparse, empty, sealed, with the longest name.
    #[must_use]
    pub fn first(mut self, files: usize) -> Self {
        self.files = files;
        self
    }

    /// All of it.
    pub fn portrait_of(file: &SimMemfd) -> Portrait {
        let attributes = Attributes { blocks: 0, times: Times::default(), ..file.attributes() };
        let (mut runs, mut from) = (Vec::new(), 0);
        while let Some(run) = file.file().pages_from(from) {
            from = run.end;
            let len = (run.end * PAGE).min(attributes.size) - run.start * PAGE;
            let mut bytes = vec![0; usize::try_from(len).expect("files of tests are small")];
            file.read_at(run.start * PAGE, &mut bytes);
            runs.push((run, bytes));
        }
        (file.name().clone(), attributes, runs)
    }

    fn filled(&self, name: &str, nth: usize) -> SimMemfd {
        let file = self.host.memfd(name);
        let done = match nth {
            0 => file.write_at(0, &[0xA5; 3 * 4096 + 100]),
            1 => {
                file.seek(123);
                file.set_mode(0o600);
                file.resize(40 * PAGE).and_then(|()| {
                    let each = [0u8, 2, 3, 17, 39]
                        .map(|page| file.write_at(u64::from(page) * PAGE, &[page + 1; 4096]));
                    each.into_iter().collect()
                })
            }
            2 => {
                file.set_status(Status::APPEND | Status::NONBLOCK);
                file.set_close_on_exec(false);
                Ok(())
            }
            3 => {
                file.set_owner(Owner { user: 1000, group: 100 });
                file.write_at(5 * PAGE, &[1; 4096]).and_then(|()| file.add_seals(Seals::KNOWN))
            }
            _ => file.resize(7),
        };
        done.expect("a new file may be filled");
        if nth == 3 { file.reopen(Access::Read) } else { file }
    }
}

impl Fixture for SimFixture {
    type Handler = Memfds<SimHost>;
    type Portrait = Portrait;
    type Baseline = usize;

    fn renew(&mut self) {
        self.host = SimHost::new();
    }

    fn handler(&mut self, _: Side) -> Memfds<SimHost> {
        let handler = Memfds::new(self.host.clone()).copying(self.when);
        let handler = handler.head_room(HeadRoom { at_least: 40, ..HeadRoom::DEFAULT });
        match self.log.clone() {
            None => handler,
            Some(log) => {
                let host = self.host.clone();
                handler.dirty_log(move |file| Some(log.begin(host.identity(file))))
            }
        }
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        self.files
    }

    fn file(&mut self, nth: usize) -> SimMemfd {
        let long = "n".repeat(NAME_MAX);
        let names = ["dense", "sparse", "", "sealed", &long];
        self.filled(names.get(nth).expect("there are five"), nth)
    }

    fn another_reference(&mut self, file: &SimMemfd) -> SimMemfd {
        file.reopen(Access::Read)
    }

    fn refused(&mut self) -> Vec<SimMemfd> {
        let (strange, stranger) = (self.host.memfd("strange"), self.host.memfd("stranger"));
        strange.add_seals(Seals::from_bits(1 << 20)).expect("it is new");
        stranger.set_status(Status::UNKNOWN);
        vec![self.host.linked_file("linked"), strange, stranger]
    }

    fn strangers(&mut self) -> Vec<SimMemfd> {
        vec![self.host.pipe()]
    }

    fn portrait(&mut self, file: &SimMemfd, _: Version) -> Portrait {
        Self::portrait_of(file)
    }

    fn baseline(&mut self) -> usize {
        self.host.alive()
    }

    fn changes(&self) -> usize {
        CHANGES.len()
    }

    fn change(&mut self, file: &SimMemfd, which: usize) -> bool {
        let before = Self::portrait_of(file);
        let change = CHANGES.get(which).expect("one of those that there are");
        let Ok(written) = change(file) else { return false };
        if let (Some(log), Some(pages)) = (&self.log, written) {
            log.wrote(self.host.identity(file), pages);
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
