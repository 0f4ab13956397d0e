//! Your own kernel here: luo on something that is neither Linux nor the simulated machine.
//!
//! What a kernel lends is two things. Memory that outlives its user: the traits `Memory` and `Kho`, in `kernel.rs`, for
//! a toy kernel with 1 MiB of RAM and without std. And for each kind of file the **port** of its handler: here the one
//! of `examples/eventfd`, for this kernel's counters.

extern crate alloc;

mod kernel;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel::{Kernel, Reboot};
use luo_core::{Identity, Luo, Registry, SessionName, Token};
use luo_eventfd::{Eventfds, HostError, Port, Sort, State};
use luo_kho::carrier::CarrierError;

const COUNTER: Token = Token(4);

/// An object of the kernel that counts. Clones are handles of the same one.
#[derive(Clone, Debug)]
struct Counter(Arc<AtomicU64>);

/// What the handler of eventfds asks of a host, answered by this kernel.
struct Counters;

impl Port for Counters {
    type File = Counter;

    fn identity(&self, counter: &Counter) -> Identity {
        Identity(Arc::as_ptr(&counter.0).addr() as u128)
    }

    fn sort(&self, _: &Counter) -> Result<Sort, HostError> {
        Ok(Sort::Ours)
    }

    fn look(&self, counter: &Counter) -> Result<State, HostError> {
        let count = counter.0.load(Ordering::SeqCst);
        Ok(State { count, ..State::default() })
    }

    fn make(&self, state: State) -> Result<Counter, HostError> {
        Ok(Counter(Arc::new(AtomicU64::new(state.count))))
    }
}

fn registry() -> Result<Registry, Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.handler(Eventfds::new(Counters))?;
    Ok(registry)
}

fn main() -> Result<(), Box<dyn Error>> {
    let session = SessionName::new("toy")?;
    let (mut luo, owned) = Luo::found(Kernel::boot(), registry()?).map_err(|stuck| stuck.error)?;
    let counter = Counter(Arc::new(AtomicU64::new(40)));
    luo.open_session(session)?;
    luo.preserve(session, COUNTER, counter.clone())?;

    let mut arrived = None;
    let mut reboot = Reboot(|next: Kernel| {
        let refuse = |error: Box<dyn Error>| CarrierError::Refused { reason: error.to_string() };
        arrived = Some(take_over(next, session).map_err(refuse)?);
        Ok(())
    });
    println!("{}", luo.plan(&[&reboot], None));
    let prepared = luo.prepare(&mut reboot)?;
    counter.0.fetch_add(2, Ordering::SeqCst);
    let frozen = prepared.freeze(owned).map_err(|stuck| stuck.error)?;
    let departed = frozen.hand_over().map_err(|stuck| stuck.error)?;
    println!("the first kernel has gone: {}", departed.word());

    let counter = arrived.ok_or("nobody took over")?;
    println!("the second one counts on from {}", counter.0.load(Ordering::SeqCst));
    assert_eq!(counter.0.load(Ordering::SeqCst), 42);
    Ok(())
}

/// The program that the next kernel starts.
fn take_over(kernel: Kernel, session: SessionName) -> Result<Counter, Box<dyn Error>> {
    let mut adopted = Luo::adopt(kernel, registry()?).map_err(|stuck| stuck.error)?;
    let counter: Counter = adopted.retrieve(session, COUNTER)?;
    let (updated, _owned) = adopted.commit().map_err(|stuck| stuck.error)?;
    let _luo = updated.finish().map_err(|stuck| stuck.error)?;
    Ok(counter)
}
