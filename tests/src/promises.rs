//! Promises that the compiler keeps. What a promise forbids does not compile, for the reason that its error number
//! names; beside it stand the same lines without the mistake, which do.
//!
//! # While an update is prepared, nothing is preserved
//!
//! ```
//! # use luo_core::{Luo, Token};
//! # use luo_tests::{Build, Host, nobody, session};
//! let host = Host::new();
//! let mut luo = host.found(&Build::plain()).luo;
//! luo.open_session(session("vm")).unwrap();
//! let mut carrier = nobody();
//! let prepared = luo.prepare(&mut carrier).unwrap();
//! prepared.cancel();
//! luo.preserve(session("vm"), Token(1), host.note("late")).unwrap();
//! ```
//!
//! ```compile_fail,E0499
//! # use luo_core::{Luo, Token};
//! # use luo_tests::{Build, Host, nobody, session};
//! let host = Host::new();
//! let mut luo = host.found(&Build::plain()).luo;
//! luo.open_session(session("vm")).unwrap();
//! let mut carrier = nobody();
//! let prepared = luo.prepare(&mut carrier).unwrap();
//! luo.preserve(session("vm"), Token(1), host.note("late")).unwrap();
//! prepared.cancel();
//! ```
//!
//! # What was handed over is not unfrozen
//!
//! ```
//! # use luo_kho::sim::SimKho;
//! # use luo_core::Frozen;
//! fn give_up(frozen: Frozen<'_, SimKho>) {
//!     if let Err(stuck) = frozen.hand_over() {
//!         let _right = stuck.kept.cancel().unwrap();
//!     }
//! }
//! ```
//!
//! ```compile_fail,E0382
//! # use luo_kho::sim::SimKho;
//! # use luo_core::Frozen;
//! fn give_up(frozen: Frozen<'_, SimKho>) {
//!     let _departed = frozen.hand_over();
//!     let _right = frozen.cancel().unwrap();
//! }
//! ```
//!
//! # The right to run the guest is one value
//!
//! ```
//! # use luo_kho::Owned;
//! # use luo_kho::sim::SimKho;
//! # use luo_core::{Frozen, Prepared};
//! fn stop<'l>(prepared: Prepared<'l, SimKho>, right: Owned) -> Frozen<'l, SimKho> {
//!     prepared.freeze(right).unwrap()
//! }
//! ```
//!
//! ```compile_fail,E0382
//! # use luo_kho::Owned;
//! # use luo_kho::sim::SimKho;
//! # use luo_core::{Frozen, Prepared};
//! fn stop<'l>(prepared: Prepared<'l, SimKho>, right: Owned) -> (Frozen<'l, SimKho>, Owned) {
//!     (prepared.freeze(right).unwrap(), right)
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use luo_kho::Owned;
//! fn two(right: &Owned) -> (Owned, Owned) {
//!     (Owned::clone(right), Owned::clone(right))
//! }
//! ```
//!
//! # A frame number is not an address
//!
//! ```
//! # use luo_kho::{FrameRange, PhysAddr};
//! fn one(at: PhysAddr) -> FrameRange {
//!     at.frame().as_range()
//! }
//! ```
//!
//! ```compile_fail,E0308
//! # use luo_kho::{FrameCount, FrameRange, PhysAddr};
//! fn one(at: PhysAddr) -> FrameRange {
//!     FrameRange::new(at, FrameCount::ONE).unwrap()
//! }
//! ```
//!
//! # What is discarded was named by somebody who knew
//!
//! ```
//! # use luo_kho::sim::SimKho;
//! # use luo_core::{Irrevocable, Updated};
//! fn end(updated: Updated<SimKho>) {
//!     let _luo = updated.finish_discarding(&[], Irrevocable::knowingly()).unwrap();
//! }
//! ```
//!
//! ```compile_fail,E0423
//! # use luo_kho::sim::SimKho;
//! # use luo_core::{Irrevocable, Updated};
//! fn end(updated: Updated<SimKho>) {
//!     let _luo = updated.finish_discarding(&[], Irrevocable(())).unwrap();
//! }
//! ```
