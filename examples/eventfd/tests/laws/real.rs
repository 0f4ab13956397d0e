//! The fixture of real eventfds.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use luo_core::conformance::{Fixture, Side};
use luo_core::{Identity, Registry, Version};
use luo_descriptor::sim::Fuse;
use luo_eventfd::{Eventfd, Eventfds, HostError, Linux, Port, Sort, State};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::write;
use zerocopy::IntoBytes as _;

/// Linux, with a fuse before each call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried(Arc<Host>);

#[derive(Debug, Default)]
struct Host {
    fuse: Fuse,
    /// Every file holds one.
    alive: Arc<()>,
}

/// An eventfd that is counted.
pub(crate) type Counted = (Eventfd, Arc<()>);

/// Real eventfds.
#[derive(Debug, Default)]
pub(crate) struct RealFixture {
    host: Tried,
}

impl Tried {
    fn counted(&self, file: Eventfd) -> Counted {
        (file, Arc::clone(&self.0.alive))
    }
}

impl Port for Tried {
    type File = Counted;

    fn identity(&self, (file, _): &Counted) -> Identity {
        Linux.identity(file)
    }

    fn sort(&self, (file, _): &Counted) -> Result<Sort, HostError> {
        Linux.sort(file)
    }

    fn look(&self, (file, _): &Counted) -> Result<State, HostError> {
        self.0.fuse.call("look")?;
        Linux.look(file)
    }

    fn make(&self, state: State) -> Result<Counted, HostError> {
        self.0.fuse.call("make")?;
        Ok(self.counted(Linux.make(state)?))
    }
}

/// Files of every sort.
const STATES: [State; 3] = [
    State { count: 0, semaphore: false, nonblock: false, close_on_exec: false },
    State { count: 7, semaphore: true, nonblock: false, close_on_exec: true },
    State { count: u64::MAX - 9, semaphore: false, nonblock: true, close_on_exec: true },
];

/// What users do: they count, and choose whether to wait.
const CHANGES: [fn(&Eventfd) -> rustix::io::Result<()>; 2] = [
    |file| write(file, 1u64.as_bytes()).map(drop),
    |file| fcntl_setfl(file, fcntl_getfl(file)? ^ OFlags::NONBLOCK),
];

impl Fixture for RealFixture {
    type Handler = Eventfds<Tried>;
    type Portrait = Option<State>;
    type Baseline = usize;

    fn renew(&mut self) {
        self.host = Tried::default();
    }

    fn handler(&mut self, _: Side) -> Eventfds<Tried> {
        Eventfds::new(self.host.clone())
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        STATES.len()
    }

    fn file(&mut self, nth: usize) -> Counted {
        let state = *STATES.get(nth).expect("one of those that there are");
        self.host.counted(Eventfd::create(state).expect("an eventfd can be had"))
    }

    /// Another descriptor.
    fn another_reference(&mut self, (file, _): &Counted) -> Counted {
        let duplicate = file.as_fd().try_clone_to_owned().expect("a test may have so many descriptors");
        self.host.counted(duplicate.into())
    }

    fn refused(&mut self) -> Vec<Counted> {
        Vec::new()
    }

    fn strangers(&mut self) -> Vec<Counted> {
        let file = std::fs::File::open("/dev/null").expect("every Linux has it");
        vec![self.host.counted(OwnedFd::from(file).into())]
    }

    /// None of what is no eventfd.
    fn portrait(&mut self, (file, _): &Counted, _: Version) -> Option<State> {
        Linux.look(file).ok()
    }

    fn baseline(&mut self) -> usize {
        Arc::strong_count(&self.host.0.alive) - 1
    }

    fn changes(&self) -> usize {
        CHANGES.len()
    }

    fn change(&mut self, (file, _): &Counted, which: usize) -> bool {
        CHANGES.get(which).expect("one of those that there are")(file).is_ok()
    }

    fn arm(&mut self, nth: u64) {
        self.host.0.fuse.arm(nth);
    }

    fn disarm(&mut self) -> bool {
        self.host.0.fuse.disarm()
    }
}
