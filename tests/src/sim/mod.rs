//! Random updates in which things go wrong, on the simulated machine, each decided by one number.
//!
//! - A **life** is a machine and a guest that is carried through a few updates. Its [`Plan`] says everything that is
//!   done and goes wrong in it, and comes from a **seed**: the same seed gives the same life, to the last call.
//! - A **class** is a sort of fault: `docs/faults.md` tells them all. Each seed enables some classes and not the
//!   others.
//! - The **oracle** is everything that a life checks: each file is found with every byte that it had when the guest was
//!   stopped, or somebody is told why not; the guest runs once; a step that fails says so and changes nothing;
//!   callbacks come in their order and are undone in reverse; at the end nothing is left. What it does not like panics.
//! - A **finding** is a life that the oracle does not like, shortened.

mod plan;
mod classes;
mod books;
mod life;
mod near;
mod far;
mod crew;
mod finding;

pub use classes::Class;
pub use crew::{Crew, Progress, Totals};
pub use finding::{Finding, quieten};
pub use life::{Outcome, live};
pub use plan::Plan;
