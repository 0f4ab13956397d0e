//! What a user may ask before any update, as the kernel's selftest `liveupdate` asks it of memfds; here of every
//! handler. No carrier takes part.

use libtest_mimic::Failed;
use luo_core::conformance::{Fixture, Ground as _, Side, SimGround};
use luo_core::{Luo, PreserveError, Token, Version};
use luo_kho::Owned;
use luo_kho::sim::SimKho;
use luo_tests::session;

use crate::sides::registry;

/// One case.
pub(crate) struct Question<F> {
    pub(crate) name: &'static str,
    pub(crate) ask: fn(&mut F, usize) -> Result<(), Failed>,
}

/// All of them.
pub(crate) fn questions<F: Fixture>() -> Vec<Question<F>> {
    vec![
        Question { name: "preserve_memfd", ask: |fixture, _| preserve(fixture, &[("s", 1)]) },
        Question { name: "preserve_multiple_memfds", ask: |fixture, _| preserve(fixture, &[("s", 2)]) },
        Question {
            name: "preserve_complex_scenario",
            ask: |fixture, _| preserve(fixture, &[("s1", 2), ("s2", 2)]),
        },
        Question { name: "preserve_many_files", ask: |fixture, many| preserve(fixture, &[("many", many)]) },
        Question { name: "preserve_unsupported_fd", ask: |fixture, _| refuse(fixture) },
        Question { name: "prevent_double_preservation", ask: |fixture, _| preserve_twice(fixture) },
    ]
}

fn program<F: Fixture>(fixture: &mut F) -> Result<(Luo<SimKho>, Owned), Failed> {
    let registry = registry(fixture, Side::Near)?;
    let founded = Luo::found(SimGround::exec().found()?, registry);
    Ok(founded.map_err(|stuck| stuck.error.to_string())?)
}

/// So many files in each session: nothing about them changes while they are preserved, and nothing of them is left.
fn preserve<F: Fixture>(fixture: &mut F, sessions: &[(&str, usize)]) -> Result<(), Failed> {
    let before = fixture.baseline();
    let (mut luo, _owned) = program(fixture)?;
    let mut files = Vec::new();
    for (name, count) in sessions {
        luo.open_session(session(name))?;
        for token in 0..*count {
            let file = fixture.file(files.len() % fixture.files());
            let portrait = fixture.portrait(&file, Version(u16::MAX));
            let preserved = luo.preserve(session(name), Token(token as u64), file.clone());
            preserved.map_err(|stuck| stuck.error.to_string())?;
            files.push((file, portrait));
        }
    }
    let are_as_they_were = |fixture: &mut F| {
        files.iter().all(|(file, portrait)| fixture.portrait(file, Version(u16::MAX)) == *portrait)
    };
    if !are_as_they_were(fixture) {
        return Err("a file is another one while it is preserved".into());
    }
    for (name, _) in sessions {
        luo.close_session(session(name))?;
    }
    if !are_as_they_were(fixture) {
        return Err("a file is another one when it is let go".into());
    }
    drop((files, luo));
    if fixture.baseline() != before {
        return Err("something is left on the host".into());
    }
    Ok(())
}

/// Strangers, and files that cannot travel.
fn refuse<F: Fixture>(fixture: &mut F) -> Result<(), Failed> {
    let (mut luo, _owned) = program(fixture)?;
    luo.open_session(session("s"))?;
    for stranger in fixture.strangers() {
        match luo.preserve(session("s"), Token(1), stranger) {
            Err(stuck) if matches!(stuck.error, PreserveError::NoHandler { .. }) => {}
            Err(stuck) => return Err(format!("a stranger is refused because {}", stuck.error).into()),
            Ok(()) => return Err("a stranger was preserved".into()),
        }
    }
    for refused in fixture.refused() {
        if luo.preserve(session("s"), Token(1), refused).is_ok() {
            return Err("a file was preserved that cannot travel".into());
        }
    }
    Ok(())
}

/// By the same reference or by another, in the same session or in another.
fn preserve_twice<F: Fixture>(fixture: &mut F) -> Result<(), Failed> {
    let (mut luo, _owned) = program(fixture)?;
    luo.open_session(session("s1"))?;
    luo.open_session(session("s2"))?;
    let file = fixture.file(0);
    let other = fixture.another_reference(&file);
    luo.preserve(session("s1"), Token(1), file.clone()).map_err(|stuck| stuck.error.to_string())?;
    for (name, token, file) in [("s1", 2, &file), ("s2", 1, &file), ("s2", 1, &other)] {
        match luo.preserve(session(name), Token(token), file.clone()) {
            Err(stuck) if matches!(stuck.error, PreserveError::FileInUse { .. }) => {}
            Err(stuck) => return Err(format!("refused because {}", stuck.error).into()),
            Ok(()) => return Err("a file was preserved twice".into()),
        }
    }
    luo.unpreserve(session("s1"), Token(1))?;
    luo.preserve(session("s2"), Token(1), other).map_err(|stuck| stuck.error.to_string())?;
    Ok(())
}
