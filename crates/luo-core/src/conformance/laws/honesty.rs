//! Laws about what a handler says of itself and of files.

use alloc::format;
use alloc::vec::Vec;

use super::super::bench::{Bench, Broken, NEIGHBOURS, OrBroken, Result, SESSION, Slot, ensure, same, token};
use super::super::fixture::{FileOf, Fixture, Side};
use super::super::ground::Ground;
use super::super::mask::Mask;
use crate::plan::Passage;
use crate::slots::Slots;
use crate::{FileHandler, Identity, PreserveError, Token, Verdict, WritePolicy};

/// A file of a type that no handler has.
#[derive(Clone)]
struct Foreign;

pub(crate) fn identity<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    bench.case("all files together".into());
    let mut near = bench.begin()?;
    let files: Vec<_> = bench.files().map(|nth| bench.file(nth)).collect();
    let identities = |files: &[FileOf<F>]| -> Vec<Identity> {
        let handler = bench.fixture().handler(Side::Near);
        files.iter().map(|file| handler.identity(file)).collect()
    };
    let before = identities(&files);
    let mut distinct = before.clone();
    distinct.sort_unstable();
    distinct.dedup();
    same("how many identities there are", &distinct.len(), &files.len())?;

    let others: Vec<_> = files.iter().map(|file| bench.fixture().another_reference(file)).collect();
    same("identities by another reference", &identities(&others), &before)?;
    for (nth, file) in files.iter().enumerate() {
        near.preserve(SESSION, token(nth), file.clone())?;
    }
    same("identities of preserved files", &identities(&files), &before)?;
    for ((nth, other), session) in
        others.iter().enumerate().flat_map(|other| [(other, SESSION), (other, NEIGHBOURS)])
    {
        let second = near.luo.preserve(session, Token(nth as u64), other.clone());
        let refused = second.err().map(|stuck| stuck.error);
        ensure(matches!(refused, Some(PreserveError::FileInUse { .. })), || {
            format!("file {nth} was given a second token")
        })?;
        same("the token of a file", &near.luo.token_of(SESSION, other), &Some(token(nth)))?;
    }
    let slot = Slot::<()>::new();
    let mut carrier = bench.carrier(&slot, || Ok(()));
    near.luo.prepare(&mut carrier).or_broken("prepare")?.cancel();
    same("identities after a cancelled update", &identities(&files), &before)?;

    drop(others);
    drop(files);
    let arrived = bench.cross(&mut near.luo, near.owned, &Mask::default())?;
    for found in &arrived.files {
        let other = bench.fixture().another_reference(&found.file);
        let known = arrived.updated.luo().token_of(found.session, &other);
        same("the token of another reference to what was retrieved", &known, &Some(found.token))?;
    }
    Ok(())
}

pub(crate) fn honest_judge<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    bench.case("a file of a type that the handler does not have".into());
    let mut near = bench.begin()?;
    let refused = near.luo.preserve(SESSION, Token(0), Foreign).err().map(|stuck| stuck.error);
    ensure(matches!(refused, Some(PreserveError::NoHandler { .. })), || "it was preserved".into())?;
    drop(near);
    for nth in bench.files() {
        bench.case(format!("file {nth}"));
        let near = bench.begin()?;
        let file = bench.file(nth);
        let verdict = looked_at(bench, &file, near.luo.memory())?;
        same("the verdict", &verdict, &Verdict::Mine)?;
        drop(near);
        as_planned(bench, nth)?;
    }
    refuses(bench)
}

/// Asks for a verdict and for a way to travel. Both only look.
fn looked_at<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    file: &FileOf<F>,
    memory: &super::super::watched::Watched<G::Kho>,
) -> Result<Verdict> {
    let version = bench.newest()?;
    let handler = bench.fixture().handler(Side::Near);
    let (before, looks) = (bench.trace(memory)?, bench.portrait(file, version));
    let verdict = handler.judge(file);
    if verdict == Verdict::Mine {
        let travel = handler.travel(file);
        same("how it says to travel the second time", &handler.travel(file), &travel)?;
    }
    same("the verdict the second time", &handler.judge(file), &verdict)?;
    bench.untouched("a look", memory, &before)?;
    same("the file after a look", &bench.portrait(file, version), &looks)?;
    Ok(verdict)
}

