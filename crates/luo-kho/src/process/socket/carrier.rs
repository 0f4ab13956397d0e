//! The predecessor's end: the carrier.

use alloc::vec::Vec;
use core::time::Duration;
use std::path::Path;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{BUSY, MANIFEST};
use crate::carrier::{Carrier, CarrierError, Conveyance, DescriptorKind};
use crate::process::error::host;
use crate::process::line::packet::{Kind, Packet};
use crate::process::line::{Deadline, Line, LineError, Listener, wait_readable};
use crate::process::named::Named;
use crate::process::waybill::{self, Load, Role};
use crate::process::{Lent, ProcessKho, Terms};
use crate::{Departed, KhoError, Offer};

/// How often the word is looked at without being told: the successor makes itself heard when the guest runs again, not
/// before.
const GLANCE: Duration = Duration::from_millis(1);

/// Takes the memory to a successor that was started beforehand. One successor at a time; others are turned away.
#[derive(Debug)]
pub struct Socket {
    listener: Listener,
    terms: Terms,
    named: Named,
    successor: Option<Successor>,
    warm: Option<Warm>,
}

/// Who called.
#[derive(Debug)]
struct Successor {
    line: Line,
    manifest: Vec<u8>,
}

/// What a successor that is warmed up was told.
#[derive(Debug)]
struct Warm {
    bell: OwnedFd,
    /// Of the segments, and of the named descriptors.
    editions: (u64, u64),
}

impl Socket {
    /// Listens at `path`, for programs of the same user and of root.
    ///
    /// # Errors
    ///
    /// Those of [`Listener::bind`].
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, LineError> {
        Ok(Self::new(Listener::bind(path)?))
    }

    /// Waits for successors at this listener.
    pub fn new(listener: Listener) -> Self {
        Self { listener, terms: Terms::default(), named: Named::default(), successor: None, warm: None }
    }

    /// Waits as long as these terms say.
    #[must_use]
    pub fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// The listener.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Gives the listener back. A successor that is being served is told so.
    pub fn into_listener(mut self) -> Listener {
        self.turn_away("the predecessor does not hand over any more");
        self.listener
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

    /// Waits for a successor, unless one is being served, and gives its manifest. Whoever may not call, or does not
    /// introduce itself properly, is turned away, and the wait goes on.
    ///
    /// # Errors
    ///
    /// [`LineError::Deadline`], [`LineError::Host`].
    pub fn await_successor(&mut self) -> Result<&[u8], LineError> {
        if self.successor.is_none() {
            let deadline = Deadline::after(self.terms.call);
            self.successor = Some(self.next_successor(deadline)?);
        }
        Ok(self.manifest().unwrap_or_default())
    }

    fn next_successor(&self, deadline: Deadline) -> Result<Successor, LineError> {
        const AWAITED: &str = "introduce itself";
        loop {
            let line = self.listener.accept("call", deadline)?;
            let heard = line.hear(Kind::Hello, MANIFEST, AWAITED, Deadline::after(self.terms.message));
            match heard {
                Ok(manifest) if line.is_open() => return Ok(Successor { line, manifest }),
                // It called long ago, and did not wait for an answer.
                Ok(_) => {}
                Err(error) => line.refuse(&alloc::string::ToString::to_string(&error)),
            }
        }
    }

    /// The manifest of the successor that is being served.
    pub fn manifest(&self) -> Option<&[u8]> {
        self.successor.as_ref().map(|successor| &*successor.manifest)
    }

    /// Says no to the successor that is being served, if there is one.
    pub fn turn_away(&mut self, reason: &str) {
        self.warm = None;
        if let Some(successor) = self.successor.take() {
            successor.line.refuse(reason);
        }
    }

    /// Sends everything, and waits until the successor is ready.
    fn warm_up(&self, line: &Line, kho: &ProcessKho) -> Result<Warm, CarrierError> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = eventfd(0, flags).map_err(host("eventfd"))?;
        let Lent { arena, word, segments } = kho.lend();
        let mut loads: Vec<Load<'_>> =
            [(Role::Arena(kho.capacity()), arena), (Role::Word, word), (Role::Bell, bell.as_fd())].into();
        loads.extend(segments.iter().map(|(range, file)| (Role::Segment(*range), *file)));
        loads.extend(self.named.loads());
        let parts = waybill::parts(loads.len());
        for (part, packet) in (0..).zip(waybill::packets(&loads)) {
            let (body, batch) = packet.map_err(host("fstat"))?;
            let files: Vec<_> = batch.iter().map(|(_, file)| *file).collect();
            let packet = Packet { kind: Kind::Cargo, part, parts, body: &body };
            line.send(&packet, &files, Deadline::after(self.terms.message))?;
        }
        self.hear_ready(line)?;
        Ok(Warm { bell, editions: (kho.edition(), self.named.edition()) })
    }

