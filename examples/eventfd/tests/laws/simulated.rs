//! What the scenarios about eventfd files share: a fixture on a simulated host.

use luo_core::conformance::{Fixture, Side};
use luo_core::{Registry, Version};
use luo_eventfd::sim::{SimEventfd, SimHost};
use luo_eventfd::{Eventfds, State};

/// Simulated files.
#[derive(Debug, Default)]
pub(crate) struct SimFixture {
    host: SimHost,
}

/// Files of every sort.
const STATES: [State; 3] = [
    State { count: 0, semaphore: false, nonblock: false, close_on_exec: false },
    State { count: 1, semaphore: true, nonblock: true, close_on_exec: true },
    State { count: u64::MAX - 1, semaphore: false, nonblock: true, close_on_exec: true },
];

/// What users do.
const CHANGES: [fn(&mut State); 2] = [|state| state.count ^= 2, |state| state.nonblock ^= true];

impl Fixture for SimFixture {
    type Handler = Eventfds<SimHost>;
    type Portrait = State;
    type Baseline = usize;

    fn renew(&mut self) {
        self.host = SimHost::new();
    }

    fn handler(&mut self, _: Side) -> Eventfds<SimHost> {
        Eventfds::new(self.host.clone())
    }

    fn company(&mut self, _: Side, _: &mut Registry) {}

    fn files(&self) -> usize {
        STATES.len()
    }

    fn file(&mut self, nth: usize) -> SimEventfd {
        self.host.create(*STATES.get(nth).expect("one of those that there are"))
    }

    fn another_reference(&mut self, file: &SimEventfd) -> SimEventfd {
        file.clone()
    }

    fn refused(&mut self) -> Vec<SimEventfd> {
        vec![self.host.locked()]
    }

    fn strangers(&mut self) -> Vec<SimEventfd> {
        vec![self.host.stranger()]
    }

    fn portrait(&mut self, file: &SimEventfd, _: Version) -> State {
        file.state()
    }

    fn baseline(&mut self) -> usize {
        self.host.alive()
    }

    fn changes(&self) -> usize {
        CHANGES.len()
    }

    fn change(&mut self, file: &SimEventfd, which: usize) -> bool {
        let mut state = file.state();
        CHANGES.get(which).expect("one of those that there are")(&mut state);
        file.set(state);
        true
    }

    fn arm(&mut self, nth: u64) {
        self.host.arm(nth);
    }

    fn disarm(&mut self) -> bool {
        self.host.disarm()
    }
}
