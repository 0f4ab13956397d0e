//! The ownership word and the state, as loom sees them: every interleaving of three threads with at most three
//! preemptions.
//!
//! The threads use the protocol of `luo_kho::ownership` and its swap of a shared word, and the orchestrator's state
//! view. What the word guards are cells that loom watches: two threads that touch one without an order between them are
//! found.
#![cfg(loom)]

use core::any::Any;

use loom::cell::Cell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use luo_core::{Luo, Registry, State};
use luo_kho::ownership::{self, Kept, Offer, OwnershipError, shared};
use luo_kho::sim::{Machine, SimExec};
use luo_kho::{FrameCount, FrameRange, Generation, Kho, KhoError, Memory, Owned, PhysAddr, Root, Word};

/// What programs share.
struct Shared {
    word: AtomicU64,
    /// Written by the predecessor before its offer, read by whoever sees the offer.
    image: Cell<u64>,
    /// Touched by the running owner alone.
    guest: Cell<u64>,
}

/// One program's view of it: a word, and no memory.
struct View(Arc<Shared>);

impl Memory for View {
    fn span(&self) -> FrameRange {
        FrameRange::from_bounds(0, 1).unwrap()
    }
    fn scratch(&self) -> &[FrameRange] {
        &[]
    }
    fn alloc(&mut self, want: FrameCount) -> Result<FrameRange, KhoError> {
        Err(KhoError::OutOfFrames { want })
    }
    fn free(&mut self, range: FrameRange) -> Result<(), KhoError> {
        Err(KhoError::NotAllocated { range })
    }
    fn preserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        Err(KhoError::NotAllocated { range })
    }
    fn unpreserve(&mut self, range: FrameRange) -> Result<(), KhoError> {
        Err(KhoError::NotPreserved { range })
    }
    fn is_preserved(&self, _range: FrameRange) -> bool {
        false
    }
    fn read(&self, range: FrameRange) -> Result<&[u8], KhoError> {
        Err(KhoError::NotAllocated { range })
    }
    fn write(&mut self, at: PhysAddr, _bytes: &[u8]) -> Result<(), KhoError> {
        Err(KhoError::NotAllocated { range: at.frame().as_range() })
    }
    fn reclaim(&mut self, range: FrameRange) -> Result<(), KhoError> {
        Err(KhoError::NotPreserved { range })
    }
    fn forgo(&mut self, range: FrameRange) -> Result<(), KhoError> {
        Err(KhoError::NotReclaimed { range })
    }
    fn attach(&mut self, _file: &dyn Any, want: FrameCount) -> Result<FrameRange, KhoError> {
        Err(KhoError::OutOfFrames { want })
    }
    fn detach(&mut self, segment: FrameRange) -> Result<(), KhoError> {
        Err(KhoError::NotAttached { range: segment })
    }
    fn attached(&self, segment: FrameRange) -> Result<&dyn Any, KhoError> {
        Err(KhoError::NotAttached { range: segment })
    }
}

impl Kho for View {
    fn generation(&self) -> Generation {
        0
    }
    fn publish(&mut self, _root: Option<Root>) -> Result<(), KhoError> {
        Ok(())
    }
    fn root(&self) -> Option<Root> {
        None
    }
    fn preserved(&self) -> Result<Vec<FrameRange>, KhoError> {
        Ok(Vec::new())
    }
    fn segments(&self) -> Vec<FrameRange> {
        Vec::new()
    }
    fn word(&self) -> Result<Word, KhoError> {
        shared::load(&self.0.word)
    }
    fn swap(&mut self, from: Word, to: Word) -> Result<(), KhoError> {
        shared::swap(&self.0.word, from, to)
    }
}

const SEALED: u64 = 0x5EA1;

/// At most three preemptions: more than any bug of this size has needed.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A predecessor that runs the guest, stops it, seals, and offers.
fn offered() -> (Arc<Shared>, Offer) {
    let shared = Shared { word: AtomicU64::new(0), image: Cell::new(0), guest: Cell::new(0) };
    let shared = Arc::new(shared);
    let mut view = View(Arc::clone(&shared));
    let owned = ownership::found(&mut view).unwrap();
    run(&shared, &owned);
    (shared, offer(&mut view, owned))
}

