//! A program to be updated, in a process of its own: the scenarios about processes tell it what to do.
//!
//! It reads orders from standard input, one a line, and answers each with one line that begins with `ok` or `error`.
//! Its **guest** is a memfd of which the first word counts **ticks**; only who owns the memory may tick. After an exec
//! the program that was started answers in place of the one before: what it does first stands in its arguments.

use std::env;
use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use luo_kho::carrier::Carrier;
use luo_kho::ownership;
use luo_kho::process::{self, Arrival, Exec, ProcessKho, Socket, Terms, WayBack};
use luo_kho::{FrameCount, Kho as _, Memory as _, Offer, Owned, PreservedBox, Record};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a guest that is not told otherwise.
const GUEST: u64 = 1 << 20;
const FRAME: u64 = 4096;

/// What crosses beside the guest.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct State {
    ticks: U64,
    updates: U64,
}

impl Record for State {
    const WHAT: &'static str = "state of the actor";
    const MAGIC: u32 = u32::from_le_bytes(*b"ACTR");
    const VERSION: u16 = 1;
}

/// What the program is at the moment.
#[derive(Default)]
struct Actor {
    memory: Option<(ProcessKho, PreservedBox<State>)>,
    owned: Option<Owned>,
    offer: Option<Offer>,
    guest: Option<File>,
    arrival: Option<Arrival>,
    socket: Option<Socket>,
    exec: Option<Exec>,
    hoard: Vec<File>,
}

type Answer = Result<String, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut actor = Actor::default();
    match process::arrive() {
        Ok(None) => {}
        Ok(Some(arrival)) => {
            let way_back = arrival.way_back().cloned();
            actor.arrival = Some(arrival);
            let first = match &way_back {
                Some(_) => String::from("adopt commit"),
                None => env::var("ACTOR_FIRST").unwrap_or_default(),
            };
            let mut done = Ok(String::new());
            for order in first.split_whitespace() {
                done = done.and_then(|_| actor.obey(&[order]));
            }
            let why = match way_back {
                None => String::from("forth"),
                Some(WayBack::Refused { reason }) => format!("back: refused: {reason}"),
                Some(WayBack::Died) => String::from("back: died"),
                Some(WayBack::Late) => String::from("back: late"),
                Some(other) => format!("back: {other:?}"),
            };
            answer(done.map(|done| format!("arrived {why}; {done}")));
        }
        Err(error) => {
            answer(Err(error.into()));
            return ExitCode::FAILURE;
        }
    }
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let words: Vec<_> = line.split_whitespace().collect();
        answer(actor.obey(&words));
    }
    ExitCode::SUCCESS
}

