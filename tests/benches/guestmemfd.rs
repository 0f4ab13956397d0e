//! What a guest_memfd costs in an update, mapped and copied, beside a plain copy of as many bytes in the same run; and what
//! holes cost.
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

    /// Some updates; the medians of what each took: prepare, freeze, and from the offer to the end of finish.
    fn updates(
        vm: &Vm,
        ground: fn() -> ProcessGround,
        retrieve: Retrieve,
        bytes: u64,
        written: u64,
    ) -> [Duration; 3] {
        let home = vm.clone();
        let journey = Journey::new(ground(), move || {
            let vm = home.clone();
            let handler = GuestMemfds::new(Linux::new()).retrieving(retrieve).in_vm(move || Ok(vm.clone()));
            let mut registry = Registry::new();
            registry.handler(handler).expect("one handler");
            registry
        });
        let costs: Vec<Cost> = (0..RUNS)
            .map(|_| {
                let file = guest(vm, bytes, written);
                journey.cross(std::slice::from_ref(&file), Stations::default()).expect("there is room").cost
            })
            .collect();
        let each: [fn(&Cost) -> Duration; 3] =
            [|cost| cost.prepare, |cost| cost.freeze, |cost| cost.hand_over];
        each.map(|part| median(costs.iter().map(part).collect()))
    }

    pub(super) fn main() {
        let mib: u64 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(512);
        if let Err(why) = supported() {
            println!("SKIPPED: {why}");
            return;
        }
        let (bytes, vm) = (mib * MIB, Vm::create().expect("it is supported"));
        let stays: fn() -> ProcessGround = || ProcessGround::new().refusing("they stay");
        println!("{mib} MiB, median of {RUNS}; making a file includes adoption, commit and finish");
        println!("plain copy                       {}", rate(bytes, plain_copy(bytes)));
        let [prepare, freeze, made] = updates(&vm, ProcessGround::new, Retrieve::MapOld, bytes, bytes);
        println!("mapped: prepare {prepare:.2?}, freeze {freeze:.2?}, from offer to finish {made:.2?}");
        let [prepare, freeze, made] = updates(&vm, ProcessGround::new, Retrieve::CopyIntoNew, bytes, bytes);
        println!("into a new file: prepare {prepare:.2?}, freeze {freeze:.2?}");
        println!("into a new file, making it       {}", rate(bytes, made));
        let [prepare, freeze, made] = updates(&vm, stays, Retrieve::MapOld, bytes, bytes);
        println!("by copy: prepare {prepare:.2?}");
        println!("by copy, freeze                  {}", rate(bytes, freeze));
        println!("by copy, making the file         {}", rate(bytes, made));
        let written = 64 * MIB;
        for bytes in [written, 64 * written] {
            let [_, freeze, _] = updates(&vm, stays, Retrieve::MapOld, bytes, written);
            println!("by copy, 64 MiB in a file of {} MiB: freeze {freeze:.2?}", bytes / MIB);
        }
    }
}
