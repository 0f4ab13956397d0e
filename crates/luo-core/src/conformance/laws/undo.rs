//! Laws about the near side alone: what is undone leaves no trace, and what is done again gives the same.

use alloc::format;
use alloc::vec::Vec;

use luo_kho::checksum::crc32c;
use luo_kho::{FrameRange, Kho};

use super::super::bench::{Bench, OrBroken, Result, SESSION, Slot, Taken, ensure, same, token};
use super::super::fixture::Fixture;
use super::super::ground::Ground;
use super::super::mask::Mask;
use super::super::watched::Watched;
use crate::slots::Slots;
use crate::{Luo, Token, Version, WritePolicy};

/// How a preserved file is given up.
const GIVING_UP: [&str; 4] =
    ["unpreserve", "unpreserve of what is prepared", "the end of its session", "the end of the program"];

pub(crate) fn drop_unpreserves<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    for nth in bench.files() {
        for way in GIVING_UP {
            bench.case(format!("file {nth}, {way}"));
            let mut near = bench.begin()?;
            let file = bench.file(nth);
            let before = bench.trace(near.luo.memory())?;
            near.preserve(SESSION, token(nth), file.clone())?;
            if way == GIVING_UP[1] {
                bench.taken(&mut near.luo, SESSION, token(nth))?;
            }
            if way == GIVING_UP[3] {
                drop(near.luo);
                same("the host after its end", &bench.fixture().baseline(), &before.baseline)?;
            } else {
                if way == GIVING_UP[2] {
                    near.luo.close_session(SESSION).or_broken("closing the session")?;
                } else {
                    near.luo.unpreserve(SESSION, token(nth)).or_broken("unpreserve")?;
                }
                bench.untouched(way, near.luo.memory(), &before)?;
                drop(near.luo);
            }
            drop(file);
            bench.all_gone("the host after the file was dropped")?;
        }
    }
    Ok(())
}

/// How often an update is given up before it goes through.
const CANCELLED: usize = 3;

pub(crate) fn cancel<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    let version = bench.newest()?;
    for nth in bench.files() {
        bench.case(format!("file {nth}, cancelled {CANCELLED} times and then carried"));
        let mut near = bench.begin()?;
        near.luo.set_policy(WritePolicy::every());
        let file = bench.file(nth);
        let expected = bench.portrait(&file, version);
        near.preserve(SESSION, token(nth), file.clone())?;
        let before = bench.trace(near.luo.memory())?;
        let mut owned = near.owned;
        for _ in 0..CANCELLED {
            let slot = Slot::<()>::new();
            let mut carrier = bench.carrier(&slot, || Ok(()));
            near.luo.prepare(&mut carrier).or_broken("prepare")?.cancel();
            bench.untouched("a cancelled prepare", near.luo.memory(), &before)?;
            let prepared = near.luo.prepare(&mut carrier).or_broken("prepare after a cancel")?;
            let frozen = prepared.freeze(owned).or_broken("freeze")?;
            owned = frozen.cancel().or_broken("cancel")?;
            bench.untouched("a cancelled freeze", near.luo.memory(), &before)?;
            same("the file after a cancel", &bench.portrait(&file, version), &expected)?;
        }
        let arrived = bench.cross(&mut near.luo, owned, &Mask::default())?;
        arrived.look_like(bench, version, &[(SESSION, token(nth), expected)])?;
    }
    Ok(())
}

/// What one file puts down: payloads, and each frame with the checksum of its bytes.
#[derive(Debug, PartialEq)]
struct Written {
    payloads: Vec<(Version, Vec<u8>)>,
    frames: Vec<(u64, u32)>,
}

fn written<K: Kho>(luo: &Luo<Watched<K>>, token: Token, taken: &[FrameRange]) -> Result<Written> {
    let books = luo.out.sessions.get(&SESSION).and_then(|books| books.files.get(&token));
    let slots = books.map(|entry| &entry.saved.slots);
    let payloads = slots.into_iter().flat_map(Slots::payloads);
    let payloads = payloads.map(|(version, payload)| (version, payload.to_vec())).collect();
    let sums = taken.iter().flat_map(|range| range.frames()).map(|frame| {
        let bytes = luo.memory().frame(frame).or_broken("reading a frame that prepare took")?;
        Ok((frame.get(), crc32c(bytes.get(..luo_kho::FRAME_SIZE).unwrap_or(bytes))))
    });
    Ok(Written { payloads, frames: sums.collect::<Result<_>>()? })
}

pub(crate) fn determinism<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    for nth in bench.files() {
        bench.case(format!("file {nth}, saved twice"));
        let mut near = bench.begin()?;
        near.luo.set_policy(WritePolicy::every());
        let file = bench.file(nth);
        let mut first: Option<[Written; 2]> = None;
        let mut owned = near.owned;
        for _ in 0..2 {
            near.luo.preserve(SESSION, token(nth), file.clone()).or_broken("preserve")?;
            let Taken { frames, .. } = bench.taken(&mut near.luo, SESSION, token(nth))?;
            let prepared_bytes = written(&near.luo, token(nth), &frames)?;
            let slot = Slot::<()>::new();
            let mut carrier = bench.carrier(&slot, || Ok(()));
            let prepared = near.luo.prepare(&mut carrier).or_broken("prepare")?;
            let frozen = prepared.freeze(owned).or_broken("freeze")?;
            let frozen_bytes = written(frozen.luo(), token(nth), &frames)?;
            owned = frozen.cancel().or_broken("cancel")?;
            near.luo.unpreserve(SESSION, token(nth)).or_broken("unpreserve")?;
            let now = [prepared_bytes, frozen_bytes];
            match &first {
                None => first = Some(now),
                Some(first) => same("what is saved the second time", &now, first)?,
            }
        }
    }
    Ok(())
}

pub(crate) fn light_freeze<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    for nth in bench.files() {
        bench.case(format!("file {nth}"));
        let mut near = bench.begin()?;
        near.luo.set_policy(WritePolicy::every());
        near.preserve(SESSION, token(nth), bench.file(nth))?;
        let slot = Slot::<()>::new();
        let mut carrier = bench.carrier(&slot, || Ok(()));
        let prepared = near.luo.prepare(&mut carrier).or_broken("prepare")?;
        let before = prepared.luo().memory().census().or_broken("counting frames")?;
        let frozen = prepared.freeze(near.owned).or_broken("freeze")?;
        let after = frozen.luo().memory().census().or_broken("counting frames")?;
        same("the memory after freeze", &after, &before)?;
        let (prepared, _owned) = frozen.unfreeze().or_broken("unfreeze")?;
        let thawed = prepared.luo().memory().census().or_broken("counting frames")?;
        ensure(thawed == before, || "unfreeze changed what is taken from memory".into())?;
    }
    Ok(())
}
