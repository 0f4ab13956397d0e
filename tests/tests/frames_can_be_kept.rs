//! Frames may belong to what is retrieved: finish withdraws their preservation and leaves them where they are, so that
//! memory in use is never copied, and the next update preserves them where they lie.

use std::sync::Arc;

use luo_core::{
    Copying, FileHandler, FreezeScope, Identity, Kind, Luo, PrepareScope, Record, Refusal, Registry,
    RetrieveScope, Token, Travel, Verdict, Version, VersionRange,
};
use luo_kho::carrier::DescriptorKind;
use luo_kho::sim::{Machine, SimKexec, SimKho};
use luo_kho::{ByteLen, FrameCount, FrameRange, Owned};
use luo_tests::{bytes_of, frame_count, refused, session, words_of};

/// Pages that the guest uses. The first program has none yet: its first prepare takes them.
#[derive(Clone, Debug)]
struct Slab(Arc<(Option<FrameRange>, u64)>);

struct Slabs;

impl FileHandler for Slabs {
    type File = Slab;
    type Held = ();

    fn kind(&self) -> Kind {
        Kind::literal("slab")
    }

    fn reads(&self) -> VersionRange {
        VersionRange::up_to(Version(1))
    }

    fn writes(&self) -> Vec<Version> {
        vec![Version(1)]
    }

    fn leans_on(&self) -> Vec<Kind> {
        Vec::new()
    }

    fn judge(&self, _slab: &Slab) -> Verdict {
        Verdict::Mine
    }

    fn identity(&self, slab: &Slab) -> Identity {
        Identity(slab.0.1.into())
    }

    fn travel(&self, _slab: &Slab) -> Travel {
        let copy = Copying::Cannot { reason: "it stays where it is".into() };
        Travel { descriptor: DescriptorKind("slab"), bytes: ByteLen::ZERO, copy }
    }

    fn preserve(&self, _slab: &Slab) -> Result<(), Refusal> {
        Ok(())
    }

