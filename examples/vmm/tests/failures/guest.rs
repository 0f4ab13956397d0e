//! A guest in a VMM of its own, as seen from outside: asked through its control socket, and looked at through `/proc`.
//!
//! Whoever has to do with a guest has its folder on its command line. So the processes of one test are told from those
//! of another, and all of them are found, whoever started them.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use luo_kho::process::LineError;
use luo_kho::process::control::ask;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, waitpid,
};
use tempfile::TempDir;

use crate::backings::Lent;

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks.
const GLANCE: Duration = Duration::from_millis(2);
/// Steps between two lines of the guest.
const LINE_EVERY: u64 = 2048;

/// Ways across.
pub(crate) const SOCKET: &str = "socket";
/// In place.
pub(crate) const EXEC: &str = "exec";

/// Bytes of memory.
pub(crate) const MEMORY: u64 = 16 << 20;

/// What a VMM answers.
#[derive(Debug)]
pub(crate) struct Reply(BTreeMap<String, String>);

/// See the room's head.
pub(crate) struct Guest {
    home: TempDir,
    first: Child,
    /// Steps at the last look.
    steps: u64,
    /// Who had it at the last look.
    pid: u64,
    /// Handovers that succeeded, those back to the old program among them.
    generation: u64,
    // Given back when it is gone.
    _lent: Option<Lent>,
}

/// Why no guest of KVM's can run here.
pub(crate) fn no_kvm() -> Option<String> {
    luo_guestmemfd::Vm::create().err().map(|error| error.to_string())
}

/// What executes guests here. Says so if that is no virtual machine.
fn kind() -> &'static str {
    match no_kvm() {
        None => "kvm",
        Some(why) => {
            eprintln!("no KVM guest can run here: done with --guest thread: {why}");
            "thread"
        }
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("no {key}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap()
    }
}

impl Guest {
    /// Of one vCPU, by KVM where there is one.
    pub(crate) fn boot() -> Self {
        Self::boot_with(&["--guest", kind()], None)
    }

