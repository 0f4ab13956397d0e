//! Handing over to a successor that was started beforehand, over a unix socket.
//!
//! ```text
//! predecessor                                    successor
//!    |  <------------- hello: its manifest ---------  |   connect
//!    |  -------- cargo: descriptors, 253 at a time -> |   Arrival: it warms up, the guest runs
//!    |  <------------- ready ------------------------ |   Arrival::adopt
//!  freeze, offer (the word)
//!    |  -------------- offered ---------------------> |   it opens the memory, retrieves, sets state
//!    |                                                |   commit (the word); the guest runs
//!    |  <------------- the bell --------------------- |   its first change of memory
//!  departs
//! ```
//!
//! Either side may say *refused*, with its reason, instead of what it is to say. The predecessor is its own guardian:
//! if the successor refuses, dies or is late, `hand_over` fails, and whoever called it takes the offer back.

mod carrier;
mod connect;
#[cfg(test)]
mod tests;

pub use self::carrier::Socket;
pub use self::connect::connect;

/// The longest manifest that is listened to.
const MANIFEST: usize = 1 << 20;
/// What is said to whoever calls while another successor is served.
const BUSY: &str = "another successor is being served";