    fn survey(&self, _slab: &Slab, _held: &mut ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn prepare(&self, slab: &Slab, _held: &mut (), scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
        let range = if let Some(range) = slab.0.0 {
            range
        } else {
            let range = scope.memory().alloc(FrameCount::new(3).expect("a few"))?;
            scope.memory().write(range.addr(), b"the guest was here! ... ")?;
            range
        };
        scope.memory().preserve(range)?;
        let words = [slab.0.1, range.start().get(), range.count().get()];
        Ok(scope.put(Version(1), &bytes_of(&words))?)
    }

    fn cancel(&self, _slab: &Slab, _held: &mut ()) {}

    fn freeze(&self, _slab: &Slab, _held: &mut (), _scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn unfreeze(&self, _slab: &Slab, _held: &mut ()) {}

    fn depart(&self, _slab: Slab, _held: ()) {}

    fn retrieve(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) -> Result<Slab, Refusal> {
        let bad = || Refusal::because("not a slab");
        let words = words_of(record.payload).ok_or_else(bad)?;
        let [identity, start, count] = words[..] else { return Err(bad()) };
        let range = FrameRange::from_bounds(start, start + count).ok_or_else(bad)?;
        scope.keep(range)?;
        let bytes = scope.memory().read(range)?;
        assert!(bytes.starts_with(b"the guest was here!"), "it is where it was");
        Ok(Slab(Arc::new((Some(range), identity))))
    }

    fn can_finish(&self, _record: &Record<'_>, _slab: &Slab) -> Result<(), Refusal> {
        Ok(())
    }

    fn finish(&self, _record: &Record<'_>, _slab: &Slab) {}

    fn discard(&self, record: &Record<'_>, scope: &mut RetrieveScope<'_>) {
        let words = words_of(record.payload).unwrap_or_default();
        if let [_, start, count] = words[..]
            && let Some(range) = FrameRange::from_bounds(start, start + count)
        {
            let _ = scope.keep(range);
        }
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.handler(Slabs).expect("the only one");
    registry
}

/// One update by kexec. What arrived, and the right to run.
fn update(luo: &mut Luo<SimKho>, owned: Owned, slab: &Slab) -> (luo_core::Updated<SimKho>, Owned) {
    luo.open_session(session("s")).expect("the name is free");
    luo.preserve(session("s"), Token(1), slab.clone()).expect("it can travel");
    let mut arrived = None;
    let mut far = SimKexec::new(|machine: &Machine| {
        let kho = machine.successor().expect("there is an offer");
        let adopted = Luo::adopt(kho, registry()).map_err(|stuck| refused(stuck.error))?;
        arrived = Some(adopted.commit().map_err(|stuck| refused(stuck.error))?);
        Ok(())
    });
    let frozen = luo.prepare(&mut far).expect("prepares").freeze(owned).expect("freezes");
    let _departed = frozen.hand_over().expect("goes over");
    drop(far);
    arrived.expect("it has arrived")
}

#[test]
fn what_is_kept_stays_where_it_is_for_generations() {
    let machine = Machine::default();
    let (mut luo, mut owned) = Luo::found(machine.fresh().unwrap(), registry()).unwrap();
    let mut slab = Slab(Arc::new((None, 42)));
    let mut lies_at = None;
    for generation in 1..=5 {
        let (mut updated, right) = update(&mut luo, owned, &slab);
        slab = updated.retrieve(session("s"), Token(1)).unwrap();
        assert_eq!(slab.0.0, *lies_at.get_or_insert(slab.0.0), "it never moves");
        luo = updated.finish().unwrap();
        owned = right;
        let census = luo.memory().census().unwrap();
        assert_eq!(census.preserved, [], "generation {generation}: the promise is kept and over");
        assert_eq!(census.allocated, [slab.0.0.unwrap()], "its frames are its own, and nothing else is left");
    }
    assert_eq!(machine.violations(), []);
}

/// What is discarded is not kept, whatever the handler claims.
#[test]
fn what_is_discarded_is_freed() {
    let machine = Machine::default();
    let (mut luo, owned) = Luo::found(machine.fresh().unwrap(), registry()).unwrap();
    let slab = Slab(Arc::new((None, 42)));
    let (updated, _right) = update(&mut luo, owned, &slab);
    let before = updated.luo().memory().census().unwrap();
    assert_eq!(frame_count(&before.preserved), 3 + 1 + 2, "the slab, the root, the image");
    let gone = [(session("s"), Token(1))];
    let luo = updated.finish_discarding(&gone, luo_core::Irrevocable::knowingly()).unwrap();
    let census = luo.memory().census().unwrap();
    assert_eq!((census.preserved, census.allocated), (Vec::new(), Vec::new()));
}

/// A cancelled first prepare gives the frames back that it took.
#[test]
fn what_a_cancelled_prepare_took_is_given_back() {
    let machine = Machine::default();
    let (mut luo, owned) = Luo::found(machine.fresh().unwrap(), registry()).unwrap();
    luo.open_session(session("s")).unwrap();
    luo.preserve(session("s"), Token(1), Slab(Arc::new((None, 1)))).unwrap();
    let mut far = SimKexec::new(|_: &Machine| Ok(()));
    luo.prepare(&mut far).unwrap().cancel();
    let census = luo.memory().census().unwrap();
    assert_eq!((census.preserved, census.allocated), (Vec::new(), Vec::new()));
    luo.retire(owned).unwrap();
}

/// Frames that two files claim as their own are refused in prepare (D17), and the first is as before.
#[test]
fn frames_of_two_files_are_refused() {
    let machine = Machine::default();
    let (mut luo, owned) = Luo::found(machine.fresh().unwrap(), registry()).unwrap();
    let (mut updated, _right) = update(&mut luo, owned, &Slab(Arc::new((None, 1))));
    let slab: Slab = updated.retrieve(session("s"), Token(1)).unwrap();
    let mut luo = updated.finish().unwrap();
    let range = slab.0.0.unwrap();
    let (_, tail) = range.split_at(FrameCount::ONE).unwrap();
    for other in [range, tail] {
        luo.open_session(session("s")).unwrap();
        luo.preserve(session("s"), Token(1), slab.clone()).unwrap();
        luo.preserve(session("s"), Token(2), Slab(Arc::new((Some(other), 2)))).unwrap();
        let before = luo.memory().census().unwrap();
        let mut far = SimKexec::new(|_: &Machine| Ok(()));
        let error = luo.prepare(&mut far).unwrap_err().to_string();
        assert!(error.starts_with("file 0x2 of session `s` (slab) failed to prepare"), "{error}");
        assert!(error.contains("preserved already"), "{error}");
        assert_eq!(luo.memory().census().unwrap(), before);
        luo.close_session(session("s")).unwrap();
    }
    assert_eq!(machine.violations(), []);
}