    /// With these options besides, in huge pages that were lent for it.
    pub(crate) fn boot_with(options: &[&str], lent: Option<Lent>) -> Self {
        // Whoever loses its parent becomes a child of this process, so that its number stays its own until it is
        // reaped.
        set_child_subreaper(Some(getpid())).unwrap();
        let home = tempfile::Builder::new().prefix("luo-vmm-test-").tempdir().unwrap();
        let errors = File::create(home.path().join("errors")).unwrap();
        let first = Command::new(env!("CARGO_BIN_EXE_luo-vmm"))
            .arg("run")
            .arg("--dir")
            .arg(home.path())
            .arg(format!("--memory={MEMORY}"))
            .arg("--vcpus=1")
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut guest = Self { home, first, steps: 0, pid: 0, generation: 0, _lent: lent };
        guest.wait_for("boot", |guest| guest.try_ask(&["ask", "status"]).is_ok());
        guest.goes_on();
        guest
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn request(&self, words: &[&str]) -> String {
        let folder = self.home.path().display();
        let (command, rest) = words.split_first().unwrap();
        [&[*command, &format!("--dir={folder}")], rest].concat().join("\t")
    }

    fn try_ask(&self, words: &[&str]) -> Result<Reply, LineError> {
        try_ask(&self.path("control"), &self.request(words))
    }

    #[track_caller]
    pub(crate) fn ask(&self, words: &[&str]) -> Reply {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Asks for an update, without waiting for the answer.
    pub(crate) fn begin_update(
        &self,
        carrier: &str,
        options: &[&str],
    ) -> JoinHandle<Result<Reply, LineError>> {
        let carrier = format!("--carrier={carrier}");
        let request = self.request(&[&["update", &carrier, "--hash"], options].concat());
        let control = self.path("control");
        thread::spawn(move || try_ask(&control, &request))
    }

    /// Updates, and looks at nothing but the answer.
    #[track_caller]
    pub(crate) fn update_quickly(&mut self, carrier: &str) {
        let reply = self.ask(&["update", &format!("--carrier={carrier}")]);
        assert!(!reply.0.contains_key("error"), "{reply:?}");
        self.generation += 1;
        self.pid = reply.number("pid");
    }

    /// Who answered last.
    pub(crate) const fn pid(&self) -> u64 {
        self.pid
    }

    /// Asks for an update that fails; what it said. The guest went on before it was answered.
    #[track_caller]
    pub(crate) fn update_fails(&mut self, carrier: &str, options: &[&str]) -> String {
        let reply = self.begin_update(carrier, options).join().unwrap().unwrap();
        self.came_back(&reply)
    }

    /// After an update that failed: nothing was changed while the guest lay still, it goes on, and the next update
    /// succeeds.
    #[track_caller]
    pub(crate) fn came_back(&mut self, reply: &Reply) -> String {
        let error = reply.text("error").to_owned();
        // A guardian brings the old program back in a process of its own, which takes over as any successor does.
        self.generation += u64::from(reply.number("pid") != self.pid);
        self.hashes_agree();
        self.goes_on();
        self.update_succeeds(SOCKET);
        self.update_succeeds(EXEC);
        error
    }

    /// Updates, and looks at everything.
    #[track_caller]
    pub(crate) fn update_succeeds(&mut self, carrier: &str) {
        let reply = self.begin_update(carrier, &[]).join().unwrap().unwrap();
        self.crossed(&reply);
    }

    /// After an update that succeeded.
    #[track_caller]
    pub(crate) fn crossed(&mut self, reply: &Reply) {
        assert!(!reply.0.contains_key("error"), "{reply:?}");
        self.generation += 1;
        self.hashes_agree();
        self.goes_on();
    }

    /// All hashes that were taken in one update are of the same bytes: those that the old program froze.
    #[track_caller]
    fn hashes_agree(&self) {
        let text = std::fs::read_to_string(self.path("hashes")).unwrap_or_default();
        let hashes: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "guest memory was changed: {text}");
        let _none = std::fs::remove_file(self.path("hashes"));
    }

    /// Exactly one process has the guest, which runs; all of its memory is what its counter says; no line of its serial
    /// port is missing, and none is there twice.
    #[track_caller]
    pub(crate) fn goes_on(&mut self) {
        self.wait_for("leave the guest to one process", |guest| guest.processes().len() == 1);
        let status = self.ask(&["ask", "status"]);
        assert_eq!(status.text("running"), "true");
        assert_eq!([status.number("pid")], self.processes()[..], "somebody else answers");
        assert_eq!(status.number("generation"), self.generation, "a handover too many, or too few");
        self.pid = status.number("pid");
        let before = self.steps;
        self.wait_for("go on", |guest| guest.ask(&["ask", "status"]).number("counter.0") > before);
        let seen = self.ask(&["ask", "verify"]);
        assert_eq!(seen.text("ok"), "true", "{seen:?}");
        assert_eq!(seen.number("compared"), MEMORY);
        assert!(seen.number("counter.0") > before, "steps were lost: {before}, then {seen:?}");
        self.steps = seen.number("counter.0");
        let serial = std::fs::read_to_string(self.path("serial")).unwrap();
        for (number, line) in (1u64..).zip(serial.lines()) {
            assert_eq!(line, format!("0:{number:08x}"));
        }
        let due = usize::try_from(self.steps / LINE_EVERY).unwrap();
        assert!(serial.lines().count() + 1 >= due, "lines are missing after {due}");
    }

    /// Those that have this guest's folder on their command line, and live.
    pub(crate) fn processes(&self) -> Vec<u64> {
        let folder = self.home.path().to_str().unwrap().to_owned();
        let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let number: u64 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(format!("/proc/{number}/cmdline")).ok()?;
            String::from_utf8_lossy(&line).contains(&folder).then_some(number)
        });
        numbers.filter(|number| !matches!(state(*number), None | Some('Z' | 'X'))).collect()
    }

    /// The process that was started by the test.
    pub(crate) fn first(&self) -> u64 {
        self.first.id().into()
    }

    /// The process that watches over an update by exec.
    pub(crate) fn guardian(&self) -> Option<u64> {
        let named = |number: &u64| {
            std::fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|name| name == "luo-guardian\n")
        };
        self.processes().into_iter().find(named)
    }

    /// Waits until the update that was begun last is marked so: 4 is frozen, 5 is adopted.
    #[track_caller]
    pub(crate) fn wait_for_mark(&self, mark: u64) {
        let trace = File::open(self.path("trace")).unwrap();
        let word = |nth: u64| {
            let mut bytes = [0; 8];
            trace.read_exact_at(&mut bytes, 8 * nth).unwrap();
            u64::from_le_bytes(bytes)
        };
        self.wait_for("get so far", |_| word(16 * word(0) + mark) != 0);
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, mut there: impl FnMut(&Self) -> bool) {
        let since = Instant::now();
        while !there(self) {
            assert!(since.elapsed() < PATIENCE, "it does not {what}: {:?}", self.processes());
            thread::sleep(GLANCE);
        }
    }
}

fn try_ask(control: &std::path::Path, request: &str) -> Result<Reply, LineError> {
    let reply = ask(control, request.as_bytes(), PATIENCE)?;
    let text = String::from_utf8(reply).unwrap();
    let line = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(Reply(text.lines().filter_map(line).collect()))
}

/// The state of a process, as `ps` names it.
pub(crate) fn state(number: u64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Sends a signal to a process of a guest.
pub(crate) fn signal(number: u64, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(number).unwrap()).unwrap();
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    pidfd_send_signal(pidfd, signal).unwrap();
}

impl Drop for Guest {
    fn drop(&mut self) {
        if thread::panicking() {
            let errors = std::fs::read_to_string(self.path("errors")).unwrap_or_default();
            eprintln!("its programs said:\n{errors}");
        }
        // One that is killed may be brought back by its guardian.
        while let Some(number) = self.processes().pop() {
            let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
            if let Some(pidfd) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
                let _gone_already = pidfd_send_signal(pidfd, Signal::KILL);
            }
            thread::sleep(GLANCE);
            let _somebody_elses = waitpid(pid, WaitOptions::NOHANG);
        }
        let _reaped_already = self.first.wait();
    }
}
