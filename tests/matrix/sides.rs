//! The two sides of an update, as every trial plays them: the **near** side preserves and hands over, the **far** side
//! adopts, compares and finishes. A file is told by its portrait, as text.

use luo_core::conformance::{FileOf, Fixture, Side};
use luo_core::{Irrevocable, Luo, Registry, SessionName, Token, Version};
use luo_kho::carrier::Carrier;
use luo_kho::{Departed, Kho, Owned};
use luo_tests::session;

use crate::scenario::{Scenario, Turn};

/// What stood in the way, in words.
pub(crate) type Outcome<T> = Result<T, String>;

/// The error of anything, in words.
pub(crate) fn said(error: impl core::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn registry<F: Fixture>(fixture: &mut F, side: Side) -> Outcome<Registry> {
    let mut registry = Registry::new();
    fixture.company(side, &mut registry);
    registry.handler(fixture.handler(side)).map_err(said)?;
    Ok(registry)
}

/// All of a file that its user can see.
fn portrait<F: Fixture>(fixture: &mut F, file: &FileOf<F>) -> String {
    format!("{:?}", fixture.portrait(file, Version(u16::MAX)))
}

/// A program with its files, about to be updated.
pub(crate) struct Near<K: Kho> {
    luo: Luo<K>,
    owned: Owned,
    /// What its user sees of each file, in the order of sessions and tokens.
    pub(crate) portraits: Vec<String>,
}

/// Founds memory and preserves what the scenario says.
pub(crate) fn near<F: Fixture, K: Kho>(
    fixture: &mut F,
    memory: K,
    scenario: &Scenario,
    many: usize,
) -> Outcome<Near<K>> {
    let registry = registry(fixture, Side::Near)?;
    let (mut luo, owned) = Luo::found(memory, registry).map_err(|stuck| said(stuck.error))?;
    let (mut portraits, mut nth) = (Vec::new(), 0);
    for (name, tokens) in scenario.sessions(many) {
        let session = session(&name);
        luo.open_session(session).map_err(said)?;
        for token in tokens {
            let file = fixture.file(nth % fixture.files());
            nth += 1;
            portraits.push(portrait(fixture, &file));
            luo.preserve(session, Token(token), file).map_err(|stuck| said(stuck.error))?;
        }
    }
    Ok(Near { luo, owned, portraits })
}

impl<K: Kho> Near<K> {
    /// Takes the scenario's turn, and hands over.
    pub(crate) fn update(mut self, carrier: &mut dyn Carrier<K>, turn: Turn) -> Outcome<Departed> {
        let mut owned = self.owned;
        if turn == Turn::TakenBack {
            let prepared = self.luo.prepare(carrier).map_err(said)?;
            let frozen = prepared.freeze(owned).map_err(|stuck| said(stuck.error))?;
            owned = frozen.cancel().map_err(|stuck| said(stuck.error))?;
        }
        let prepared = self.luo.prepare(carrier).map_err(said)?;
        let mut frozen = prepared.freeze(owned).map_err(|stuck| said(stuck.error))?;
        if turn == Turn::Refused {
            frozen = match frozen.hand_over() {
                Ok(departed) => return Err(format!("nobody refused: {}", departed.word())),
                Err(stuck) => stuck.kept,
            };
        }
        frozen.hand_over().map_err(|stuck| said(stuck.error))
    }
}

/// Adopts, retrieves every file in the order opposite to that in which they were preserved, and finishes.
pub(crate) fn far<F: Fixture, K: Kho>(
    fixture: &mut F,
    memory: K,
    scenario: &Scenario,
    many: usize,
    expected: &[String],
) -> Outcome<()> {
    let mut adopted = Luo::adopt(memory, registry(fixture, Side::Far)?).map_err(|stuck| said(stuck.error))?;
    let sessions = scenario.sessions(many);
    let found: Vec<_> = adopted.sessions().map(|name| name.to_string()).collect();
    let names: Vec<_> = sessions.iter().map(|(name, _)| name.clone()).collect();
    if found != names {
        return Err(format!("the sessions are {found:?}"));
    }
    let mut discarded: Vec<(SessionName, Token)> = Vec::new();
    let mut wanted = Vec::new();
    for (name, tokens) in &sessions {
        for (place, token) in tokens.iter().enumerate() {
            let file = (session(name), Token(*token));
            if scenario.turn == Turn::Discarded && place == 0 {
                discarded.push(file);
            }
            wanted.push(file);
        }
    }
    if wanted.len() != expected.len() {
        return Err(format!("{} files are expected, {} were seen", wanted.len(), expected.len()));
    }
    // Until the finish: a program that drops a file may drop it for good.
    let mut kept = Vec::new();
    for ((name, token), expected) in wanted.into_iter().zip(expected).rev() {
        if discarded.contains(&(name, token)) {
            continue;
        }
        let file: FileOf<F> = adopted.retrieve(name, token).map_err(said)?;
        kept.push(((name, token), file, expected));
    }
    let (updated, _owned) = adopted.commit().map_err(|stuck| said(stuck.error))?;
    let luo = match scenario.turn {
        Turn::Discarded => updated.finish_discarding(&discarded, Irrevocable::knowingly()),
        _ => updated.finish(),
    };
    let luo = luo.map_err(|stuck| said(stuck.error))?;
    if luo.sessions().len() > 0 {
        return Err("a session is still there".to_owned());
    }
    for ((name, token), file, expected) in kept {
        let found = portrait(fixture, &file);
        if found != *expected {
            return Err(format!("{token} of {name} is {found}\nand was {expected}"));
        }
    }
    Ok(())
}
