//! A handler from scratch: everything that it takes to carry a new kind of file.
//!
//! The file is a counter that threads share. Its whole state is one number, so the payload holds it and no preserved
//! memory is needed. Version 1 knew only the number; version 2 adds the step by which it counts. This build reads and
//! writes both, so that it can update from, and to, a build that knows only version 1.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, Luo, PrepareScope, Record, Refusal, Registry,
    RetrieveScope, SessionName, Token, Travel, Verdict, Version, VersionRange, WritePolicy,
};
use luo_kho::ByteLen;
use luo_kho::carrier::{CarrierError, DescriptorKind};
use luo_kho::sim::{Machine, MachineConfig, SimExec};

const V1: Version = Version(1);
const V2: Version = Version(2);

#[derive(Clone, Debug)]
struct Counter {
    value: Arc<AtomicU64>,
    step: u64,
}

struct CounterHandler;

impl FileHandler for CounterHandler {
    type File = Counter;
    // What is held of a counter while it is preserved: nothing beyond the counter itself.
    type Held = ();

    // Who it is, and which versions it knows.
    fn kind(&self) -> Kind {
        Kind::literal("counter")
    }
    fn reads(&self) -> VersionRange {
        VersionRange::up_to(V2)
    }
    fn writes(&self) -> Vec<Version> {
        vec![V2, V1]
    }
    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }

    // What it says of a file: mine, not mine, or mine but no. Two clones of one counter are one file.
    fn judge(&self, file: &Counter) -> Verdict {
        if file.step > 0 { Verdict::Mine } else { Verdict::MineButNo { reason: "it does not count".into() } }
    }
    fn identity(&self, file: &Counter) -> Identity {
        Identity(Arc::as_ptr(&file.value).addr() as u128)
    }
    fn travel(&self, _file: &Counter) -> Travel {
        Travel { descriptor: DescriptorKind("counter"), bytes: ByteLen::new(16), copy: Copying::Can }
    }

    // The near side. Prepare says how large the payloads can be; freeze writes them.
    fn preserve(&self, _file: &Counter) -> Result<(), Refusal> {
        Ok(())
    }
    fn survey(&self, _file: &Counter, (): &mut ()) -> Result<(), Refusal> {
        Ok(())
    }
    fn prepare(&self, _file: &Counter, (): &mut (), scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        for version in scope.versions().to_vec() {
            scope.reserve(version, ByteLen::new(16))?;
        }
        Ok(())
    }
    fn cancel(&self, _file: &Counter, (): &mut ()) {}
    fn freeze(&self, file: &Counter, (): &mut (), scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        let value = file.value.load(Ordering::SeqCst).to_le_bytes();
        let both = [value, file.step.to_le_bytes()].concat();
        for version in scope.versions().to_vec() {
            scope.put(version, if version == V1 { &value } else { &both })?;
        }
        Ok(())
    }
    fn unfreeze(&self, _file: &Counter, (): &mut ()) {}
    fn depart(&self, _file: Counter, (): ()) {}

    // The far side. The payload was written by another program: nothing in it is taken for granted.
    fn retrieve(&self, record: &Record<'_>, _scope: &mut RetrieveScope<'_>) -> Result<Counter, Refusal> {
        let (value, step) = match (record.version, record.payload.as_chunks::<8>()) {
            (V1, ([value], [])) => (*value, 1),
            (V2, ([value, step], [])) => (*value, u64::from_le_bytes(*step)),
            _ => return Err(Refusal::because("the payload has the wrong length")),
        };
        Ok(Counter { value: Arc::new(AtomicU64::new(u64::from_le_bytes(value))), step })
    }
    fn can_finish(&self, _record: &Record<'_>, _file: &Counter) -> Result<(), Refusal> {
        Ok(())
    }
    fn finish(&self, _record: &Record<'_>, _file: &Counter) {}
    fn discard(&self, _record: &Record<'_>, _scope: &mut RetrieveScope<'_>) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let registry = || -> Result<Registry, Box<dyn Error>> {
        let mut registry = Registry::new();
        registry.handler(CounterHandler)?;
        Ok(registry)
    };
    let machine = Machine::new(MachineConfig::default());
    let session = SessionName::new("counters")?;
    let (mut luo, owned) = Luo::found(machine.fresh()?, registry()?)?;
    // Both versions side by side: a successor that knows only the older one can take over too.
    luo.set_policy(WritePolicy::newest_of(2));
    luo.open_session(session)?;
    let counter = Counter { value: Arc::new(AtomicU64::new(40)), step: 2 };
    luo.preserve(session, Token(7), counter.clone())?;

    let mut arrived = None;
    let mut carrier = SimExec::new(|machine: &Machine| {
        let refuse = |error: &dyn ToString| CarrierError::Refused { reason: error.to_string() };
        let registry = registry().map_err(|error| refuse(&error))?;
        let mut adopted = Luo::adopt(machine.successor()?, registry).map_err(|stuck| refuse(&stuck.error))?;
        arrived = Some(adopted.retrieve::<Counter>(session, Token(7)).map_err(|error| refuse(&error))?);
        let (updated, _owned) = adopted.commit().map_err(|stuck| refuse(&stuck.error))?;
        updated.finish().map_err(|stuck| refuse(&stuck.error)).map(drop)
    });
    println!("{}", luo.plan(&[&carrier], None));
    let prepared = luo.prepare(&mut carrier)?;
    counter.value.fetch_add(counter.step, Ordering::SeqCst);
    let _departed =
        prepared.freeze(owned).map_err(|stuck| stuck.error)?.hand_over().map_err(|stuck| stuck.error)?;

    let counter = arrived.ok_or("nobody took over")?;
    println!("the counter stands at {} and counts by {}", counter.value.load(Ordering::SeqCst), counter.step);
    assert_eq!((counter.value.load(Ordering::SeqCst), counter.step), (42, 2));
    Ok(())
}
