//! A line: a connection over a unix socket on which packets and descriptors cross.
//!
//! Packets keep their boundaries (`SOCK_SEQPACKET`). Every wait has a deadline. What arrives is hostile: nothing of it
//! is believed before its packet was checked, and nobody can make this side hold more than a stated number of bytes.

mod listener;
pub(super) mod packet;

use alloc::string::String;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::time::Duration;
use std::io::{IoSlice, IoSliceMut};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

pub use self::listener::Listener;
pub(super) use self::listener::dial;
use self::packet::{BODY, FRONT, Kind, Packet};
use crate::carrier::CarrierError;

/// Descriptors in one packet: `SCM_MAX_FD` of Linux.
pub(super) const BATCH: usize = 253;
/// The longest reason that is listened to.
const REASON: usize = 4096;

/// Why a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The other side said no, and why.
    #[error("refused: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// The other side did not answer in time.
    #[error("the other side did not {awaited} in time")]
    Deadline {
        /// What it was to do.
        awaited: &'static str,
    },
    /// The other side went away.
    #[error("the other side went away; it was to {awaited}")]
    Gone {
        /// What it was to do.
        awaited: &'static str,
    },
    /// The other side belongs to another user.
    #[error("the other side runs as user {uid}, which is neither this one nor root")]
    WrongPeer {
        /// Its user.
        uid: u32,
    },
    /// Descriptors were sent and did not all arrive: `MSG_CTRUNC`. Usually no more can be open here.
    #[error("descriptors were lost on the way: too many may be open here")]
    DescriptorsLost,
    /// What arrived makes no sense.
    #[error("the other side was to {awaited}, and what came makes no sense: {why}")]
    Garbled {
        /// What it was to do.
        awaited: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What is to be sent is longer than the other side will listen to.
    #[error("{len} bytes are more than the {limit} that are listened to")]
    TooLong {
        /// Its length.
        len: usize,
        /// The most there may be.
        limit: usize,
    },
    /// A call on the host failed.
    #[error("{call} failed with errno {errno}")]
    Host {
        /// The call.
        call: &'static str,
        /// The host's error number.
        errno: i32,
    },
}

/// The moment at which waiting ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

/// One end of a line.
#[derive(Debug)]
pub(super) struct Line {
    socket: OwnedFd,
}

/// A packet as it arrived, with the descriptors that came with it.
pub(super) struct Arrived {
    bytes: Vec<u8>,
    pub(super) files: Vec<OwnedFd>,
    awaited: &'static str,
}

impl Deadline {
    /// So long from now. Never, if that is later than clocks can say.
    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// So long from now, if that is sooner.
    pub(super) fn or_after(self, time: Duration) -> Self {
        let Self(soon) = Self::after(time);
        Self(self.0.into_iter().chain(soon).min())
    }

    /// For whoever others can keep busy: a wait for something that is there already does not end by itself.
    ///
    /// # Errors
    ///
    /// [`LineError::Deadline`] if it is over.
    pub(super) fn check(self, awaited: &'static str) -> Result<(), LineError> {
        if self.is_over() { Err(LineError::Deadline { awaited }) } else { Ok(()) }
    }

    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| end <= Instant::now())
    }

    fn left(self) -> Option<Timespec> {
        let left = self.0?.saturating_duration_since(Instant::now());
        Timespec::try_from(left).ok()
    }
}