fn answer(answer: Answer) {
    let line = match answer {
        Ok(text) => format!("ok {text}\n"),
        Err(error) => format!("error {error}\n"),
    };
    let mut out = io::stdout().lock();
    let _nobody_listens = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

fn number(words: &[&str], at: usize) -> Option<u64> {
    words.get(at)?.parse().ok()
}

fn millis(words: &[&str], at: usize) -> Duration {
    number(words, at).map_or(Duration::from_secs(20), Duration::from_millis)
}

impl Actor {
    fn obey(&mut self, words: &[&str]) -> Answer {
        match words.first().copied().unwrap_or_default() {
            "found" => self.found(number(words, 1).unwrap_or(GUEST)),
            "tick" => self.tick(number(words, 1).unwrap_or(1)),
            "look" => self.look(),
            "offer" => {
                let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
                let owned = self.owned.take().ok_or("not the owner")?;
                let offer = ownership::offer(memory, owned).map_err(|kept| kept.error)?;
                self.offer = Some(offer);
                Ok(format!("{}", offer.word()))
            }
            "revoke" => {
                let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
                self.owned = Some(ownership::revoke(memory, self.offer.take().ok_or("no offer")?)?);
                Ok(String::from("revoked"))
            }
            "listen" => {
                let path = words.get(1).ok_or("where?")?;
                let terms = terms(millis(words, 2));
                self.socket = Some(Socket::bind(path)?.with_terms(terms));
                Ok(String::from("listening"))
            }
            "adopt" => self.adopt(),
            "commit" => {
                let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
                self.owned = Some(ownership::commit(memory, self.offer.take().ok_or("no offer")?)?);
                Ok(format!("generation {}", memory.generation()))
            }
            "refuse" => {
                self.arrival.take().ok_or("nothing arrived")?.refuse("unknown version");
                std::process::exit(3)
            }
            "die" => std::process::abort(),
            "hang" => loop {
                std::thread::park();
            },
            "reap" => {
                let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
                Ok(format!("{}", memory.reap_guardian(true)))
            }
            "leak" => {
                let leak = io::stdin().as_fd().try_clone_to_owned()?;
                rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty())?;
                self.hoard.push(File::from(leak));
                Ok(String::from("leaked"))
            }
            "damage" => {
                let (memory, _) = self.memory.as_ref().ok_or("no memory")?;
                let arena = File::from(memory.lend().arena.try_clone_to_owned()?);
                arena.write_all_at(&[0xA5], number(words, 1).unwrap_or(0))?;
                Ok(String::from("damaged"))
            }
            "hoard" => self.hoard(number(words, 1).unwrap_or(0)),
            "state" => {
                let blocks = self.memory.as_ref().map_or(0, |(memory, _)| {
                    rustix::fs::fstat(memory.lend().arena).map_or(0, |stat| stat.st_blocks)
                });
                Ok(format!("{} blocks={blocks}", state()?))
            }
            "retire" => {
                let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
                let owned = self.owned.take().ok_or("not the owner")?;
                ownership::retire(memory, owned).map_err(|kept| kept.error)?;
                Ok(String::from("retired"))
            }
            _ => self.obey_about_carriers(words),
        }
    }

    fn obey_about_carriers(&mut self, words: &[&str]) -> Answer {
        match words.first().copied().unwrap_or_default() {
            "exec" => self.exec(words),
            "prepare" => {
                let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
                carrier(&mut self.socket, &mut self.exec)?.prepare(memory)?;
                Ok(self
                    .exec
                    .as_ref()
                    .and_then(Exec::guardian)
                    .map_or(String::from("0"), |pid| pid.to_string()))
            }
            "cancel" => {
                let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
                carrier(&mut self.socket, &mut self.exec)?.cancel(memory);
                Ok(String::from("cancelled"))
            }
            "hand-over" => self.hand_over(),
            "hand-over-elsewhere" => {
                let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
                let (offer, exec) = (self.offer.ok_or("no offer")?, self.exec.as_mut().ok_or("no exec")?);
                let error = std::thread::scope(|scope| {
                    let elsewhere = scope.spawn(|| exec.hand_over(memory, offer));
                    elsewhere.join().map(Result::err).ok().flatten()
                });
                Err(error.map_or(String::from("departed"), |error| error.to_string()).into())
            }
            "connect" => {
                let path = PathBuf::from(words.get(1).ok_or("where?")?);
                let manifest = words.get(2).copied().unwrap_or("manifest");
                let terms = Terms { call: millis(words, 3), ..terms(millis(words, 3)) };
                self.arrival = Some(process::connect(path, manifest.as_bytes(), terms)?);
                Ok(String::from("connected"))
            }
            other => Err(format!("what is `{other}`?").into()),
        }
    }

    fn found(&mut self, bytes: u64) -> Answer {
        let mut memory = ProcessKho::create(process::DEFAULT_CAPACITY)?;
        self.owned = Some(ownership::found(&mut memory)?);
        let guest = memfd(bytes)?;
        for page in 0..bytes / FRAME {
            guest.write_all_at(&(page * 0x9E37_79B9).to_le_bytes(), page * FRAME + 8)?;
        }
        let frames = FrameCount::new(bytes / FRAME).ok_or("too large")?;
        process::attach(&mut memory, guest.as_fd(), frames)?;
        let state = PreservedBox::new(&mut memory, State { ticks: 0.into(), updates: 0.into() })?;
        memory.publish(Some(state.name().as_root()))?;
        self.memory = Some((memory, state));
        self.guest = Some(guest);
        Ok(String::from("founded"))
    }

    /// Runs the guest: only the owner may.
    fn tick(&mut self, times: u64) -> Answer {
        let _right = self.owned.as_ref().ok_or("not the owner")?;
        let (memory, state) = self.memory.as_mut().ok_or("no memory")?;
        let guest = self.guest.as_ref().ok_or("no guest")?;
        let ticks = ticks(guest)? + times;
        guest.write_all_at(&ticks.to_le_bytes(), 0)?;
        let updates = memory.generation().into();
        state.set(memory, State { ticks: ticks.into(), updates })?;
        Ok(format!("{ticks}"))
    }

    /// Ticks as the guest and as the state say, and a sum over the rest of the guest.
    fn look(&mut self) -> Answer {
        let guest = self.guest.as_ref().ok_or("no guest")?;
        let (_, state) = self.memory.as_ref().ok_or("no memory")?;
        let mut bytes = vec![0; usize::try_from(guest.metadata()?.len())?];
        guest.read_exact_at(&mut bytes, 0)?;
        let sum = luo_kho::checksum::crc32c(bytes.get(8..).unwrap_or_default());
        Ok(format!("{} {} {sum:08x}", ticks(guest)?, state.get().ticks))
    }

    fn exec(&mut self, words: &[&str]) -> Answer {
        let path = match words.get(1).copied() {
            None | Some("self") => env::current_exe()?,
            Some(path) => PathBuf::from(path),
        };
        let first = words.get(2).copied().unwrap_or("adopt,commit").replace(',', " ");
        let environment = env::vars_os().filter(|(name, _)| name != "ACTOR_FIRST");
        let environment = environment.chain([("ACTOR_FIRST".into(), first.into())]);
        let exec = Exec::new(path).with_environment(environment).with_blackout(millis(words, 3));
        self.exec = Some(if words.get(4) == Some(&"unguarded") { exec.without_guardian() } else { exec });
        Ok(String::from("chosen"))
    }

    fn hand_over(&mut self) -> Answer {
        let (memory, _) = self.memory.as_mut().ok_or("no memory")?;
        let offer = self.offer.ok_or("no offer")?;
        match carrier(&mut self.socket, &mut self.exec)?.hand_over(memory, offer) {
            Ok(_departed) => Ok(String::from("departed")),
            Err(error) => {
                let taken = ownership::revoke(memory, offer);
                self.offer = None;
                self.owned = Some(taken.map_err(|lost| format!("{error}; {lost}"))?);
                Err(error.into())
            }
        }
    }

    fn adopt(&mut self) -> Answer {
        let (mut memory, _answer) = self.arrival.take().ok_or("nothing arrived")?.adopt()?;
        let root = memory.root().and_then(|root| luo_kho::Name::new(root.get())).ok_or("no root")?;
        let state = PreservedBox::<State>::restore(&mut memory, root)?;
        let segment = memory.segments().first().copied().ok_or("no guest")?;
        memory.reclaim(segment)?;
        self.guest = Some(File::from(process::attached(&memory, segment)?));
        self.offer = Offer::from_word(memory.word()?);
        self.memory = Some((memory, state));
        Ok(String::from("adopted"))
    }

    /// Opens files until so many more can be opened.
    fn hoard(&mut self, left: u64) -> Answer {
        self.hoard.clear();
        while let Ok(file) = File::open("/dev/null") {
            self.hoard.push(file);
        }
        self.hoard.truncate(self.hoard.len().saturating_sub(usize::try_from(left)?));
        Ok(format!("{}", self.hoard.len()))
    }
}

