//! Laws about retrieving: once, from preserved frames only, and without leftovers where it fails.

use alloc::format;
use alloc::vec::Vec;

use super::super::adopter::Adopter;
use super::super::bench::{Bench, Broken, NEIGHBOURS, OrBroken, Result, SESSION, ensure, same, token};
use super::super::fixture::Fixture;
use super::super::ground::Ground;
use super::super::mask::Mask;
use super::faults::{Fault, until_none_fires};
use crate::{RetrieveError, SessionName, Version};

/// A file of a type that no handler has.
#[derive(Clone)]
struct Foreign;

pub(crate) fn retrieve_once<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    let version = bench.newest()?;
    for nth in bench.files() {
        bench.case(format!("file {nth}"));
        let mut near = bench.begin()?;
        let file = bench.file(nth);
        let expected = bench.portrait(&file, version);
        near.preserve(SESSION, token(nth), file)?;
        bench.visit(near, || {
            let mut adopter = bench.adopt(&Mask::default())?;
            same("retrieves before anybody asked", &adopter.seen.retrieves(), &0)?;
            let mistyped = adopter.adopted.retrieve::<Foreign>(SESSION, token(nth));
            ensure(matches!(mistyped, Err(RetrieveError::WrongType { .. })), || {
                "a question for another type was answered".into()
            })?;
            let file = adopter.retrieve(SESSION, token(nth)).or_broken("retrieve")?;
            let again = adopter.retrieve(SESSION, token(nth));
            ensure(matches!(again, Err(RetrieveError::AlreadyRetrieved { .. })), || {
                "the file was handed out twice".into()
            })?;
            same("how often the handler was asked", &adopter.seen.retrieves(), &1)?;
            same("the file on the far side", &bench.portrait(&file, version), &expected)
        })?;
    }
    Ok(())
}

pub(crate) fn unpreserved_frames<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    for nth in bench.files() {
        bench.case(format!("file {nth}"));
        let mut near = bench.begin()?;
        near.preserve(SESSION, token(nth), bench.file(nth))?;
        let strays = bench.visit(near, || {
            let mut adopter = bench.adopt(&Mask::default())?;
            // Whether it succeeds is the matter of another law.
            let _file = adopter.retrieve(SESSION, token(nth));
            Ok(adopter.watch.strays())
        })?;
        same("reads of frames that nobody preserved", &strays, &Vec::new())?;
    }
    Ok(())
}

/// A file on the far side, and what it has to look like.
struct Expected<P> {
    session: SessionName,
    nth: usize,
    looks: P,
}

pub(crate) fn failed_retrieve<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    let version = bench.newest()?;
    for nth in bench.files() {
        let mut near = bench.begin()?;
        let mut place = |session, nth| {
            let file = bench.file(nth);
            let looks = bench.portrait(&file, version);
            near.preserve(session, token(nth), file).map(|()| Expected { session, nth, looks })
        };
        let struck = place(SESSION, nth)?;
        let neighbour = bench.files().find(|other| *other != nth);
        let neighbour = neighbour.map(|other| place(NEIGHBOURS, other)).transpose()?;
        bench.visit(near, || {
            for fault in [Fault::Host, Fault::Backend] {
                until_none_fires(|call| {
                    let mut adopter = bench.adopt(&Mask::default())?;
                    let fired = retrieve_struck(bench, &mut adopter, &struck, (fault, call), version)?;
                    neighbour
                        .iter()
                        .try_for_each(|expected| unconcerned(bench, &mut adopter, expected, version))?;
                    Ok(fired)
                })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn unconcerned<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    adopter: &mut Adopter<F, G::Kho>,
    expected: &Expected<F::Portrait>,
    version: Version,
) -> Result {
    let file =
        adopter.retrieve(expected.session, token(expected.nth)).or_broken("retrieving its neighbour")?;
    same("its neighbour", &bench.portrait(&file, version), &expected.looks)
}

/// Retrieves while a call fails. Whether the call came.
fn retrieve_struck<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    adopter: &mut Adopter<F, G::Kho>,
    expected: &Expected<F::Portrait>,
    (fault, call): (Fault, u64),
    version: Version,
) -> Result<bool> {
    let Expected { session, nth, looks } = expected;
    bench.about(format!("file {nth}, {fault:?} call {call} fails"));
    let before = bench.trace(adopter.memory())?;
    fault.arm(bench, &adopter.watch, call);
    let outcome = adopter.retrieve(*session, token(*nth));
    let fired = fault.disarm(bench, &adopter.watch);
    if fired {
        bench.count();
    }
    match outcome {
        Ok(file) => same("the file on the far side", &bench.portrait(&file, version), looks)?,
        Err(RetrieveError::Failed { again: false, refusal, .. }) => {
            ensure(fired, || format!("retrieve failed: {refusal}"))?;
            bench.untouched("a failed retrieve", adopter.memory(), &before)?;
            let again = adopter.retrieve(*session, token(*nth));
            let remembered = matches!(again, Err(RetrieveError::Failed { again: true, .. }));
            ensure(remembered, || "the failure was not remembered".into())?;
            same("how often the handler was asked", &adopter.seen.retrieves(), &1)?;
        }
        Err(other) => return Err(Broken(format!("retrieve failed: {other}"))),
    }
    Ok(fired)
}
