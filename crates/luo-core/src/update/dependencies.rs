//! Files that name each other: circles, and rows longer than the far side follows, are found before anything is handed
//! over.

use alloc::boxed::Box;
use alloc::vec::Vec;

use luo_kho::Kho;

use crate::incoming::DEPTH_MAX;
use crate::luo::Luo;
use crate::outgoing::Session;
use crate::{Cause, Map, Participant, Phase, PhaseError, Token};

/// How far the search has come with one file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    OnPath,
    /// No circle goes through it, and so many dependencies follow each other from it on.
    Clear(u32),
}

/// One file of the path that is being searched.
struct Step {
    token: Token,
    /// Which of its dependencies is next.
    next: usize,
    /// The longest row of dependencies from it on, as far as is known.
    depth: u32,
}

impl Step {
    const fn at(token: Token) -> Self {
        Self { token, next: 0, depth: 0 }
    }
}

impl<K: Kho> Luo<K> {
    /// Refuses circles, and rows that are too long, among the dependencies that were recorded.
    pub(crate) fn check_dependencies(&self, phase: Phase) -> Result<(), Box<PhaseError>> {
        for (session, books) in &self.out.sessions {
            let Err((token, cause)) = check(books) else { continue };
            let participant = self
                .kind_of(*session, token)
                .map_or(Participant::Records, |kind| Participant::File { session: *session, token, kind });
            return Err(cause.by(participant, phase));
        }
        Ok(())
    }
}

/// Depth first, without recursion; each file and each dependency is looked at once.
fn check(books: &Session) -> Result<(), (Token, Cause)> {
    let mut marks: Map<Token, Mark> = Map::default();
    for (start, entry) in &books.files {
        if entry.saved.depends_on.is_empty() || marks.contains_key(start) {
            continue;
        }
        let mut path = Vec::from([Step::at(*start)]);
        marks.insert(*start, Mark::OnPath);
        while let Some(Step { token, next, depth }) = path.last_mut() {
            let dependencies = books.files.get(token).map_or(&[][..], |entry| &entry.saved.depends_on);
            let Some(dependency) = dependencies.get(*next).copied() else {
                let (token, depth) = (*token, *depth);
                if depth > DEPTH_MAX {
                    return Err((token, Cause::DependencyTooDeep { token, depth, max: DEPTH_MAX }));
                }
                marks.insert(token, Mark::Clear(depth));
                path.pop();
                if let Some(before) = path.last_mut() {
                    before.depth = before.depth.max(depth + 1);
                }
                continue;
            };
            *next += 1;
            match marks.get(&dependency) {
                Some(Mark::Clear(from_there)) => *depth = (*depth).max(from_there + 1),
                Some(Mark::OnPath) => {
                    // Each depends on the next, and the last on the first.
                    let circle = path.iter().map(|step| step.token).skip_while(|token| *token != dependency);
                    return Err((dependency, Cause::DependencyCycle { tokens: circle.collect() }));
                }
                None => {
                    marks.insert(dependency, Mark::OnPath);
                    path.push(Step::at(dependency));
                }
            }
        }
    }
    Ok(())
}
