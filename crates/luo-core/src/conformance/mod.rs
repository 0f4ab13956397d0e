//! The conformance kit: what every file handler owes, tried with one call.
//!
//! - A **law** is a sentence that holds for every handler: [`Law`].
//! - A **fixture** is what an author brings along: handler, files, and a host that can be looked into: [`Fixture`].
//! - A **ground** is the memory and the gap on which laws are tried: [`Ground`]. By default a simulated machine, on
//!   which the program is replaced, and one on which the kernel is.
//!
//! A law has **cases**: a file, a version, one call that fails, one byte that is damaged. Each is a whole update, or
//! as much of one as it takes. A law that has no case is reported as skipped: it was not kept, it was not tried.
//!
//! # What the kit does not ask
//!
//! A damaged byte whose checksum is right may make another file: it may be what somebody wrote. Only a payload that
//! is cut short or goes on too long has to be refused, or read as what was written. Files that depend on other files
//! are tried alone.
//!
//! # Example
//!
//! The files of this handler are notes, shared between their users; a note crosses in its payload.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use luo_core::conformance::{self, FileOf, Fixture, Side};
//! use luo_core::*;
//! use luo_kho::ByteLen;
//! use luo_kho::carrier::DescriptorKind;
//!
//! /// What is written on a note, at most 64 bytes.
//! type Note = Arc<Mutex<String>>;
//!
//! struct Notes;
//!
//! impl FileHandler for Notes {
//!     type File = Note;
//!     type Held = ();
//!
//!     fn kind(&self) -> Kind {
//!         Kind::literal("note")
//!     }
//!     fn reads(&self) -> VersionRange {
//!         VersionRange::up_to(Version(1))
//!     }
//!     fn writes(&self) -> Vec<Version> {
//!         vec![Version(1)]
//!     }
//!     fn identity(&self, note: &Note) -> Identity {
//!         Identity(Arc::as_ptr(note).addr() as u128)
//!     }
//!     fn prepare(&self, _: &Note, (): &mut (), scope: &mut PrepareScope<'_>) -> Result<(), Refusal> {
//!         Ok(scope.reserve(Version(1), ByteLen::new(72))?)
//!     }
//!     fn freeze(&self, note: &Note, (): &mut (), scope: &mut FreezeScope<'_>) -> Result<(), Refusal> {
//!         let text = note.lock().unwrap();
//!         let mut payload = (text.len() as u64).to_le_bytes().to_vec();
//!         payload.extend_from_slice(text.as_bytes());
//!         Ok(scope.put(Version(1), &payload)?)
//!     }
//!     fn retrieve(&self, record: &Record<'_>, _: &mut RetrieveScope<'_>) -> Result<Note, Refusal> {
//!         let (len, text) = record.payload.split_first_chunk().ok_or(Refusal::because("no length"))?;
//!         if u64::from_le_bytes(*len) != text.len() as u64 {
//!             return Err(Refusal::because("the note is torn"));
//!         }
//!         let text = std::str::from_utf8(text).map_err(Refusal::new)?;
//!         Ok(Arc::new(Mutex::new(text.into())))
//!     }
//!     # fn leans_on(&self) -> Vec<Kind> { Vec::new() }
//!     # fn judge(&self, _: &Note) -> Verdict { Verdict::Mine }
//!     # fn travel(&self, _: &Note) -> Travel {
//!     #     Travel { descriptor: DescriptorKind("note"), bytes: ByteLen::ZERO, copy: Copying::Will { reason: "it is short".into() } }
//!     # }
//!     # fn preserve(&self, _: &Note) -> Result<(), Refusal> { Ok(()) }
//!     # fn survey(&self, _: &Note, (): &mut ()) -> Result<(), Refusal> { Ok(()) }
//!     # fn cancel(&self, _: &Note, (): &mut ()) {}
//!     # fn unfreeze(&self, _: &Note, (): &mut ()) {}
//!     # fn depart(&self, _: Note, (): ()) {}
//!     # fn can_finish(&self, _: &Record<'_>, _: &Note) -> Result<(), Refusal> { Ok(()) }
//!     # fn finish(&self, _: &Record<'_>, _: &Note) {}
//!     # fn discard(&self, _: &Record<'_>, _: &mut RetrieveScope<'_>) {}
//!     // ... and methods in which a note has nothing to do.
//! }
//!
//! struct Desk;
//!
//! impl Fixture for Desk {
//!     type Handler = Notes;
//!     type Portrait = String;
//!     type Baseline = ();
//!
//!     fn handler(&mut self, _: Side) -> Notes {
//!         Notes
//!     }
//!     fn files(&self) -> usize {
//!         3
//!     }
//!     fn file(&mut self, nth: usize) -> Note {
//!         let text = ["", "milk, bread", "\u{1F9C0}"][nth];
//!         Arc::new(Mutex::new(text.into()))
//!     }
//!     fn portrait(&mut self, note: &Note, _: Version) -> String {
//!         note.lock().unwrap().clone()
//!     }
//!     fn changes(&self) -> usize {
//!         1
//!     }
//!     fn change(&mut self, note: &Note, _: usize) -> bool {
//!         note.lock().unwrap().push_str(", eggs");
//!         true
//!     }
//!     # fn renew(&mut self) {}
//!     # fn company(&mut self, _: Side, _: &mut Registry) {}
//!     # fn another_reference(&mut self, note: &Note) -> Note { Arc::clone(note) }
//!     # fn refused(&mut self) -> Vec<Note> { Vec::new() }
//!     # fn strangers(&mut self) -> Vec<Note> { Vec::new() }
//!     # fn baseline(&mut self) {}
//!     # fn arm(&mut self, _: u64) {}
//!     # fn disarm(&mut self) -> bool { false }
//!     // ... and what a desk has none of: refused files, host calls that fail.
//! }
//!
//! let report = conformance::check(&mut Desk);
//! assert!(report.skipped().contains(&conformance::Law::HostFaults));
//! ```

