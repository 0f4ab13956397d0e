//! Laws about files that change while an update is under way.

use alloc::format;

use super::super::bench::{Bench, OrBroken, Result, SESSION, Slot, depart, ensure, same, token};
use super::super::fixture::{FileOf, Fixture};
use super::super::ground::Ground;
use super::super::mask::Mask;
use crate::Version;

/// When the file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Between prepare and freeze.
    Prepared,
    /// After freeze and unfreeze, before the freeze that counts.
    Thawed,
}

pub(crate) fn changed_while_prepared<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    each_change(bench, Moment::Prepared)
}

pub(crate) fn changed_while_thawed<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>) -> Result {
    each_change(bench, Moment::Thawed)
}

fn each_change<F: Fixture, G: Ground>(bench: &Bench<'_, F, G>, moment: Moment) -> Result {
    let version = bench.newest()?;
    let changes = bench.fixture().changes();
    for nth in bench.files() {
        for which in 0..changes {
            changed(bench, nth, which, moment, version)?;
        }
    }
    Ok(())
}

fn changed<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    nth: usize,
    which: usize,
    moment: Moment,
    version: Version,
) -> Result {
    bench.about(format!("file {nth}, change {which} while {moment:?}"));
    let mut near = bench.begin()?;
    let file = bench.file(nth);
    near.preserve(SESSION, token(nth), file.clone())?;
    let slot = Slot::new();
    let mut carrier = bench.carrier(&slot, || bench.adopt(&Mask::default())?.take_over());
    let mut prepared = near.luo.prepare(&mut carrier).or_broken("prepare")?;
    let mut owned = near.owned;
    if moment == Moment::Thawed {
        let frozen = prepared.freeze(owned).or_broken("freeze")?;
        (prepared, owned) = frozen.unfreeze().or_broken("unfreeze")?;
    }
    let Some(expected) = change(bench, &file, which, version)? else { return Ok(()) };
    bench.count();
    let owned = match prepared.freeze(owned) {
        Ok(frozen) => {
            let arrived = depart(frozen, &slot)?;
            return arrived.look_like(bench, version, &[(SESSION, token(nth), expected)]);
        }
        // The change was reported: then a prepare that sees it has to do.
        Err(stuck) => {
            let (prepared, owned) = stuck.kept;
            prepared.cancel();
            owned
        }
    };
    same("the changed file after a refused freeze", &bench.portrait(&file, version), &expected)?;
    let prepared = near.luo.prepare(&mut carrier).or_broken("prepare after a refused freeze")?;
    let arrived = depart(prepared.freeze(owned).or_broken("freeze after a new prepare")?, &slot)?;
    arrived.look_like(bench, version, &[(SESSION, token(nth), expected)])
}

/// Changes the file; its portrait then, or `None` if the host does not allow the change.
fn change<F: Fixture, G: Ground>(
    bench: &Bench<'_, F, G>,
    file: &FileOf<F>,
    which: usize,
    version: Version,
) -> Result<Option<F::Portrait>> {
    let before = bench.portrait(file, version);
    let changed = bench.fixture().change(file, which);
    let after = bench.portrait(file, version);
    ensure(changed == (before != after), || {
        format!(
            "the fixture's change number {which} answers {changed}, and its portraits do not agree with that"
        )
    })?;
    Ok(changed.then_some(after))
}
