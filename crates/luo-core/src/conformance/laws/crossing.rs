//! Laws about what comes through: a file, in every version, for every adopter.

use alloc::format;
use alloc::vec::Vec;

use luo_kho::Kho;

use super::super::adopter::{Adopter, Arrived, SettledDown};
use super::super::bench::{Bench, Broken, NEIGHBOURS, OrBroken, Result, SESSION, Slot, depart, same, token};
use super::super::fixture::{Fixture, Side};
use super::super::ground::Ground;
use super::super::mask::Mask;
use crate::{SessionName, Token, Version, WritePolicy};

type Portraits<F> = Vec<(SessionName, Token, <F as Fixture>::Portrait)>;

pub(crate) fn round_trip<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    let version = bench.newest()?;
    for nth in bench.files() {
        bench.case(format!("file {nth}, twice"));
        twice(bench, version, &[(SESSION, nth)])?;
    }
    if bench.files().len() > 1 {
        bench.case("all files in two sessions, twice".into());
        let places: Vec<_> =
            bench.files().map(|nth| (if nth % 2 == 0 { SESSION } else { NEIGHBOURS }, nth)).collect();
        twice(bench, version, &places)?;
    }
    Ok(())
}

/// Two updates in a row: the far side of the first is the near side of the second.
fn twice<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    version: Version,
    places: &[(SessionName, usize)],
) -> Result {
    let mut near = bench.begin()?;
    let mut expected: Portraits<F> = Vec::new();
    for (session, nth) in places {
        let file = bench.file(*nth);
        expected.push((*session, token(*nth), bench.portrait(&file, version)));
        near.preserve(*session, token(*nth), file)?;
    }
    let mut first = bench.cross(&mut near.luo, near.owned, &Mask::default())?;
    drop(near.luo);
    first.look_like(bench, version, &expected)?;
    for found in &first.files {
        let known = first.updated.luo_mut().token_of(found.session, &found.file);
        same("the token of a file that was retrieved", &known, &Some(found.token))?;
    }

    let SettledDown { mut luo, owned, files } = first.settle_down()?;
    for session in [SESSION, NEIGHBOURS] {
        luo.open_session(session).or_broken("opening a session")?;
    }
    for found in files {
        let preserved = luo.preserve(found.session, found.token, found.file);
        preserved.or_broken("preserving what was retrieved and finished")?;
    }
    let second = bench.cross(&mut luo, owned, &Mask::default())?;
    drop(luo);
    second.look_like(bench, version, &expected)?;
    second.settle_down().map(drop)
}

pub(crate) fn every_version<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    for nth in bench.files() {
        for version in bench.versions() {
            bench.case(format!("file {nth}, every version written, {version} read"));
            let arrived = in_version(bench, nth, version, WritePolicy::every(), &Mask::only(version))?;
            read_from(&arrived, version)?;

            bench.case(format!("file {nth}, only {version} written"));
            let successor = bench.registry(Side::Far, &Mask::only(version))?.manifest();
            let policy = WritePolicy::newest().for_successor(successor);
            let arrived = in_version(bench, nth, version, policy, &Mask::default())?;
            read_from(&arrived, version)?;
        }
    }
    Ok(())
}

fn in_version<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    nth: usize,
    version: Version,
    policy: WritePolicy,
    mask: &Mask,
) -> Result<Arrived<F, G::Kho>> {
    let mut near = bench.begin()?;
    near.luo.set_policy(policy);
    let file = bench.file(nth);
    let expected = [(SESSION, token(nth), bench.portrait(&file, version))];
    near.preserve(SESSION, token(nth), file)?;
    let arrived = bench.cross(&mut near.luo, near.owned, mask)?;
    arrived.look_like(bench, version, &expected)?;
    Ok(arrived)
}

fn read_from<F: Fixture, K: Kho>(arrived: &Arrived<F, K>, version: Version) -> Result {
    let versions: Vec<_> = arrived.seen.payloads().into_iter().map(|(version, _)| version).collect();
    same("the versions that were read", &versions, &[version].into())
}

pub(crate) fn second_adopter<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    let version = bench.newest()?;
    for nth in bench.files() {
        bench.case(format!("file {nth}, three adopters of one offer"));
        let mut near = bench.begin()?;
        let file = bench.file(nth);
        let expected = bench.portrait(&file, version);
        near.preserve(SESSION, token(nth), file)?;
        bench.visit(near, || {
            let before = bench.fixture().baseline();
            let first = look(bench, bench.adopt(&Mask::default())?, nth, version)?;
            same("the host after an adopter gave up", &bench.fixture().baseline(), &before)?;
            same("what the first adopter sees", &first.0, &expected)?;
            for _ in 0..2 {
                let next = look(bench, bench.adopt(&Mask::default())?, nth, version)?;
                same("what a later adopter sees", &next, &first)?;
            }
            Ok(())
        })?;
        if bench.ground.comes_back() {
            bench.case(format!("file {nth}, revoked and offered again"));
            revoked(bench, nth, version)?;
        }
    }
    Ok(())
}

type Look<F> = (<F as Fixture>::Portrait, Vec<(Version, Vec<u8>)>);

/// What an adopter sees before it gives up.
fn look<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    mut adopter: Adopter<F, G::Kho>,
    nth: usize,
    version: Version,
) -> Result<Look<F>> {
    let found = adopter.retrieve_rest()?;
    let [found] = &*found else { return Err(Broken("not exactly one file arrived".into())) };
    same("the token", &found.token, &token(nth))?;
    Ok((bench.portrait(&found.file, version), adopter.seen.payloads()))
}

/// The first offer is refused after a look, and revoked; the second one is taken.
fn revoked<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, nth: usize, version: Version) -> Result {
    let mut near = bench.begin()?;
    let file = bench.file(nth);
    let expected = [(SESSION, token(nth), bench.portrait(&file, version))];
    near.preserve(SESSION, token(nth), file)?;
    let mut first = None;
    let slot = Slot::new();
    let arrived = {
        let mut carrier = bench.carrier(&slot, || {
            let adopter = bench.adopt(&Mask::default())?;
            if first.is_none() {
                first = Some(look(bench, adopter, nth, version)?);
                return Ok(None);
            }
            adopter.take_over().map(Some)
        });
        let prepared = near.luo.prepare(&mut carrier).or_broken("prepare")?;
        let frozen = prepared.freeze(near.owned).or_broken("freeze")?;
        let Err(stuck) = frozen.hand_over() else {
            return Err(Broken("the far side took over without a commit".into()));
        };
        depart(stuck.kept, &slot)?
    };
    let (Some(first), Some(arrived)) = (first, arrived) else {
        return Err(Broken("the far side was called only once".into()));
    };
    arrived.look_like(bench, version, &expected)?;
    same("the payloads of the second offer", &arrived.seen.payloads(), &first.1)
}