fn terms(blackout: Duration) -> Terms {
    let long = Duration::from_secs(20);
    Terms { call: long, message: long, warm_up: long, offer: long, blackout }
}

fn carrier<'a>(
    socket: &'a mut Option<Socket>,
    exec: &'a mut Option<Exec>,
) -> Result<&'a mut dyn Carrier<ProcessKho>, &'static str> {
    match (exec, socket) {
        (Some(exec), _) => Ok(exec),
        (None, Some(socket)) => Ok(socket),
        (None, None) => Err("no carrier"),
    }
}

fn ticks(guest: &File) -> io::Result<u64> {
    let mut word = [0; 8];
    guest.read_exact_at(&mut word, 0)?;
    Ok(u64::from_le_bytes(word))
}

fn memfd(bytes: u64) -> Result<File, Box<dyn std::error::Error>> {
    let file = rustix::fs::memfd_create("actor-guest", rustix::fs::MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&file, bytes)?;
    Ok(File::from(file))
}

/// Process, parent, descriptors, those that are not closed on exec, blocked and ignored signals.
fn state() -> Answer {
    let mut files = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        files.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    let (mut open, mut crossing) = (0, 0);
    for file in files {
        let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{file}")) else { continue };
        open += 1;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim(), 8)?;
        if flags & 0o2_000_000 == 0 && file > io::stderr().as_raw_fd() {
            crossing += 1;
        }
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field =
        |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    let (blocked, ignored, parent) = (field("SigBlk:"), field("SigIgn:"), field("PPid:"));
    let pid = std::process::id();
    Ok(format!(
        "pid={pid} parent={parent} open={open} crossing={crossing} blocked={blocked} ignored={ignored}"
    ))
}