/// What the plan says is what prepare does.
fn as_planned<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, nth: usize) -> Result {
    let mut near = bench.begin()?;
    near.preserve(SESSION, token(nth), bench.file(nth))?;
    let slot = Slot::<()>::new();
    let mut carrier = bench.carrier(&slot, || Ok(()));
    let plan = near.luo.plan(&[&carrier], None);
    let planned = plan.files.first().and_then(|file| file.passages.first());
    let planned = planned.ok_or_else(|| Broken("the plan does not name the file".into()))?;
    let blocked = matches!(planned, Passage::Blocked { .. });
    let prepared = near.luo.prepare(&mut carrier).map(drop);
    ensure(prepared.is_err() == blocked, || format!("the plan says {planned:?}, prepare {prepared:?}"))
}

/// Files that cannot travel, and files of somebody else.
fn refuses<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    let mut near = bench.begin()?;
    let strangers = bench.fixture().strangers();
    let refused = bench.fixture().refused();
    let before = bench.trace(near.luo.memory())?;
    for (nth, file) in strangers.iter().enumerate() {
        bench.case(format!("stranger {nth}"));
        same("the verdict", &looked_at(bench, file, near.luo.memory())?, &Verdict::NotMine)?;
    }
    for (nth, file) in refused.iter().enumerate() {
        bench.case(format!("refused file {nth}"));
        let verdict = looked_at(bench, file, near.luo.memory())?;
        let Verdict::MineButNo { reason } = &verdict else {
            return Err(Broken(format!("the verdict is {verdict:?}")));
        };
        ensure(!reason.trim().is_empty(), || "it gives no reason".into())?;
        let preserved = near.luo.preserve(SESSION, Token(nth as u64), file.clone());
        match preserved.err().map(|stuck| stuck.error) {
            Some(PreserveError::CannotTravel { reason: told, .. }) => same("the reason", &told, reason)?,
            other => return Err(Broken(format!("preserve answered {other:?}"))),
        }
        bench.untouched("a refusal", near.luo.memory(), &before)?;
    }
    Ok(())
}

pub(crate) fn honest_versions<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    let near = bench.fixture().handler(Side::Near);
    let far = bench.fixture().handler(Side::Far);
    bench.case("what the handler says".into());
    same("the kind on the far side", &far.kind(), &near.kind())?;
    let writes = near.writes();
    same("what it writes, asked again", &near.writes(), &writes)?;
    let newest = *writes.first().ok_or_else(|| Broken("it writes no version".into()))?;
    let descending = writes.is_sorted_by(|newer, older| newer > older);
    ensure(descending, || format!("it writes {writes:?}, which is not newest first"))?;
    ensure(near.reads().contains(newest), || format!("it writes {newest} and reads only {}", near.reads()))?;
    bench.newest()?;

    for nth in bench.files() {
        for count in 1..=writes.len() {
            bench.case(format!("file {nth}, the newest {count} versions"));
            let mut near = bench.begin()?;
            near.luo.set_policy(WritePolicy::newest_of(count));
            near.preserve(SESSION, token(nth), bench.file(nth))?;
            bench.taken(&mut near.luo, SESSION, token(nth))?;
            let books = near.luo.out.sessions.get(&SESSION).and_then(|books| books.files.get(&token(nth)));
            let slots = books.map(|entry| &entry.saved.slots);
            let put: Vec<_> = slots.into_iter().flat_map(Slots::payloads).map(|(v, _)| v).collect();
            let chosen: Vec<_> = writes.iter().copied().take(count).collect();
            same("the versions that prepare put down", &put, &chosen)?;
        }
    }
    Ok(())
}
