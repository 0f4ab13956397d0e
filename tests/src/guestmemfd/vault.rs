//! An embedder with the means to export private memory of simulated guests: each page is exported turned over.

use std::ops::Range;

use luo_core::Refusal;
use luo_guestmemfd::PrivateMemory;
use luo_guestmemfd::sim::SimGuestMemfd;
use luo_kho::FRAME_BYTES as PAGE;

/// See the room's head.
#[derive(Clone, Debug)]
pub struct Vault(SimGuestMemfd);

impl Vault {
    /// A way to what is private in this file.
    pub fn open(file: &SimGuestMemfd) -> Box<dyn PrivateMemory> {
        Box::new(Self(file.clone()))
    }
}

impl PrivateMemory for Vault {
    fn next_present(&mut self, page: u64) -> Result<Option<Range<u64>>, Refusal> {
        Ok(self.0.memory().pages_from(page))
    }

    fn export(&mut self, page: u64, bytes: &mut [u8]) -> Result<(), Refusal> {
        self.0.memory().read(page * PAGE, bytes);
        bytes.reverse();
        Ok(())
    }

    fn import(&mut self, page: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let bytes: Vec<u8> = bytes.iter().rev().copied().collect();
        self.0.write_at(page * PAGE, &bytes);
        Ok(())
    }
}
