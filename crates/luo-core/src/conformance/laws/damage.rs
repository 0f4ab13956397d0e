//! Laws about bytes that are not those that were written: a handler may refuse them, and may not trust them.

use alloc::format;
use alloc::vec::Vec;

use luo_kho::{FRAME_SIZE, FrameRange, Pfn};

use super::super::adopter::{Adopter, unwound};
use super::super::bench::{Bench, Broken, OrBroken, Result, SESSION, Trace, same, token};
use super::super::fixture::Fixture;
use super::super::ground::Ground;
use super::super::mask::{Alteration, Mask};
use crate::{RetrieveError, Version, WritePolicy};

/// Places in a payload that are tried: all of them up to here, evenly spread beyond. A record with 64 fields of 8
/// bytes is tried whole.
const PLACES_MAX: usize = 512;
/// Frames of one file that are damaged, evenly spread beyond. Enough for a head, a chain and some data.
const FRAMES_MAX: usize = 16;
/// Bytes at the start of a frame that are each damaged: where structures have their headers.
const HEADER_BYTES: usize = 64;
/// Other places in a frame.
const SPREAD_BYTES: usize = 32;

/// What a handler may do with altered bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// Refuse, or make the same file.
    RefuseOrEqual,
    /// Refuse, or make a file: the bytes may be those of another file.
    RefuseOrAnother,
}

/// `count` of `0..len`, the first and the last among them.
fn spread(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let tried = len.min(count);
    (0..tried).map(move |nth| if tried < 2 { nth } else { nth * (len - 1) / (tried - 1) })
}

pub(crate) fn torn_payloads<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    altered(bench, Allowed::RefuseOrEqual, |len| {
        let cuts = spread(len, PLACES_MAX).map(Alteration::Cut);
        let longer = [(1, 0), (8, 0), (1, 0xFF), (8, 0xFF), (4096, 0)];
        cuts.chain(longer.map(|(by, with)| Alteration::Extend(by, with))).collect()
    })
}

pub(crate) fn damaged_payloads<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    altered(bench, Allowed::RefuseOrAnother, |len| {
        let flips = |at| [0x01, 0x80, 0xFF].map(|bits| Alteration::Flip(at, bits));
        spread(len, PLACES_MAX).flat_map(flips).collect()
    })
}

fn altered<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    allowed: Allowed,
    alterations: fn(usize) -> Vec<Alteration>,
) -> Result {
    for nth in bench.files() {
        let mut near = bench.begin()?;
        near.luo.set_policy(WritePolicy::every());
        near.preserve(SESSION, token(nth), bench.file(nth))?;
        bench.visit(near, || {
            for version in bench.versions() {
                let (expected, len) = whole(bench, nth, version)?;
                for alteration in alterations(len) {
                    bench.case(format!("file {nth}, {alteration:?} in a payload of {version}, {len} bytes"));
                    let host = bench.fixture().baseline();
                    let adopter = bench.adopt(&Mask::altered(version, alteration))?;
                    let equal = (allowed == Allowed::RefuseOrEqual).then_some(&expected);
                    hostile(bench, adopter, nth, version, equal)?;
                    same("the host after an adopter gave up", &bench.fixture().baseline(), &host)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The file as it was written, and the length of its payload.
fn whole<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    nth: usize,
    version: Version,
) -> Result<(F::Portrait, usize)> {
    let mut adopter = bench.adopt(&Mask::only(version))?;
    let file = adopter.retrieve(SESSION, token(nth)).or_broken("retrieve")?;
    let len = adopter.seen.payloads().first().map_or(0, |(_, payload)| payload.len());
    Ok((bench.portrait(&file, version), len))
}

/// Retrieves from hostile bytes, and gives up.
fn hostile<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    mut adopter: Adopter<F, G::Kho>,
    nth: usize,
    version: Version,
    equal: Option<&F::Portrait>,
) -> Result {
    let before: Trace<F::Baseline> = bench.trace(adopter.memory())?;
    match adopter.retrieve_hostile(SESSION, token(nth))? {
        Ok(file) => {
            let looks = unwound("looking at the file panicked", || bench.portrait(&file, version))?;
            equal.map_or(Ok(()), |equal| same("the file made from other bytes", &looks, equal))
        }
        Err(RetrieveError::Failed { .. }) => bench.untouched("a refused payload", adopter.memory(), &before),
        Err(other) => Err(Broken(format!("retrieve failed: {other}"))),
    }
}

pub(crate) fn damaged_frames<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    let version = bench.newest()?;
    for nth in bench.files() {
        let mut near = bench.begin()?;
        near.preserve(SESSION, token(nth), bench.file(nth))?;
        let taken = bench.taken(&mut near.luo, SESSION, token(nth))?;
        let frames: Vec<Pfn> = taken.frames.iter().copied().flat_map(FrameRange::frames).collect();
        bench.visit(near, || {
            for frame in spread(frames.len(), FRAMES_MAX).filter_map(|place| frames.get(place)) {
                for offset in (0..HEADER_BYTES).chain(spread(FRAME_SIZE, SPREAD_BYTES)) {
                    bench.case(format!("file {nth}, {frame}, byte {offset} damaged"));
                    let host = bench.fixture().baseline();
                    let (mut kho, watch) = bench.successor()?;
                    kho.damage(*frame, offset).or_broken("reading a frame that prepare took")?;
                    let adopter = bench.adopt_from((kho, watch), &Mask::default())?;
                    hostile(bench, adopter, nth, version, None)?;
                    same("the host after an adopter gave up", &bench.fixture().baseline(), &host)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}
