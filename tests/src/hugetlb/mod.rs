//! What the scenarios about huge pages share: pages of the machine, borrowed for a test; files of every sort; a private
//! mount.

#[cfg(target_os = "linux")]
mod borrowed;
#[cfg(target_os = "linux")]
mod flaky;
#[cfg(target_os = "linux")]
mod guest;
#[cfg(target_os = "linux")]
mod mounted;
#[cfg(target_os = "linux")]
mod real;
mod simulated;

#[cfg(target_os = "linux")]
pub use borrowed::{Borrowed, PAGE, borrow};
#[cfg(target_os = "linux")]
pub use guest::{
    Contents, Guest, Portrait as RealPortrait, Way, holds, journey, look, portrait, runs, update,
};
#[cfg(target_os = "linux")]
pub use mounted::{Mounted, hidden, mounted};
#[cfg(target_os = "linux")]
pub use real::RealFixture;
pub use simulated::{Portrait, SMALL, SimFixture};
