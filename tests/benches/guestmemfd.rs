//! What a guest_memfd costs in an update, mapped and copied, beside a plain copy of as many bytes in the same run; and
//! what holes cost.
//!
//! ```sh
//! cargo xtask bench guestmemfd [MiB]
//! ```
#![expect(clippy::print_stdout, reason = "it is a table")]

#[cfg(target_os = "linux")]
fn main() {
    real::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: guest_memfds are measured on Linux");
}

#[cfg(target_os = "linux")]
mod real {
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use luo_core::Registry;
    use luo_guestmemfd::{Flags, GuestMemfd, GuestMemfds, Linux, Retrieve, Vm, supported};
    use luo_kho::FRAME_BYTES;
    use luo_tests::journey::{Cost, Journey, Stations};
    use luo_tests::memfd::ProcessGround;

    const RUNS: usize = 5;
    const MIB: u64 = 1 << 20;

    fn rate(bytes: u64, time: Duration) -> String {
        let mib = f64::from(u32::try_from(bytes / MIB).unwrap_or(u32::MAX));
        format!("{:8.2} ms  {:6.2} GiB/s", time.as_secs_f64() * 1e3, mib / 1024.0 / time.as_secs_f64())
    }

    fn median(mut times: Vec<Duration>) -> Duration {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Memory that is there already, to memory that is there already.
    fn plain_copy(bytes: u64) -> Duration {
        let len = usize::try_from(bytes).unwrap_or_default();
        let (from, mut to) = (vec![1u8; len], vec![2u8; len]);
        let copied = |_| {
            let clock = Instant::now();
            black_box(&mut to).copy_from_slice(black_box(&from));
            clock.elapsed()
        };
        median((0..RUNS).map(copied).collect())
    }

    /// A file of which the first `written` bytes exist. It names no machine: those are counted elsewhere.
    fn guest(vm: &Vm, bytes: u64, written: u64) -> GuestMemfd {
        let made = GuestMemfd::create(vm, bytes / FRAME_BYTES, Flags::OPEN).expect("there is memory");
        let descriptor = made.to_file().expect("there are descriptors");
        let file = GuestMemfd::new(descriptor.into(), Flags::OPEN, None).expect("it is open");
        let window = file.map().expect("its owner may map it");
        let block = vec![0xA5; usize::try_from(MIB).unwrap_or_default()];
        for at in (0..written / MIB).map(|nth| nth * MIB) {
            window.write(at, &block).expect("it has so many bytes");
        }
        file
    }

    /// What some updates took: times are medians.
    struct Took {
        prepare: Duration,
        freeze: Duration,
        retrieve: Duration,
        /// From the offer to the end of finish.
        hand_over: Duration,
        /// Bytes of preserved memory when everything was frozen.
        preserved: u64,
        /// Bytes that exist of the file that came out.
        exist: u64,
    }

    fn updates(
        vm: &Vm,
        ground: fn() -> ProcessGround,
        retrieve: Retrieve,
        (bytes, written): (u64, u64),
    ) -> Took {
        let home = vm.clone();
        let journey = Journey::new(ground(), move || {
            let vm = home.clone();
            let handler = GuestMemfds::new(Linux::new()).retrieving(retrieve).in_vm(move || Ok(vm.clone()));
            let mut registry = Registry::new();
            registry.handler(handler).expect("one handler");
            registry
        });
        let (mut costs, mut exist) = (Vec::new(), 0);
        for _ in 0..RUNS {
            let file = guest(vm, bytes, written);
            let came =
                journey.cross(std::slice::from_ref(&file), Stations::default()).expect("there is room");
            let window = came.files.first().and_then(|file| file.map().ok()).expect("one file");
            let runs = window.present().expect("it is mapped");
            exist = runs.iter().map(|run| (run.end - run.start) * FRAME_BYTES).sum();
            costs.push(came.cost);
        }
        let time = |part: fn(&Cost) -> Duration| median(costs.iter().map(part).collect());
        Took {
            prepare: time(|cost| cost.prepare),
            freeze: time(|cost| cost.freeze),
            retrieve: time(|cost| cost.retrieve),
            hand_over: time(|cost| cost.hand_over),
            preserved: costs.iter().map(|cost| cost.arena).max().unwrap_or_default(),
            exist,
        }
    }

    /// What the kernel takes for the pages of a new file, with one thread: nothing is copied.
    fn pages_alone(vm: &Vm, bytes: u64) -> Duration {
        let populated = |_| {
            let file = GuestMemfd::create(vm, bytes / FRAME_BYTES, Flags::OPEN).expect("there is memory");
            let window = file.map().expect("its owner may map it");
            let clock = Instant::now();
            window.populate(&(0..bytes / FRAME_BYTES), true).expect("there is memory");
            clock.elapsed()
        };
        median((0..RUNS).map(populated).collect())
    }

    pub(super) fn main() {
        let mib: u64 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(512);
        if let Err(why) = supported() {
            println!("SKIPPED: {why}");
            return;
        }
        let (bytes, vm) = (mib * MIB, Vm::create().expect("it is supported"));
        let stays: fn() -> ProcessGround = || ProcessGround::new().refusing("they stay");
        let whole = (bytes, bytes);
        println!("{mib} MiB, median of {RUNS}");
        println!("plain copy                       {}", rate(bytes, plain_copy(bytes)));
        println!("pages of a new file, by 1 thread {}", rate(bytes, pages_alone(&vm, bytes)));
        let Took { prepare, freeze, hand_over, .. } =
            updates(&vm, ProcessGround::new, Retrieve::MapOld, whole);
        println!("mapped: prepare {prepare:.2?}, freeze {freeze:.2?}, from offer to finish {hand_over:.2?}");
        let new = updates(&vm, ProcessGround::new, Retrieve::CopyIntoNew, whole);
        println!("into a new file: prepare {:.2?}, freeze {:.2?}", new.prepare, new.freeze);
        println!("into a new file, making it       {}", rate(bytes, new.retrieve));
        println!("into a new file, to finish       {}", rate(bytes, new.hand_over));
        println!("into a new file, extra memory    {} KiB: that file", new.exist >> 10);
        let copy = updates(&vm, stays, Retrieve::MapOld, whole);
        println!("by copy: prepare {:.2?}", copy.prepare);
        println!("by copy, freeze                  {}", rate(bytes, copy.freeze));
        println!("by copy, making the file         {}", rate(bytes, copy.retrieve));
        println!("by copy, to finish               {}", rate(bytes, copy.hand_over));
        let [preserved, exist] = [copy.preserved, copy.exist].map(|bytes| bytes >> 10);
        println!(
            "by copy, extra memory at most    {} KiB: {preserved} preserved, and the file",
            preserved + exist
        );
        let written = 64 * MIB;
        for bytes in [written, 64 * written] {
            for (how, ground, retrieve) in [
                ("by copy", stays, Retrieve::MapOld),
                ("into a new file", ProcessGround::new as fn() -> _, Retrieve::CopyIntoNew),
            ] {
                let took = updates(&vm, ground, retrieve, (bytes, written));
                let [size, preserved, exist] = [bytes, took.preserved, took.exist].map(|bytes| bytes / MIB);
                println!(
                    "{how}, 64 MiB in a file of {size} MiB: freeze {:.2?}, making {:.2?}, preserved {preserved} MiB, \
                     exist {exist} MiB",
                    took.freeze, took.retrieve
                );
            }
        }
    }
}