    /// Waits for the successor, and turns others away meanwhile.
    fn hear_ready(&self, line: &Line) -> Result<(), LineError> {
        const AWAITED: &str = "become ready";
        let deadline = Deadline::after(self.terms.warm_up);
        loop {
            deadline.check(AWAITED)?;
            match wait_readable([line.as_fd(), self.listener.as_fd()], deadline)? {
                [true, _] => return line.hear(Kind::Ready, 0, AWAITED, deadline).map(drop),
                [false, true] => self.listener.turn_away(BUSY)?,
                [false, false] => return Err(LineError::Deadline { awaited: AWAITED }),
            }
        }
    }

    /// Makes the offer known, and waits until somebody moves the word.
    fn see_off(&self, kho: &ProcessKho, offer: Offer) -> Result<Departed, CarrierError> {
        const AWAITED: &str = "commit";
        let gone = CarrierError::Gone { awaited: AWAITED };
        let (Some(successor), Some(warm)) = (&self.successor, &self.warm) else {
            return Err(CarrierError::NotPrepared);
        };
        if (kho.edition(), self.named.edition()) != warm.editions {
            return Err(CarrierError::CargoChanged);
        }
        let line = &successor.line;
        let deadline = Deadline::after(self.terms.blackout);
        let word = offer.word().to_bits().to_le_bytes();
        let mut told = line.say(Kind::Offered, &word, deadline);
        let mut bell = warm.bell.as_fd();
        while told.is_ok() {
            let [rung, spoken] = wait_readable([bell, line.as_fd()], deadline.or_after(GLANCE))?;
            if let Some(departed) = Departed::witness(kho, offer)? {
                return Ok(departed);
            }
            if rung {
                // It rang, and the word has not moved: it was not the successor. It does not stop ringing.
                bell = line.as_fd();
            }
            if spoken {
                // All that it can have to say is no.
                told = line.hear(Kind::Refused, 0, AWAITED, deadline).map(drop);
            } else if deadline.is_over() {
                told = Err(LineError::Deadline { awaited: AWAITED });
            }
        }
        // Whatever was said: the word decides.
        match (Departed::witness(kho, offer)?, told) {
            (Some(departed), _) => Ok(departed),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(())) => Err(gone),
        }
    }
}

impl Carrier<ProcessKho> for Socket {
    fn name(&self) -> &'static str {
        "socket"
    }

    /// Everything that is a descriptor crosses, except those that are bound to the address space that made them.
    fn conveys(&self, kind: DescriptorKind) -> Conveyance {
        crate::process::conveys(kind)
    }

    fn prepare(&mut self, kho: &mut ProcessKho) -> Result<(), CarrierError> {
        self.await_successor()?;
        let Some(successor) = &self.successor else {
            return Err(CarrierError::Gone { awaited: "introduce itself" });
        };
        match self.warm_up(&successor.line, kho) {
            Ok(warm) => {
                self.warm = Some(warm);
                Ok(())
            }
            Err(error) => {
                self.turn_away(&alloc::string::ToString::to_string(&error));
                Err(error)
            }
        }
    }

    fn cancel(&mut self, _kho: &mut ProcessKho) {
        self.turn_away("the predecessor called the update off");
    }

    fn hand_over(&mut self, kho: &mut ProcessKho, offer: Offer) -> Result<Departed, CarrierError> {
        let departed = self.see_off(kho, offer)?;
        (self.successor, self.warm) = (None, None);
        Ok(departed)
    }
}
