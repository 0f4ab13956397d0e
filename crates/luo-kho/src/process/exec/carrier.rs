//! The carrier.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::time::Duration;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{Access, Mode, OFlags, access, open};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

use super::rules::Departure;
use super::{VARIABLE, VERSION, note};
use crate::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};
use crate::process::door::{self, Guardian, Program, Watch, WordPage};
use crate::process::error::host;
use crate::process::named::Named;
use crate::process::segment::duplicate;
use crate::process::waybill::{Load, Role};
use crate::process::{Lent, OpenError, ProcessKho};
use crate::{Departed, KhoError, Offer};

/// From the offer to the commit, unless the embedder says otherwise: 5 s. Starting a program takes milliseconds.
const BLACKOUT: Duration = Duration::from_secs(5);
/// For the guardian to come up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Replaces this program by another, in the same process.
#[derive(Debug)]
pub struct Exec {
    forth: Launch,
    back: Launch,
    named: Named,
    blackout: Duration,
    guarded: bool,
    ready: Option<Ready>,
}

/// A program to be started.
#[derive(Clone, Debug)]
struct Launch {
    path: PathBuf,
    arguments: Vec<OsString>,
    /// `None`: as this program's is.
    environment: Option<Vec<(OsString, OsString)>>,
}

/// Everything that exec takes.
#[derive(Debug)]
struct Ready {
    program: Program,
    guardian: Option<Guardian>,
    /// Held until exec.
    _bell: OwnedFd,
    _waybill: OwnedFd,
    carried: Vec<i32>,
    /// Of the segments, and of the named descriptors.
    editions: (u64, u64),
    ignored: u64,
}

impl Exec {
    /// Replaces this program by the one at `path`, with its path as its name and no arguments.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let forth = Launch { arguments: [path.clone().into_os_string()].into(), path, environment: None };
        let back = Launch { path: PathBuf::new(), arguments: env::args_os().collect(), environment: None };
        Self { forth, back, named: Named::default(), blackout: BLACKOUT, guarded: true, ready: None }
    }

    /// With these arguments behind the name.
    #[must_use]
    pub fn with_arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.forth.arguments.truncate(1);
        self.forth.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With this environment in place of this program's.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.forth.environment = Some(variables.into_iter().collect());
        self
    }

    /// With these arguments behind the name for the old program, should it have to come back; those with which it was
    /// started, unless this is called. Its environment is what it is when the carrier is prepared.
    #[must_use]
    pub fn with_arguments_back(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.back.arguments.truncate(1);
        self.back.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With so much time from the offer to the commit; 5 s, unless this is called.
    #[must_use]
    pub fn with_blackout(mut self, blackout: Duration) -> Self {
        self.blackout = blackout;
        self
    }

    /// Without a guardian: there is no way back after exec, and the pause grows with the memory that this program maps.
    #[must_use]
    pub fn without_guardian(mut self) -> Self {
        self.guarded = false;
        self
    }

    /// From now on carries a duplicate of this descriptor too, under a name of at most 64 bytes, for the successor's
    /// embedder; in place of what was carried under this name before. If the carrier is prepared it has to be cancelled
    /// and prepared again: until then it does not hand over.
    ///
    /// # Errors
    ///
    /// [`KhoError::BadName`], [`KhoError::Host`].
    pub fn carry(&mut self, name: &str, file: BorrowedFd<'_>) -> Result<(), KhoError> {
        self.named.carry(name, file)
    }

    /// The process number of the guardian, while the carrier is prepared.
    pub fn guardian(&self) -> Option<i32> {
        self.ready.as_ref()?.guardian.as_ref().map(Guardian::pid)
    }

    fn get_ready(&self, kho: &ProcessKho) -> Result<Ready, CarrierError> {
        access(&self.forth.path, Access::EXEC_OK).map_err(host("access"))?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = eventfd(0, flags).map_err(host("eventfd"))?;
        let waybill = note::create()?;
        let Lent { arena, word, segments } = kho.lend();
        let mut loads: Vec<Load<'_>> =
            [(Role::Arena(kho.capacity()), arena), (Role::Word, word), (Role::Bell, bell.as_fd())].into();
        loads.extend(segments.iter().map(|(range, file)| (Role::Segment(*range), *file)));
        loads.extend(self.named.loads());
        let mut carried: Vec<i32> = loads.iter().map(|(_, file)| file.as_raw_fd()).collect();
        carried.push(waybill.as_raw_fd());

        let number = waybill.as_raw_fd();
        let guardian = if self.guarded {
            Some(self.start_guardian(word, bell.as_fd(), waybill.as_fd(), carried.clone())?)
        } else {
            None
        };
        if let Some(guardian) = &guardian {
            loads.push((Role::Guardian, guardian.pidfd()));
            carried.push(guardian.pidfd().as_raw_fd());
        }
        note::fill(waybill.as_fd(), &loads)?;
        let (program, _) =
            self.forth.lay_out(&alloc::format!("{VERSION}:{}:{number}", std::process::id()))?;
        let ignored = door::ignored();
        Ok(Ready {
            program,
            guardian,
            _bell: bell,
            _waybill: waybill,
            carried,
            editions: (kho.edition(), self.named.edition()),
            ignored,
        })
    }

    fn start_guardian(
        &self,
        word: BorrowedFd<'_>,
        bell: BorrowedFd<'_>,
        waybill: BorrowedFd<'_>,
        carried: Vec<i32>,
    ) -> Result<Guardian, CarrierError> {
        // 10 digits are left for a number that nobody knows yet.
        let (program, variable) =
            self.back.lay_out(&alloc::format!("{VERSION}:{:010}:{}", 0, waybill.as_raw_fd()))?;
        let file =
            open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(host("open"))?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
        let word = WordPage::open(duplicate(word)?, "word page").map_err(|error| match error {
            OpenError::Kho(error) => error.into(),
            other => CarrierError::Garbled { what: alloc::string::ToString::to_string(&other) },
        })?;
        let watch = Watch {
            word,
            guarded: pidfd_open(getpid(), PidfdFlags::empty()).map_err(host("pidfd_open"))?,
            bell: duplicate(bell)?,
            timer: timer.map_err(host("timerfd_create"))?,
            blackout: self.blackout,
            waybill: duplicate(waybill)?,
            mishap_at: note::HAPPENED_AT,
            file,
            program,
            pid_at: VARIABLE.len() + 1 + VERSION.len() + 1,
            variable,
            carried,
        };
        Ok(Guardian::start(watch, PATIENCE).map_err(host("clone"))?)
    }
}

