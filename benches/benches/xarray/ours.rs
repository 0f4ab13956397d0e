//! Ours: the serialized array, and what it costs by itself.

use anyhow::{Context as _, Result, ensure};
use luo_xarray::serial::{Builder, Encoded, SerialView};
use rayon::ThreadPool;

use crate::corpus::HOLE;
use crate::measure::alone;
use crate::peers::{dependent, independent};
use crate::{Case, float, per};

pub(crate) struct Ours {
    /// The bytes in one piece.
    bytes: Vec<u8>,
}

/// Writes a map.
pub(crate) fn write(slots: &[u64]) -> Result<Encoded> {
    let mut builder = Builder::new();
    builder.push_slots(0, slots, Some(HOLE))?;
    Ok(builder.encode())
}

impl Ours {
    pub(crate) fn of(slots: &[u64]) -> Result<Self> {
        Ok(Self { bytes: write(slots)?.to_vec() })
    }

    /// The map where it lies.
    pub(crate) fn view(&self) -> Result<SerialView<'_>> {
        Ok(SerialView::open(&[&self.bytes])?)
    }

    /// Compares every entry, and every answer that is timed.
    pub(crate) fn check(&self, case: &Case) -> Result<()> {
        let view = self.view()?;
        view.verify()?;
        let mut read = vec![0; case.slots.len()];
        view.fill(0, &mut read, HOLE)?;
        ensure!(read == case.slots, "other slots");
        let mut entries = view.entries();
        for (index, value) in (0..).zip(&case.slots).filter(|(_, value)| **value != HOLE) {
            ensure!(entries.next() == Some(Ok((index, *value))), "another entry at {index}");
        }
        ensure!(entries.next().is_none(), "more entries");
        for index in &case.indices {
            ensure!(view.get(*index)? == case.expected(*index), "another value at {index}");
        }
        Ok(())
    }

    /// What it costs by itself.
    pub(crate) fn report(&self, case: &Case) -> Result<()> {
        let view = self.view()?;
        let bytes = float(self.bytes.len());
        let (one, two) = (threads(1)?, threads(2)?);
        let million = |seconds: f64| float(case.entries) / seconds / 1e6;
        let mut room = vec![HOLE; case.slots.len()];
        println!("{}: {:.6} B/entry, {bytes} bytes", case.pattern.name(), per(bytes, case.entries));
        for (name, pool) in [("1 thread", &one), ("2 threads", &two)] {
            pool.install(|| {
                let build = alone(|| write(&case.slots));
                let restore = alone(|| view.fill(0, &mut room, HOLE));
                let verify = alone(|| view.verify());
                let (build, restore, slots) = (million(build), million(restore), million(verify));
                println!("    {name}: build {build:.0} Me/s, restore {restore:.0} Me/s, verify {slots:.0} Me/s = {:.2} GB/s", bytes / verify / 1e9);
            });
        }
        let runs = alone(|| view.runs().flatten().count());
        let open = alone(|| self.view().is_ok());
        let ask = |index| view.get(index).ok().flatten();
        let nanoseconds = |seconds: f64| seconds * 1e9 / float(case.indices.len());
        let free = nanoseconds(alone(|| independent(&case.indices, ask)));
        let bound = nanoseconds(alone(|| dependent(&case.indices, ask)));
        println!(
            "    runs {:.0} Me/s, open {:.2} us, look-up {free:.1} ns, dependent {bound:.1} ns",
            million(runs),
            open * 1e6
        );
        Ok(())
    }
}

/// So many threads.
pub(crate) fn threads(threads: usize) -> Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("threads")
}
