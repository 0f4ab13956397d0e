//! How long each side waits for the other. Every wait has an end.

use core::time::Duration;

/// How long is waited for what. The defaults suit programs on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// For a successor to call, or for whoever is called to answer. 30 s: time to start a program.
    pub call: Duration,
    /// For the next message of a handshake. 5 s: it takes microseconds unless somebody hangs.
    pub message: Duration,
    /// For the successor to warm up: to make a VM, and to map and populate its memory. 60 s: populating 4 KiB pages
    /// takes about 0.3 s per GiB. The guest runs meanwhile.
    pub warm_up: Duration,
    /// For the predecessor to make its offer once the successor is warm. 600 s: it decides when to pause.
    pub offer: Duration,
    /// From the offer to the commit: the budget of the blackout. 2 s, a thousand times what it takes; a guest that
    /// stands still longer is noticed by its users, and is better off where it was.
    pub blackout: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            message: Duration::from_secs(5),
            warm_up: Duration::from_mins(1),
            offer: Duration::from_mins(10),
            blackout: Duration::from_secs(2),
        }
    }
}