impl Launch {
    /// The program as exec takes it, with this value of our variable; also that variable.
    fn lay_out(&self, value: &str) -> Result<(Program, CString), KhoError> {
        let name = OsStr::new(VARIABLE);
        let text = |bytes: &[u8]| {
            CString::new(bytes).map_err(|_| KhoError::Host {
                call: "execve",
                errno: rustix::io::Errno::INVAL.raw_os_error(),
            })
        };
        let arguments: Result<Vec<_>, _> =
            self.arguments.iter().map(|argument| text(argument.as_bytes())).collect();
        let variables = self.environment.clone().unwrap_or_else(|| env::vars_os().collect());
        let ours = text(alloc::format!("{VARIABLE}={value}").as_bytes())?;
        let mut environment = Vec::with_capacity(variables.len() + 1);
        for (key, value) in variables.iter().filter(|(key, _)| key != name) {
            environment.push(text(&[key.as_bytes(), b"=", value.as_bytes()].concat())?);
        }
        environment.push(ours.clone());
        Ok((Program::new(text(self.path.as_os_str().as_bytes())?, arguments?, environment), ours))
    }
}

impl Carrier<ProcessKho> for Exec {
    fn name(&self) -> &'static str {
        "exec"
    }

    /// Everything that is a descriptor crosses, except those that are bound to the address space that made them.
    fn conveys(&self, kind: DescriptorKind) -> Conveyance {
        crate::process::conveys(kind)
    }

    fn prepare(&mut self, kho: &mut ProcessKho) -> Result<(), CarrierError> {
        // One that watched over the last update has nothing left to do; it must not be mistaken for the next.
        kho.reap_guardian(true);
        self.ready = Some(self.get_ready(kho)?);
        Ok(())
    }

    fn cancel(&mut self, _kho: &mut ProcessKho) {
        self.ready = None;
    }

    /// Returns only if it failed.
    fn hand_over(&mut self, kho: &mut ProcessKho, _offer: Offer) -> Result<Departed, CarrierError> {
        let Some(ready) = &self.ready else { return Err(CarrierError::NotPrepared) };
        if ready.guardian.as_ref().is_some_and(|guardian| !guardian.is_alive()) {
            return Err(CarrierError::Unguarded);
        }
        if (kho.edition(), self.named.edition()) != ready.editions {
            return Err(CarrierError::CargoChanged);
        }
        let departure = Departure::begin(&ready.carried, ready.ignored).map_err(host("close_range"))?;
        let why = ready.program.exec();
        drop(departure);
        Err(CarrierError::Host { call: "execve", errno: why.raw_os_error() })
    }
}
