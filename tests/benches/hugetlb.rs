//! What copying a file of huge pages costs, beside a plain copy of as many bytes in the same run; how much memory it
//! takes at most; and what holes cost.
//!
//! ```sh
//! cargo xtask bench hugetlb [MiB]
//! ```
#![expect(clippy::print_stdout, reason = "it is a table")]

#[cfg(target_os = "linux")]
fn main() {
    real::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: huge pages are measured on Linux");
}

#[cfg(target_os = "linux")]
mod real {
    use std::fs;
    use std::hint::black_box;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use luo_core::Irrevocable;
    use luo_hugetlb::{Direction, FreeTo, HugetlbFile, HugetlbFiles, Linux, PageSize};
    use luo_tests::hugetlb::{Borrowed, Guest, PAGE, Way, journey, runs};
    use luo_tests::journey::{Cost, Stations};

    const TWO: PageSize = PageSize::MIB_2;
    const RUNS: usize = 5;
    const MIB: u64 = 1 << 20;

    /// Ordinary and huge memory in use, in bytes: what is shared, and what pools have.
    fn in_use(pages: &Borrowed) -> (u64, u64) {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let shared = text
            .lines()
            .find_map(|line| line.strip_prefix("Shmem:")?.strip_suffix(" kB")?.trim().parse().ok());
        let pool = pages.pool().map_or(0, |pool| pool.total() - pool.unreserved());
        (shared.unwrap_or(0u64) << 10, pool * PAGE)
    }

    /// Memory that is not free for others: all that pools have, used or not.
    fn withheld(pages: &Borrowed) -> u64 {
        in_use(pages).0 + pages.pool().map_or(0, |pool| pool.total()) * PAGE
    }

    fn rate(bytes: u64, time: Duration) -> String {
        let mib = f64::from(u32::try_from(bytes / MIB).unwrap_or(u32::MAX));
        let per_second = mib / 1024.0 / time.as_secs_f64();
        format!("{:8.2?} ms  {per_second:6.2} GiB/s", time.as_secs_f64() * 1e3)
    }

