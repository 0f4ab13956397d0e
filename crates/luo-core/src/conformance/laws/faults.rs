//! Laws about failures on the near side: whatever call fails, everything is as before the step, and the step can be
//! tried again.

use alloc::format;

use luo_kho::Owned;

use super::super::adopter::Arrived;
use super::super::bench::{
    Bench, Broken, Near, OrBroken, Result, SESSION, Slot, Trace, depart, ensure, token,
};
use super::super::fixture::Fixture;
use super::super::ground::Ground;
use super::super::mask::Mask;
use super::super::watched::{Watch, Watched};
use crate::{Frozen, Prepared, Stuck, WritePolicy};

/// A story makes fewer calls than this, or never ends. Far more than copying a file of 1 GiB page by page takes.
const CALLS_MAX: u64 = 1 << 20;

/// Who fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Host,
    Backend,
}

/// In which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Preserve,
    Prepare,
    Freeze,
}

/// One failing call.
#[derive(Clone, Copy, Debug)]
struct Blow {
    fault: Fault,
    step: Step,
    nth: u64,
}

impl Fault {
    /// From now on call number `nth` fails.
    pub(super) fn arm<F: Fixture, G: Ground>(self, bench: &Bench<'_, F, G>, watch: &Watch, nth: u64) {
        match self {
            Self::Host => bench.fixture().arm(nth),
            Self::Backend => watch.arm(nth),
        }
    }

    /// Whether the call came.
    pub(super) fn disarm<F: Fixture, G: Ground>(self, bench: &Bench<'_, F, G>, watch: &Watch) -> bool {
        match self {
            Self::Host => bench.fixture().disarm(),
            Self::Backend => watch.disarm(),
        }
    }
}

pub(crate) fn host_faults<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    sweep(bench, Fault::Host)
}

pub(crate) fn backend_faults<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    sweep(bench, Fault::Backend)
}

fn sweep<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, fault: Fault) -> Result {
    for nth_file in bench.files() {
        for step in [Step::Preserve, Step::Prepare, Step::Freeze] {
            until_none_fires(|nth| strike(bench, nth_file, Blow { fault, step, nth }))?;
        }
    }
    Ok(())
}

/// Runs a story once for each call that it makes. The story says whether the call came.
pub(super) fn until_none_fires(mut story: impl FnMut(u64) -> Result<bool>) -> Result {
    for nth in 0..CALLS_MAX {
        if !story(nth)? {
            return Ok(());
        }
    }
    Err(Broken(format!("after {CALLS_MAX} calls there is still another one")))
}

/// Whether the call came.
fn strike<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, nth_file: usize, blow: Blow) -> Result<bool> {
    let Blow { fault, step, nth } = blow;
    bench.about(format!("file {nth_file}, {fault:?} call {nth} of {step:?} fails"));
    let version = bench.newest()?;
    let mut near = bench.begin()?;
    near.luo.set_policy(WritePolicy::every());
    let file = bench.file(nth_file);
    let expected = bench.portrait(&file, version);
    let mut fired = false;

    let before = bench.trace(near.luo.memory())?;
    arm(bench, blow, Step::Preserve, &near.watch);
    let preserved = near.luo.preserve(SESSION, token(nth_file), file.clone());
    fired |= disarm(bench, blow, Step::Preserve, &near.watch);
    if let Err(stuck) = preserved {
        ensure(fired, || format!("preserve failed: {}", stuck.error))?;
        drop(stuck);
        bench.untouched("a failed preserve", near.luo.memory(), &before)?;
        near.preserve(SESSION, token(nth_file), file.clone())?;
    }

    let before = bench.trace(near.luo.memory())?;
    let arrived = cross_struck(bench, near, blow, &before, &mut fired)?;
    if fired {
        bench.count();
        arrived.look_like(bench, version, &[(SESSION, token(nth_file), expected)])?;
    }
    Ok(fired)
}

/// From preserved to committed.
fn cross_struck<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    near: Near<G::Kho>,
    blow: Blow,
    preserved: &Trace<F::Baseline>,
    fired: &mut bool,
) -> Result<Arrived<F, G::Kho>> {
    let Near { mut luo, owned, watch } = near;
    let slot = Slot::new();
    let mut carrier = bench.carrier(&slot, || bench.adopt(&Mask::default())?.take_over());

    arm(bench, blow, Step::Prepare, &watch);
    let error = match luo.prepare(&mut carrier) {
        Ok(prepared) => {
            *fired |= disarm(bench, blow, Step::Prepare, &watch);
            return depart(freeze_struck(bench, prepared, owned, blow, &watch, fired)?, &slot);
        }
        Err(error) => error,
    };
    *fired |= disarm(bench, blow, Step::Prepare, &watch);
    ensure(*fired, || format!("prepare failed: {error}"))?;
    bench.untouched(&format!("a failed prepare ({error})"), luo.memory(), preserved)?;
    let prepared = luo.prepare(&mut carrier).or_broken("prepare after a failed one")?;
    depart(prepared.freeze(owned).or_broken("freeze after a failed prepare")?, &slot)
}

fn freeze_struck<'l, F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    prepared: Prepared<'l, Watched<G::Kho>>,
    owned: Owned,
    blow: Blow,
    watch: &Watch,
    fired: &mut bool,
) -> Result<Frozen<'l, Watched<G::Kho>>> {
    let before = bench.trace(prepared.luo().memory())?;
    arm(bench, blow, Step::Freeze, watch);
    let outcome = prepared.freeze(owned);
    *fired |= disarm(bench, blow, Step::Freeze, watch);
    match outcome {
        Ok(frozen) => Ok(frozen),
        Err(Stuck { kept: (prepared, owned), error }) => {
            ensure(*fired, || format!("freeze failed: {error}"))?;
            bench.untouched(&format!("a failed freeze ({error})"), prepared.luo().memory(), &before)?;
            prepared.freeze(owned).or_broken("freeze after a failed one")
        }
    }
}

fn arm<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, blow: Blow, step: Step, watch: &Watch) {
    if blow.step == step {
        blow.fault.arm(bench, watch, blow.nth);
    }
}

fn disarm<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, blow: Blow, step: Step, watch: &Watch) -> bool {
    blow.step == step && blow.fault.disarm(bench, watch)
}
