//! Laws about the end: what carried a file is released, all of it and nothing else.

use alloc::format;
use alloc::vec::Vec;

use super::super::adopter::{Arrived, Found, finish as finish_all};
use super::super::bench::{
    Bench, Broken, NEIGHBOURS, OrBroken, Result, SESSION, Slot, Taken, depart, same, token,
};
use super::super::fixture::Fixture;
use super::super::ground::Ground;
use super::super::mask::Mask;
use super::super::watched::{Census, minus};
use super::faults::{Fault, until_none_fires};
use crate::{FinishError, Irrevocable};

/// What becomes of the file that the law is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Discarded,
    Finished,
}

pub(crate) fn discard<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    for nth in bench.files() {
        bench.case(format!("file {nth}"));
        released(bench, nth, End::Discarded)?;
        until_none_fires(|call| release_struck(bench, nth, call))?;
    }
    Ok(())
}

pub(crate) fn finish<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    for nth in bench.files() {
        bench.case(format!("file {nth}"));
        released(bench, nth, End::Finished)?;
    }
    Ok(())
}

/// The file's session ends, another one does not.
fn released<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, nth: usize, end: End) -> Result {
    let version = bench.newest()?;
    let (arrived, taken) = arrive(bench, nth, end)?;
    let Arrived { mut updated, owned, files, .. } = arrived;
    let before = updated.luo().memory().census().or_broken("counting frames")?;
    let portraits = |files: &[Found<_>]| -> Vec<F::Portrait> {
        files.iter().map(|found| bench.portrait(&found.file, version)).collect()
    };
    let looks = portraits(&files);
    match end {
        End::Discarded => {
            let tokens = [token(nth)];
            updated.finish_session_discarding(SESSION, &tokens, Irrevocable::knowingly())
        }
        End::Finished => updated.finish_session(SESSION),
    }
    .or_broken("finishing the session")?;

    let after = updated.luo().memory().census().or_broken("counting frames")?;
    let Taken { frames, segments } = taken;
    same("what is preserved then", &after.preserved, &minus(&before.preserved, &frames))?;
    same("the segments that are left then", &after.segments, &minus(&before.segments, &segments))?;
    if end == End::Discarded {
        same("what is allocated then", &after.allocated, &minus(&before.allocated, &frames))?;
    }
    let luo = finish_all(updated)?;
    same("the files after finish", &portraits(&files), &looks)?;
    drop((files, owned, luo));
    bench.all_gone("the host when everything was dropped")
}

/// The file in one session, and where there is another one, that in a second session. On the far side everything is
/// retrieved but what is to be discarded.
fn arrive<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    nth: usize,
    end: End,
) -> Result<(Arrived<F, G::Kho>, Taken)> {
    let mut near = bench.begin()?;
    near.preserve(SESSION, token(nth), bench.file(nth))?;
    let neighbour = bench.files().find(|other| *other != nth);
    if let Some(neighbour) = neighbour {
        near.preserve(NEIGHBOURS, token(neighbour), bench.file(neighbour))?;
    }
    let taken = bench.taken(&mut near.luo, SESSION, token(nth))?;
    let slot = Slot::new();
    let mut carrier = bench.carrier(&slot, || {
        let mut adopter = bench.adopt(&Mask::default())?;
        if end == End::Finished {
            return adopter.take_over();
        }
        let mut files = Vec::new();
        if let Some(neighbour) = neighbour {
            let (session, token) = (NEIGHBOURS, token(neighbour));
            let file = adopter.retrieve(session, token).or_broken("retrieve")?;
            files.push(Found { session, token, file });
        }
        adopter.commit(files)
    });
    let prepared = near.luo.prepare(&mut carrier).or_broken("prepare")?;
    let frozen = prepared.freeze(near.owned).or_broken("freeze")?;
    Ok((depart(frozen, &slot)?, taken))
}

/// Discards while a call of the backend fails; calling again goes on. Whether the call came.
fn release_struck<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, nth: usize, call: u64) -> Result<bool> {
    bench.about(format!("file {nth}, Backend call {call} of finish fails"));
    let (arrived, _) = arrive(bench, nth, End::Discarded)?;
    let Arrived { updated, watch, files, owned, .. } = arrived;
    let discarded = [(SESSION, token(nth))];
    Fault::Backend.arm(bench, &watch, call);
    let outcome = updated.finish_discarding(&discarded, Irrevocable::knowingly());
    let fired = Fault::Backend.disarm(bench, &watch);
    if fired {
        bench.count();
    }
    let luo = match outcome {
        Ok(luo) => luo,
        Err(stuck) if fired && matches!(stuck.error, FinishError::Release(_)) => finish_all(stuck.kept)?,
        Err(stuck) => return Err(Broken(format!("finish failed: {}", stuck.error))),
    };
    let Census { preserved, segments, root, .. } = luo.memory().census().or_broken("counting frames")?;
    same("what is left", &(preserved.len(), segments.len(), root), &(0, 0, None))?;
    drop((files, owned, luo));
    bench.all_gone("the host when everything was dropped")?;
    Ok(fired)
}