    fn median(mut times: Vec<Duration>) -> Duration {
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Memory that is there already, to memory that is there already.
    fn plain_copy(bytes: u64) -> Duration {
        let len = usize::try_from(bytes).unwrap_or_default();
        let (from, mut to) = (vec![1u8; len], vec![2u8; len]);
        median((0..RUNS).map(|_| timed(|| black_box(&mut to).copy_from_slice(black_box(&from)))).collect())
    }

    fn timed(act: impl FnOnce()) -> Duration {
        let clock = Instant::now();
        act();
        clock.elapsed()
    }

    fn handler(freeing: Option<FreeTo>) -> HugetlbFiles<Linux> {
        let handler = HugetlbFiles::new(Linux::new());
        freeing.map_or(HugetlbFiles::new(Linux::new()), |to| handler.freeing(to, Irrevocable::knowingly()))
    }

    /// One update; also how long the successor took to make the file, from its first page to its last.
    fn crossed(guest: &Guest, way: Way, freeing: Option<FreeTo>) -> (HugetlbFile, Cost, Duration) {
        let making: Arc<Mutex<Option<(Instant, Instant)>>> = Arc::default();
        let seen = Arc::clone(&making);
        let journey = journey(way, move || {
            let making = Arc::clone(&seen);
            handler(freeing).on_progress(move |progress| {
                if progress.direction == Direction::Making
                    && let Ok(mut making) = making.lock()
                {
                    let now = Instant::now();
                    *making = Some(making.map_or((now, now), |(first, _)| (first, now)));
                }
            })
        });
        let came = journey.cross(std::slice::from_ref(&guest.0), Stations::default()).expect("there is room");
        let made =
            making.lock().ok().and_then(|making| *making).map_or(Duration::ZERO, |(from, to)| to - from);
        (came.files.into_iter().next().expect("one file"), came.cost, made)
    }

    /// The most that was withheld at any page, beyond what was before.
    fn peak(pages: u64, freeing: Option<FreeTo>, spare: u64) -> Result<u64, String> {
        let borrowed = Arc::new(Borrowed::fetch(TWO, pages + spare)?);
        let guest = Guest::filled(pages, &(0..pages).collect::<Vec<_>>());
        let (before, most) = (withheld(&borrowed), Arc::new(Mutex::new(0)));
        let (seen, pool) = (Arc::clone(&most), Arc::clone(&borrowed));
        let journey = journey(Way::Copy, move || {
            let (most, pool) = (Arc::clone(&seen), Arc::clone(&pool));
            handler(freeing).on_progress(move |progress| {
                if progress.direction == Direction::Saving
                    && let Ok(mut most) = most.lock()
                {
                    *most = withheld(&pool).max(*most);
                }
            })
        });
        let mut frozen = 0;
        let stations = Stations { frozen: Box::new(|| frozen = withheld(&borrowed)), ..Stations::default() };
        // Whether the successor finds room is another matter: what freeze takes is asked here.
        let came = journey.cross(std::slice::from_ref(&guest.0), stations);
        drop((came, guest));
        let most = most.lock().map_or(0, |most| *most).max(frozen);
        Ok(most.saturating_sub(before))
    }

    pub(super) fn main() {
        let mib: u64 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(512);
        let pages = mib * MIB / PAGE;
        if let Err(why) = measured(pages) {
            println!("SKIPPED: {why}");
        }
    }

    fn measured(pages: u64) -> Result<(), String> {
        let bytes = pages * PAGE;
        let all: Vec<u64> = (0..pages).collect();
        println!("{} MiB in pages of {TWO}, median of {RUNS}", bytes / MIB);
        println!("plain copy                   {}", rate(bytes, plain_copy(bytes)));
        {
            let _borrowed = Borrowed::fetch(TWO, 2 * pages)?;
            let (mut freeze, mut make, mut arena, mut prepare) = (vec![], vec![], 0, vec![]);
            for _ in 0..RUNS {
                let guest = Guest::filled(pages, &all);
                let (file, cost, made) = crossed(&guest, Way::Copy, None);
                assert_eq!(runs(&file).len(), 1);
                freeze.push(cost.freeze);
                make.push(made);
                prepare.push(cost.prepare);
                arena = cost.arena;
            }
            println!("by copy, prepare             {:8.2?}", median(prepare));
            println!("by copy, freeze              {}", rate(bytes, median(freeze)));
            println!("by copy, making the file     {}", rate(bytes, median(make)));
            println!("by copy, preserved memory    {} KiB beyond the contents", (arena - bytes) >> 10);
        }
        {
            let _borrowed = Borrowed::fetch(TWO, pages)?;
            let (mut freeze, mut make) = (vec![], vec![]);
            for _ in 0..RUNS {
                let guest = Guest::filled(pages, &all);
                let (file, cost, made) = crossed(&guest, Way::Copy, Some(FreeTo::Pool));
                drop(file);
                freeze.push(cost.freeze);
                make.push(made);
            }
            println!("freeing, freeze              {}", rate(bytes, median(freeze)));
            println!("freeing, making the file     {}", rate(bytes, median(make)));
        }
        for (name, freeing) in [
            ("by copy", None),
            ("freeing to the pool", Some(FreeTo::Pool)),
            ("freeing to common memory", Some(FreeTo::CommonMemory)),
        ] {
            let extra = peak(pages, freeing, 0)?;
            println!("most extra memory until it is frozen, {name}: {} KiB", extra >> 10);
        }
        holes()
    }

    /// 64 pages, alone and in a file of 64 GiB.
    fn holes() -> Result<(), String> {
        let _borrowed = Borrowed::fetch(TWO, 128)?;
        for spread in [1, 512] {
            let populated: Vec<u64> = (0..64).map(|nth| nth * spread).collect();
            let (mut freeze, mut arena) = (vec![], 0);
            for _ in 0..RUNS {
                let guest = Guest::filled(64 * spread, &populated);
                let (_file, cost, _) = crossed(&guest, Way::Copy, None);
                freeze.push(cost.freeze);
                arena = cost.arena;
            }
            println!(
                "64 pages in a file of {} MiB: freeze {:.2?}, preserved memory {} MiB",
                64 * spread * PAGE / MIB,
                median(freeze),
                arena / MIB
            );
        }
        Ok(())
    }
}