fn offer(view: &mut View, owned: Owned) -> Offer {
    view.0.image.set(SEALED);
    match ownership::offer(view, owned) {
        Ok(offer) => offer,
        Err(Kept { error, .. }) => panic!("{error}"),
    }
}

/// The guest does something, for whoever has the right.
fn run(shared: &Shared, _owned: &Owned) {
    shared.guest.set(shared.guest.get() + 1);
}

/// A successor: sees an offer, reads the image, commits. Whether it got the guest.
fn succeed(shared: &Arc<Shared>) -> bool {
    let mut view = View(Arc::clone(shared));
    let Some(offer) = Offer::from_word(view.word().unwrap()) else { return false };
    assert_eq!(shared.image.get(), SEALED, "what is on offer is whole");
    match ownership::commit(&mut view, offer) {
        Ok(owned) => {
            run(shared, &owned);
            true
        }
        Err(OwnershipError::Departed(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// A predecessor that takes its guest back. Whether it got it.
fn take_back(shared: &Arc<Shared>, offer: Offer) -> bool {
    match ownership::revoke(&mut View(Arc::clone(shared)), offer) {
        Ok(owned) => {
            run(shared, &owned);
            true
        }
        Err(OwnershipError::Departed(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn k4_two_commit_and_the_predecessor_takes_back() {
    explore(|| {
        let (shared, offer) = offered();
        let successors = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || succeed(&shared))
        });
        let mine = take_back(&shared, offer);
        let theirs = successors.map(|successor| successor.join().unwrap());
        let runners = usize::from(mine) + theirs.into_iter().filter(|got| *got).count();
        assert_eq!(runners, 1, "the guest goes on once");
        assert_eq!(shared.guest.get(), 2);
    });
}

/// The guardian shuts out whoever read the old offer; then the old program commits like any successor.
#[test]
fn k6_a_guardian_renews_while_a_successor_commits() {
    explore(|| {
        let (shared, offer) = offered();
        let successor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || succeed(&shared))
        };
        let mut view = View(Arc::clone(&shared));
        let back = match ownership::reoffer(&mut view, offer) {
            Ok(renewed) => match ownership::commit(&mut view, renewed) {
                Ok(owned) => {
                    run(&shared, &owned);
                    true
                }
                // The successor has read the renewed offer.
                Err(OwnershipError::Departed(_)) => false,
                Err(error) => panic!("{error}"),
            },
            Err(OwnershipError::Departed(_)) => false,
            Err(error) => panic!("{error}"),
        };
        assert!(back ^ successor.join().unwrap(), "the guest goes on once");
        assert_eq!(shared.guest.get(), 2);
    });
}

/// Whoever comes while the offer is being made sees none of it, or all.
#[test]
fn k7_an_offer_is_seen_whole() {
    explore(|| {
        let shared = Shared { word: AtomicU64::new(0), image: Cell::new(0), guest: Cell::new(0) };
        let shared = Arc::new(shared);
        let mut view = View(Arc::clone(&shared));
        let owned = ownership::found(&mut view).unwrap();
        let successor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || succeed(&shared))
        };
        run(&shared, &owned);
        let offer = offer(&mut view, owned);
        let mine = take_back(&shared, offer);
        let theirs = successor.join().unwrap();
        assert!(mine ^ theirs, "the guest goes on once");
    });
}

/// Whoever watches the state sees moments of one update, in their order.
#[test]
fn k7_the_state_is_seen_in_order() {
    explore(|| {
        let machine = Machine::default();
        let (mut luo, owned) = match Luo::found(machine.fresh().unwrap(), Registry::new()) {
            Ok(founded) => founded,
            Err(stuck) => panic!("{}", stuck.error),
        };
        let view = luo.state_view();
        let watcher = thread::spawn(move || [view.get(), view.get(), view.get()]);
        let mut carrier = SimExec::new(|_: &Machine| Ok(()));
        let prepared = luo.prepare(&mut carrier).unwrap();
        let Ok(frozen) = prepared.freeze(owned) else { panic!("nothing was told to fail") };
        drop(frozen);
        let way = [State::Normal, State::Prepared, State::Frozen, State::Normal];
        let mut rest = &way[..];
        for seen in watcher.join().unwrap() {
            let at = rest.iter().position(|state| *state == seen);
            rest = &rest[at.expect("a state that comes next, or this one again")..];
        }
    });
}
