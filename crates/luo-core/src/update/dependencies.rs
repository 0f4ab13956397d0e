//! Files that name each other: circles are found before anything is handed over.

use alloc::vec::Vec;

use luo_kho::Kho;

use crate::luo::Luo;
use crate::outgoing::Session;
use crate::{Cause, Map, Participant, Phase, PhaseError, Token};

/// How far the search has come with one file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    OnPath,
    Clear,
}

impl<K: Kho> Luo<K> {
    /// Refuses circles among the dependencies that were recorded.
    pub(crate) fn check_dependencies(&self, phase: Phase) -> Result<(), alloc::boxed::Box<PhaseError>> {
        for (session, books) in &self.out.sessions {
            let Some(tokens) = find_circle(books) else { continue };
            let token = tokens.first().copied().unwrap_or(Token(0));
            let participant = self
                .kind_of(*session, token)
                .map_or(Participant::Records, |kind| Participant::File { session: *session, token, kind });
            return Err(Cause::DependencyCycle { tokens }.by(participant, phase));
        }
        Ok(())
    }
}

/// A circle, each depending on the next and the last on the first; `None` if there is none. Depth first, without
/// recursion; each file and each dependency is looked at once.
fn find_circle(books: &Session) -> Option<Vec<Token>> {
    let mut marks: Map<Token, Mark> = Map::default();
    for (start, entry) in &books.files {
        if entry.saved.depends_on.is_empty() || marks.contains_key(start) {
            continue;
        }
        let mut path = Vec::from([(*start, 0)]);
        marks.insert(*start, Mark::OnPath);
        while let Some((token, next)) = path.last_mut() {
            let dependencies = books.files.get(token).map_or(&[][..], |entry| &entry.saved.depends_on);
            let Some(dependency) = dependencies.get(*next).copied() else {
                marks.insert(*token, Mark::Clear);
                path.pop();
                continue;
            };
            *next += 1;
            match marks.get(&dependency) {
                Some(Mark::Clear) => {}
                Some(Mark::OnPath) => {
                    let circle =
                        path.iter().map(|(token, _)| *token).skip_while(|token| *token != dependency);
                    return Some(circle.collect());
                }
                None => {
                    marks.insert(dependency, Mark::OnPath);
                    path.push((dependency, 0));
                }
            }
        }
    }
    None
}
