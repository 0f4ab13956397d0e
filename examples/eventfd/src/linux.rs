//! Eventfds of Linux. All that can be asked of one is in `/proc/self/fdinfo` (proc(5)), where asking takes nothing from
//! it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use std::fs;

use luo_core::Identity;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, FdFlags, fcntl_getfd, write};
use zerocopy::IntoBytes as _;

use crate::{HostError, Port, Sort, State};

/// An eventfd. Clones are the same descriptor.
#[derive(Clone, Debug)]
pub struct Eventfd(Arc<OwnedFd>);

/// This system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

impl Eventfd {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn create(state: State) -> Result<Self, HostError> {
        let State { count, semaphore, nonblock, close_on_exec } = state;
        let mut flags = EventfdFlags::empty();
        flags.set(EventfdFlags::SEMAPHORE, semaphore);
        flags.set(EventfdFlags::NONBLOCK, nonblock);
        flags.set(EventfdFlags::CLOEXEC, close_on_exec);
        let file = eventfd(0, flags).map_err(failed("eventfd"))?;
        // The first count has 32 bits only. The counter is 0, so that no write has to wait.
        write(&file, count.as_bytes()).map_err(failed("write"))?;
        Ok(Self(Arc::new(file)))
    }

    /// A field of its fdinfo.
    fn field(&self, name: &str) -> Result<Option<String>, HostError> {
        let path = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        let text = fs::read_to_string(path).map_err(|error| HostError {
            call: "read fdinfo",
            errno: error.raw_os_error().unwrap_or_default(),
        })?;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(value.map(|value| value.trim().into()))
    }
}

impl From<OwnedFd> for Eventfd {
    fn from(file: OwnedFd) -> Self {
        Self(Arc::new(file))
    }
}

impl AsFd for Eventfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn failed(call: &'static str) -> impl Fn(Errno) -> HostError {
    move |errno| HostError { call, errno: errno.raw_os_error() }
}

impl Port for Linux {
    type File = Eventfd;

    /// The kernel numbers eventfds. Where it does not tell the number, each descriptor is a file of its own.
    fn identity(&self, file: &Eventfd) -> Identity {
        let number = file.field("eventfd-id").ok().flatten().and_then(|id| id.parse().ok());
        Identity(number.unwrap_or_else(|| (1 << 64) + u128::from(file.0.as_raw_fd().unsigned_abs())))
    }

    fn sort(&self, file: &Eventfd) -> Result<Sort, HostError> {
        if file.field("eventfd-count")?.is_none() {
            return Ok(Sort::Other);
        }
        if file.field("eventfd-semaphore")?.is_none() {
            let reason = "this kernel does not tell whether it is a semaphore".into();
            return Ok(Sort::Unfit { reason });
        }
        Ok(Sort::Ours)
    }

    fn look(&self, file: &Eventfd) -> Result<State, HostError> {
        let odd = HostError { call: "parse fdinfo", errno: Errno::INVAL.raw_os_error() };
        let count = file.field("eventfd-count")?.ok_or(odd)?;
        let status = fcntl_getfl(file).map_err(failed("fcntl(F_GETFL)"))?;
        let descriptor = fcntl_getfd(file).map_err(failed("fcntl(F_GETFD)"))?;
        Ok(State {
            count: u64::from_str_radix(&count, 16).map_err(|_| odd)?,
            semaphore: file.field("eventfd-semaphore")?.ok_or(odd)? == "1",
            nonblock: status.contains(OFlags::NONBLOCK),
            close_on_exec: descriptor.contains(FdFlags::CLOEXEC),
        })
    }

    fn make(&self, state: State) -> Result<Eventfd, HostError> {
        Eventfd::create(state)
    }
}