mod fixture;
mod ground;
mod watched;
mod mask;
mod bench;
mod adopter;
mod laws;
mod law;
mod report;

use bench::{Bench, Broken};
pub use fixture::{FileOf, Fixture, Side};
pub use ground::{FarSide, Ground, SimGround};
pub use law::Law;
pub use report::{Finding, Outcome, Report};

/// Tries every law on a simulated exec and on a simulated kexec. The report says which had cases.
///
/// # Panics
///
/// If a law is broken, with the report.
#[track_caller]
pub fn check<F: Fixture>(fixture: &mut F) -> Report {
    insist(report(fixture))
}

/// As [`check`], on this ground.
///
/// # Panics
///
/// As [`check`].
#[track_caller]
pub fn check_on<F: Fixture, G: Ground>(fixture: &mut F, ground: &G) -> Report {
    insist(report_on(fixture, ground))
}

#[track_caller]
fn insist(report: Report) -> Report {
    let broken: alloc::vec::Vec<_> = report.broken().iter().map(|law| law.name()).collect();
    assert!(broken.is_empty(), "laws broken: {}\n{report}", broken.join(", "));
    report
}

/// Tries every law on a simulated exec and on a simulated kexec, and says what came out.
pub fn report<F: Fixture>(fixture: &mut F) -> Report {
    let mut both = report_on(fixture, &SimGround::exec());
    both.findings.extend(report_on(fixture, &SimGround::kexec()).findings);
    both
}

/// As [`report`], on this ground.
pub fn report_on<F: Fixture, G: Ground>(fixture: &mut F, ground: &G) -> Report {
    let findings = Law::ALL.iter().map(|law| try_law(*law, fixture, ground));
    Report { findings: findings.collect() }
}

/// A law that panics is broken, whoever panicked.
fn try_law<F: Fixture, G: Ground>(law: Law, fixture: &mut F, ground: &G) -> Finding {
    let bench = Bench::new(fixture, ground);
    let tried = adopter::unwound("it panicked", || law.try_on(&bench).and_then(|()| bench.settle()));
    let outcome = match tried.and_then(|tried| tried) {
        Ok(()) if bench.cases() == 0 => Outcome::Skipped { why: alloc::format!("it needs {}", law.needs()) },
        Ok(()) => Outcome::Holds,
        Err(Broken(how)) => Outcome::Broken { how: alloc::format!("{}: {how}", bench.label()) },
    };
    Finding { law, ground: ground.name().into(), cases: bench.cases(), outcome }
}
