//! The program: what a vCPU executes, and the registers it starts with.
//!
//! Plain integer instructions, because some hosts are guests themselves and emulate. Registers that never change:
//!
//! | register | holds |
//! |---|---|
//! | `rbx` | the board |
//! | `rsi`, `rdi` | bytes between two pages of the share, and where it begins |
//! | `rbp`, `rcx` | where the low region ends, and the length of the gap behind it (`rcx` is borrowed now and then) |
//! | `r9` | where the local APIC is told that an interrupt was handled |
//! | `r11`, `r12`, `r13` | stride and pages of the share; the factor of the values |
//!
//! Those that do: `r8` the counter, `r10` the page, `r14` the word (in bytes), `r15` steps left in the lap. `rax` and
//! `rdx` are for passing use.

use iced_x86::IcedError;
use iced_x86::code_asm::{AsmMemoryOperand, CodeAssembler, dword_ptr, qword_ptr};
use iced_x86::code_asm::{al, cl, dx, eax, ecx, edx, r8, r8d, r9, r10, r11, r12, r13, r14, r15};
use iced_x86::code_asm::{rax, rbp, rbx, rcx, rdi, rdx, rsi};

use super::layout::{Board, CODE, Layout};
use super::pattern::{FACTOR, LINE_EVERY, LINE_SHIFT, SAMPLE_EVERY, WORD_STRIDE};

/// The serial port.
pub(crate) const PORT: u16 = 0x3F8;
/// Hexadecimal digits of a line's number.
pub(crate) const LINE_DIGITS: u32 = 8;
/// End of interrupt, in the local APIC.
const EOI: u64 = 0xFEE0_00B0;

/// The program could not be assembled.
#[derive(Debug, thiserror::Error)]
#[error("the guest's program cannot be assembled: {0}")]
pub(crate) struct AssembleError(#[from] IcedError);

/// The general registers of a vCPU, as the program uses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    pub(crate) rax: u64,
    pub(crate) rbx: u64,
    pub(crate) rcx: u64,
    pub(crate) rdx: u64,
    pub(crate) rsi: u64,
    pub(crate) rdi: u64,
    pub(crate) rsp: u64,
    pub(crate) rbp: u64,
    pub(crate) r8: u64,
    pub(crate) r9: u64,
    pub(crate) r10: u64,
    pub(crate) r11: u64,
    pub(crate) r12: u64,
    pub(crate) r13: u64,
    pub(crate) r14: u64,
    pub(crate) r15: u64,
    pub(crate) rip: u64,
    pub(crate) rflags: u64,
}

/// What a vCPU has in its registers before the first step.
pub(crate) fn registers_of(layout: &Layout, vcpu: u32) -> Registers {
    let share = layout.share(vcpu);
    let (end, gap) = layout.gap();
    Registers {
        rbx: Board::of(vcpu).at,
        rcx: gap,
        rsi: share.spacing(),
        rdi: share.first(),
        rsp: Layout::stack_top(vcpu),
        rbp: end,
        r9: EOI,
        r11: share.stride,
        r12: share.pages,
        r13: FACTOR,
        r15: share.pages,
        rip: CODE,
        // Bit 1 is always set.
        rflags: 2,
        ..Registers::default()
    }
}

/// Where in the board something is.
fn board(offset: u64) -> AsmMemoryOperand {
    qword_ptr(rbx + number(offset))
}

/// A number as instructions hold it.
fn number(number: u64) -> i32 {
    let Ok(number) = i32::try_from(number) else { unreachable!("the program's numbers are small") };
    number
}

