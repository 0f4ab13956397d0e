//! vCPUs that are threads of this program: where there is no `/dev/kvm`, the guest's steps are done in Rust.
//!
//! No virtual machine, but the same memory, the same serial port, the same doorbell, and a state that has to cross. The
//! registers are those of the step function; see [`ThreadVcpu`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use vm_memory::{Bytes as _, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use super::Entry;
use super::error::MachineError;
use super::shared::Shared;
use crate::devices::{LINE_BYTES, character};
use crate::guest::{Board, LINE_EVERY, Layout, SAMPLE_EVERY, Share, WORD_STRIDE, value};
use crate::state::ThreadVcpu;
use crate::trace::now;

/// Steps of a guest, at most: more than a thread can do while there are processors.
const STEPS_MAX: u64 = u64::MAX >> 1;
/// Steps without a pause.
const BURST: u32 = 256;
/// Between bursts, so that the guest is about as fast as one on a nested host, and leaves room for others.
const PAUSE: Duration = Duration::from_millis(2);

/// One flag for each vCPU: an interrupt is pending.
#[derive(Clone)]
pub(super) struct Bells(Arc<[AtomicBool]>);

/// A vCPU that lies still, or is in its seat.
pub(super) struct Vcpu {
    share: Share,
    bells: Bells,
    registers: ThreadVcpu,
}

impl Bells {
    pub(super) fn new(vcpus: u32) -> Self {
        Self((0..vcpus).map(|_| AtomicBool::new(false)).collect())
    }

    pub(super) fn ring(&self, vcpu: u32) {
        self.set(vcpu, true);
    }

    /// Whether it was rung. It is not any more.
    fn set(&self, vcpu: u32, rung: bool) -> bool {
        self.0.get(vcpu as usize).is_some_and(|bell| bell.swap(rung, Ordering::SeqCst))
    }

    fn is_rung(&self, vcpu: u32) -> bool {
        self.0.get(vcpu as usize).is_some_and(|bell| bell.load(Ordering::SeqCst))
    }
}

impl Vcpu {
    pub(super) fn new(layout: &Layout, vcpu: u32, bells: &Bells) -> Self {
        let share = layout.share(vcpu);
        let registers = ThreadVcpu { left: share.pages, ..ThreadVcpu::default() };
        Self { share, bells: bells.clone(), registers }
    }

    pub(super) fn boot(&mut self) {
        self.registers = ThreadVcpu { left: self.share.pages, ..ThreadVcpu::default() };
    }

    pub(super) fn save(&self) -> ThreadVcpu {
        ThreadVcpu { rung: self.bells.is_rung(self.share.vcpu), ..self.registers }
    }

    pub(super) fn restore(&mut self, state: &ThreadVcpu) -> Result<(), MachineError> {
        let ThreadVcpu { counter, page, word, left, unprinted, rung } = *state;
        let pages = self.share.pages;
        let possible = page < pages
            && counter <= STEPS_MAX
            && word < 4096
            && word.is_multiple_of(8)
            && (1..=pages).contains(&left)
            && unprinted <= LINE_BYTES as u64;
        if !possible {
            return Err(MachineError::Other { what: "a register is one that the step function cannot have" });
        }
        self.registers = *state;
        self.bells.set(self.share.vcpu, rung);
        Ok(())
    }

    pub(super) fn run(&mut self, _entry: Entry, shared: &Shared) -> Result<(), MachineError> {
        shared.entering();
        while !shared.is_over() {
            for _ in 0..BURST {
                self.go_on(shared)?;
            }
            thread::park_timeout(PAUSE);
        }
        Ok(())
    }

    /// An interrupt, a character, or a step.
    fn go_on(&mut self, shared: &Shared) -> Result<(), MachineError> {
        let memory = shared.memory.guest();
        let outside = |error: GuestMemoryError| MachineError::Look(error.into());
        if self.bells.is_rung(self.share.vcpu) {
            self.add(memory, Board::INTERRUPTS).map_err(outside)?;
            self.bells.set(self.share.vcpu, false);
        }
        let ThreadVcpu { counter, unprinted, .. } = self.registers;
        if unprinted == 0 {
            return self.step(memory).map_err(outside);
        }
        let place = LINE_BYTES.saturating_sub(usize::try_from(unprinted).unwrap_or(0));
        self.registers.unprinted -= 1;
        shared.print(self.share.vcpu, character(self.share.vcpu, counter / LINE_EVERY, place))
    }

    /// What the guest's program does, register by register.
    fn step(&mut self, memory: &GuestMemoryMmap) -> Result<(), GuestMemoryError> {
        let Self { share, registers, .. } = self;
        registers.counter += 1;
        registers.page += share.stride;
        if registers.page >= share.pages {
            registers.page -= share.pages;
        }
        registers.left -= 1;
        if registers.left == 0 {
            registers.left = share.pages;
            registers.word = (registers.word + 8 * WORD_STRIDE) & 0xFF8;
        }
        let at = GuestAddress(share.page(registers.page) + registers.word);
        memory.store(value(registers.counter), at, Ordering::Relaxed)?;
        self.put(memory, Board::COUNTER, self.registers.counter)?;
        if self.registers.counter.is_multiple_of(SAMPLE_EVERY) {
            self.look_at_the_clock(memory)?;
        }
        if self.registers.counter.is_multiple_of(LINE_EVERY) {
            self.registers.unprinted = LINE_BYTES as u64;
        }
        Ok(())
    }

    /// As the guest's program, with the host's monotonic clock for a time stamp counter.
    fn look_at_the_clock(&self, memory: &GuestMemoryMmap) -> Result<(), GuestMemoryError> {
        let (before, now) = (self.get(memory, Board::TIME)?, now());
        self.put(memory, Board::TIME, now)?;
        if now < before {
            self.add(memory, Board::BACKWARDS)?;
        }
        let step = now.saturating_sub(before);
        if before != 0 && step > self.get(memory, Board::WIDEST)? {
            self.put(memory, Board::WIDEST, step)?;
        }
        Ok(())
    }

    fn at(&self, offset: u64) -> GuestAddress {
        GuestAddress(Board::of(self.share.vcpu).at + offset)
    }

    fn get(&self, memory: &GuestMemoryMmap, offset: u64) -> Result<u64, GuestMemoryError> {
        memory.load(self.at(offset), Ordering::Relaxed)
    }

    fn put(&self, memory: &GuestMemoryMmap, offset: u64, value: u64) -> Result<(), GuestMemoryError> {
        memory.store(value, self.at(offset), Ordering::Relaxed)
    }

    fn add(&self, memory: &GuestMemoryMmap, offset: u64) -> Result<(), GuestMemoryError> {
        self.put(memory, offset, self.get(memory, offset)? + 1)
    }
}
