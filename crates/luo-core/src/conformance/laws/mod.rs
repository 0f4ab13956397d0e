//! The laws, each a function over a bench. What they say stands with [`Law`](super::Law).

mod crossing;
mod changes;
mod undo;
mod faults;
mod far_side;
mod letting_go;
mod honesty;
mod damage;

pub(super) use changes::{changed_while_prepared, changed_while_thawed};
pub(super) use crossing::{every_version, round_trip, second_adopter};
pub(super) use damage::{damaged_frames, damaged_payloads, torn_payloads};
pub(super) use far_side::{failed_retrieve, retrieve_once, unpreserved_frames};
pub(super) use faults::{backend_faults, host_faults};
pub(super) use honesty::{honest_judge, honest_versions, identity};
pub(super) use letting_go::{discard, finish};
pub(super) use undo::{cancel, determinism, drop_unpreserves, light_freeze};
