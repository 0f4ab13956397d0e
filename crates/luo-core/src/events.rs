//! Being watched: the run-time state, and events for whoever wants to follow an update.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
#[cfg(not(loom))]
use core::sync::atomic::{AtomicU8, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, Ordering};

use crate::{Participant, Phase};

/// Where an orchestrator stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Guests run; nothing is prepared as a whole.
    Normal,
    /// State is written; guests still run.
    Prepared,
    /// Guests are stopped; the last of the state is written.
    Frozen,
    /// Adopted from a predecessor, not finished yet.
    Updated,
    /// The memory belongs to a successor. Only exit is left.
    Departed,
}

/// The four things that move the state, as the patches of 2025 for Linux name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// `Normal -> Prepared`.
    Prepare,
    /// `Prepared -> Frozen`.
    Freeze,
    /// Back to `Normal`.
    Cancel,
    /// `Updated -> Normal`.
    Finish,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The state moved.
    State {
        /// Where from.
        from: State,
        /// Where to.
        to: State,
        /// By what; `None` for adoption and departure.
        by: Option<Transition>,
    },
    /// A participant completed a step: the `nth` of `of`, counted from 1.
    Done {
        /// The step.
        phase: Phase,
        /// Who.
        participant: Participant,
        /// Which one.
        nth: usize,
        /// How many there are.
        of: usize,
    },
    /// A participant failed a step; what was done is being undone.
    Failed {
        /// The step.
        phase: Phase,
        /// Who.
        participant: Participant,
    },
    /// A participant's step was undone.
    Undone {
        /// The step.
        phase: Phase,
        /// Who.
        participant: Participant,
    },
}

/// Follows an update. Called in the thread that drives it: be quick, and never call back.
pub trait Observer: Send {
    /// Something happened.
    fn event(&mut self, event: &Event);
}

impl<F: FnMut(&Event) + Send> Observer for F {
    fn event(&mut self, event: &Event) {
        self(event);
    }
}

/// A view of the state that any thread can keep and read.
#[derive(Clone, Debug)]
pub struct StateView(Arc<AtomicU8>);

impl StateView {
    /// The state as of now.
    pub fn get(&self) -> State {
        State::from_code(self.0.load(Ordering::Acquire))
    }
}

impl State {
    const ALL: [Self; 5] = [Self::Normal, Self::Prepared, Self::Frozen, Self::Updated, Self::Departed];

    fn code(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Prepared => 1,
            Self::Frozen => 2,
            Self::Updated => 3,
            Self::Departed => 4,
        }
    }

    fn from_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|state| state.code() == code).unwrap_or(Self::Departed)
    }
}

/// The state, and those who follow it.
pub(crate) struct Bulletin {
    state: Arc<AtomicU8>,
    observers: Vec<Box<dyn Observer>>,
}

impl Bulletin {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Arc::new(AtomicU8::new(state.code())), observers: Vec::new() }
    }

    pub(crate) fn state(&self) -> State {
        State::from_code(self.state.load(Ordering::Acquire))
    }

    pub(crate) fn view(&self) -> StateView {
        StateView(Arc::clone(&self.state))
    }

    pub(crate) fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observers.push(observer);
    }

    pub(crate) fn set(&mut self, to: State, by: Option<Transition>) {
        let from = self.state();
        self.state.store(to.code(), Ordering::Release);
        self.tell(|| Event::State { from, to, by });
    }

    /// Whether anybody follows: otherwise nobody has to find out what to tell.
    pub(crate) const fn is_read(&self) -> bool {
        !self.observers.is_empty()
    }

    pub(crate) fn tell(&mut self, event: impl FnOnce() -> Event) {
        if !self.is_read() {
            return;
        }
        let event = event();
        for observer in &mut self.observers {
            observer.event(&event);
        }
    }
}

impl fmt::Debug for Bulletin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulletin")
            .field("state", &self.state())
            .field("observers", &self.observers.len())
            .finish()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Prepared => "prepared",
            Self::Frozen => "frozen",
            Self::Updated => "updated",
            Self::Departed => "departed",
        })
    }
}