/// Waits until one of these can be read, and says which can; none when time is up.
pub(super) fn wait_readable<const N: usize>(
    files: [BorrowedFd<'_>; N],
    deadline: Deadline,
) -> Result<[bool; N], LineError> {
    wait(files, PollFlags::IN, deadline)
}

fn wait<const N: usize>(
    files: [BorrowedFd<'_>; N],
    what: PollFlags,
    deadline: Deadline,
) -> Result<[bool; N], LineError> {
    let mut polled = files.map(|file| PollFd::from_borrowed_fd(file, what));
    loop {
        match poll(&mut polled, deadline.left().as_ref()) {
            Ok(_) => return Ok(polled.map(|file| !file.revents().is_empty())),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(host("poll")(errno)),
        }
    }
}

impl Line {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    pub(super) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Whether the other side is still there.
    pub(super) fn is_open(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::RDHUP)];
        matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    /// Sends a message in as many packets as it takes.
    ///
    /// # Errors
    ///
    /// [`LineError`].
    pub(super) fn say(&self, kind: Kind, bytes: &[u8], deadline: Deadline) -> Result<(), LineError> {
        let parts = u32::try_from(bytes.len().div_ceil(BODY).max(1)).unwrap_or(u32::MAX);
        let mut bodies = bytes.chunks(BODY);
        for part in 0..parts {
            let body = bodies.next().unwrap_or_default();
            self.send(&Packet { kind, part, parts, body }, &[], deadline)?;
        }
        Ok(())
    }

    /// Says no. Nobody waits for it to arrive.
    pub(super) fn refuse(&self, reason: &str) {
        let cut = reason.floor_char_boundary(REASON);
        let reason = reason.get(..cut).unwrap_or_default();
        let _nobody_there = self.say(Kind::Refused, reason.as_bytes(), Deadline::after(Duration::ZERO));
    }

    /// Sends one packet and at most [`BATCH`] descriptors.
    ///
    /// # Errors
    ///
    /// [`LineError`].
    pub(super) fn send(
        &self,
        packet: &Packet<'_>,
        files: &[BorrowedFd<'_>],
        deadline: Deadline,
    ) -> Result<(), LineError> {
        const AWAITED: &str = "listen";
        let bytes = packet.encode();
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fits = files.is_empty() || control.push(SendAncillaryMessage::ScmRights(files));
            assert!(fits, "{} descriptors in one packet", files.len());
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut control, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if wait([self.socket.as_fd()], PollFlags::OUT, deadline)? == [false] {
                        return Err(LineError::Deadline { awaited: AWAITED });
                    }
                }
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(self.last_words(AWAITED)),
                Err(errno) => return Err(host("sendmsg")(errno)),
            }
        }
    }

    /// Why the other side went away, if it said so.
    fn last_words(&self, awaited: &'static str) -> LineError {
        // The first look may only bring the news that it left.
        for _ in 0..2 {
            while let Ok(Some(arrived)) = self.take(awaited) {
                if let Err(refused @ LineError::Refused { .. }) = arrived.expect(Kind::Refused) {
                    return refused;
                }
            }
        }
        LineError::Gone { awaited }
    }

    /// Waits for one packet.
    ///
    /// # Errors
    ///
    /// [`LineError`]; of descriptors that did not all arrive, none is kept.
    pub(super) fn next(&self, awaited: &'static str, deadline: Deadline) -> Result<Arrived, LineError> {
        loop {
            if wait_readable([self.socket.as_fd()], deadline)? == [false] {
                return Err(LineError::Deadline { awaited });
            }
            if let Some(arrived) = self.take(awaited)? {
                return Ok(arrived);
            }
        }
    }

    /// Takes a packet that is there; `None` if there is none yet.
    fn take(&self, awaited: &'static str) -> Result<Option<Arrived>, LineError> {
        let mut bytes = alloc::vec![0; FRONT + BODY];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
        let got = match got {
            Ok(got) => got,
            // CONNRESET: the other side left without listening to the end; it is told once, and what it said before
            // comes next.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(host("recvmsg")(errno)),
        };
        let mut files = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                files.extend(rights);
            }
        }
        if got.flags.contains(ReturnFlags::CTRUNC) {
            return Err(LineError::DescriptorsLost);
        }
        if got.bytes == 0 {
            return Err(LineError::Gone { awaited });
        }
        if got.flags.contains(ReturnFlags::TRUNC) {
            return Err(LineError::Garbled { awaited, why: "it is longer than a packet can be" });
        }
        bytes.truncate(got.bytes);
        Ok(Some(Arrived { bytes, files, awaited }))
    }

    /// Waits for a whole message of at most `limit` bytes and this kind, without descriptors.
    ///
    /// # Errors
    ///
    /// [`LineError`]; a refusal in its place is [`LineError::Refused`].
    pub(super) fn hear(
        &self,
        kind: Kind,
        limit: usize,
        awaited: &'static str,
        deadline: Deadline,
    ) -> Result<Vec<u8>, LineError> {
        let garbled = |why| LineError::Garbled { awaited, why };
        let mut message = Vec::new();
        for next in 0u32.. {
            let arrived = self.next(awaited, deadline)?;
            let packet = arrived.expect(kind)?;
            if !arrived.files.is_empty() {
                return Err(garbled("it brought descriptors that nobody asked for"));
            }
            if packet.part != next {
                return Err(garbled("its parts are out of order"));
            }
            if message.len() + packet.body.len() > limit {
                return Err(garbled("it is longer than anybody listens to"));
            }
            message.extend_from_slice(packet.body);
            if packet.part + 1 == packet.parts {
                return Ok(message);
            }
            if packet.body.is_empty() {
                return Err(garbled("a part of it is empty"));
            }
        }
        Err(garbled("it does not end"))
    }
}

impl Arrived {
    /// The packet, if it is of this kind. A refusal is always an error.
    ///
    /// # Errors
    ///
    /// [`LineError::Refused`], [`LineError::Garbled`].
    pub(super) fn expect(&self, kind: Kind) -> Result<Packet<'_>, LineError> {
        let awaited = self.awaited;
        match Packet::decode(&self.bytes) {
            Ok((Packet { kind: Kind::Refused, body, .. }, [])) => {
                let heard = body.get(..REASON).unwrap_or(body);
                Err(LineError::Refused { reason: String::from_utf8_lossy(heard).into_owned() })
            }
            Ok((packet, [])) if packet.kind == kind => Ok(packet),
            Ok((_, [])) => Err(LineError::Garbled { awaited, why: "it is of another kind" }),
            Ok(_) => Err(LineError::Garbled { awaited, why: "something stands behind it" }),
            Err(why) => Err(LineError::Garbled { awaited, why }),
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<LineError> for CarrierError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Refused { reason } => Self::Refused { reason },
            LineError::Deadline { awaited } => Self::Deadline { awaited },
            LineError::Gone { awaited } => Self::Gone { awaited },
            LineError::Host { call, errno } => Self::Host { call, errno },
            other => Self::Garbled { what: alloc::string::ToString::to_string(&other) },
        }
    }
}

/// Names the call that failed.
fn host(call: &'static str) -> impl Fn(Errno) -> LineError + Copy {
    move |errno| LineError::Host { call, errno: errno.raw_os_error() }
}
