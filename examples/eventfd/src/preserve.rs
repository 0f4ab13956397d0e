//! Taking hold of a file: from here on it is **held**. The orchestrator keeps a reference to it; nothing else is taken.

/// What the handler keeps of one file.
#[derive(Debug)]
pub struct Held;

pub(crate) const fn preserve() -> Held {
    Held
}