/// The program, to be put at [`CODE`].
pub(super) fn code() -> Result<Vec<u8>, AssembleError> {
    let mut a = CodeAssembler::new(64)?;
    let (mut top, mut same_lap, mut low) = (a.create_label(), a.create_label(), a.create_label());
    a.sti()?;
    a.set_label(&mut top)?;
    a.add(r8, 1)?;
    // The next page, round and round.
    a.xor(eax, eax)?;
    a.add(r10, r11)?;
    a.cmp(r10, r12)?;
    a.cmovae(rax, r12)?;
    a.sub(r10, rax)?;
    // After a lap, the next word.
    a.sub(r15, 1)?;
    a.jne(same_lap)?;
    a.mov(r15, r12)?;
    a.add(r14, number(8 * WORD_STRIDE))?;
    a.and(r14, 0xFF8)?;
    a.set_label(&mut same_lap)?;
    // Its address.
    a.mov(rax, r10)?;
    a.imul_2(rax, rsi)?;
    a.add(rax, rdi)?;
    a.cmp(rax, rbp)?;
    a.jb(low)?;
    a.add(rax, rcx)?;
    a.set_label(&mut low)?;
    // Its value; then the counter, which says that the value is there.
    a.mov(rdx, r8)?;
    a.imul_2(rdx, r13)?;
    a.mov(qword_ptr(rax + r14), rdx)?;
    a.mov(board(Board::COUNTER), r8)?;
    a.test(r8d, number(SAMPLE_EVERY - 1))?;
    a.jne(top)?;
    look_at_the_clock(&mut a)?;
    a.test(r8d, number(LINE_EVERY - 1))?;
    a.jne(top)?;
    print_a_line(&mut a)?;
    a.jmp(top)?;
    Ok(a.assemble(CODE)?)
}

/// Reads the time stamp counter, and notes whether it went backwards, and how far forwards at most.
fn look_at_the_clock(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let (mut onwards, mut not_wider) = (a.create_label(), a.create_label());
    a.rdtsc()?;
    a.shl(rdx, 32)?;
    a.or(rax, rdx)?;
    a.mov(rdx, board(Board::TIME))?;
    a.mov(board(Board::TIME), rax)?;
    a.cmp(rax, rdx)?;
    a.jae(onwards)?;
    a.add(board(Board::BACKWARDS), 1)?;
    a.mov(rdx, rax)?;
    a.set_label(&mut onwards)?;
    a.sub(rax, rdx)?;
    // The first reading follows none.
    a.test(rdx, rdx)?;
    a.je(not_wider)?;
    a.cmp(rax, board(Board::WIDEST))?;
    a.jbe(not_wider)?;
    a.mov(board(Board::WIDEST), rax)?;
    a.set_label(&mut not_wider)?;
    Ok(())
}

/// Prints `vcpu:number`, where the number counts lines.
fn print_a_line(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let (mut digit, mut decimal) = (a.create_label(), a.create_label());
    a.mov(edx, u32::from(PORT))?;
    a.mov(rax, board(Board::DIGIT))?;
    a.out(dx, al)?;
    a.mov(eax, u32::from(b':'))?;
    a.out(dx, al)?;
    a.mov(ecx, 4 * (LINE_DIGITS - 1))?;
    a.set_label(&mut digit)?;
    a.mov(rax, r8)?;
    a.shr(rax, LINE_SHIFT)?;
    a.shr(rax, cl)?;
    a.and(eax, 15)?;
    a.add(eax, u32::from(b'0'))?;
    a.cmp(eax, u32::from(b'9'))?;
    a.jbe(decimal)?;
    a.add(eax, u32::from(b'a' - b'9' - 1))?;
    a.set_label(&mut decimal)?;
    a.out(dx, al)?;
    a.sub(ecx, 4)?;
    a.jns(digit)?;
    a.mov(eax, u32::from(b'\n'))?;
    a.out(dx, al)?;
    a.mov(rcx, board(Board::GAP))
}

/// The handler of the doorbell's interrupt: it counts. `rbx` and `r9` never change, so that nothing need be saved.
pub(super) fn handler() -> Result<Vec<u8>, AssembleError> {
    let mut a = CodeAssembler::new(64)?;
    a.add(board(Board::INTERRUPTS), 1)?;
    a.mov(dword_ptr(r9), 0)?;
    a.iretq()?;
    Ok(a.assemble(super::layout::HANDLER)?)
}
