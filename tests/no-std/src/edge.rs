//! The edge of the program: the arena that memory comes from, the C library's `write` and `abort`, and `main`.
//!
//! - The **arena** is one static block. It is zero in the binary, so that pages nobody touches cost nothing.
//! - A **class** holds the freed blocks of one power of two, as a list that is threaded through the blocks.
//
// UNSAFETY: `GlobalAlloc` is an unsafe trait because everybody believes its pointers, and `write`, `abort` and `main`
// are C. Nothing else in the program is unsafe.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::fmt::{self, Write as _};
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Bytes in the arena. The simulated machine of the update has a few MiB of memory; this is plenty.
const ARENA_BYTES: usize = 256 << 20;
/// Alignment of the arena, and so the largest that can be asked for: one frame.
const ARENA_ALIGN: usize = 4096;
/// Classes: one for each power of two that fits into the arena.
const CLASSES: usize = ARENA_BYTES.ilog2() as usize + 1;
/// The smallest block, large enough for the link to the next free one.
const SMALLEST: usize = 16;

#[repr(C, align(4096))]
struct Bytes(UnsafeCell<[u8; ARENA_BYTES]>);

/// What a free block starts with: the next one of its class, or null.
struct Link(*mut Link);

/// A global allocator over one static block: blocks are powers of two, cut from the arena one after the other, and
/// used again by their class.
///
/// # Invariants
///
/// - `used` is at most [`ARENA_BYTES`], and bytes below it belong to exactly one block each.
/// - A block in `free[n]` has `1 << n` bytes, is aligned to that or to [`ARENA_ALIGN`], belongs to nobody, and starts
///   with a [`Link`].
/// - One thread uses it: this program starts no other.
struct Arena {
    bytes: Bytes,
    used: AtomicUsize,
    free: [AtomicPtr<Link>; CLASSES],
}

// SAFETY: the bytes are reached only through blocks that were given out, each to one owner; the program has one
// thread (see the invariants), and the bookkeeping is atomic anyway.
unsafe impl Sync for Arena {}

// INVARIANT: nothing is used and no block is free.
#[global_allocator]
static ARENA: Arena = Arena {
    bytes: Bytes(UnsafeCell::new([0; ARENA_BYTES])),
    used: AtomicUsize::new(0),
    free: [const { AtomicPtr::new(ptr::null_mut()) }; CLASSES],
};

/// The size of the block that serves `layout`, and its class; `None` if no block can.
fn block_for(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size().max(layout.align()).max(SMALLEST).checked_next_power_of_two()?;
    (size <= ARENA_BYTES && layout.align() <= ARENA_ALIGN).then_some((size, size.ilog2() as usize))
}

impl Arena {
    /// Cuts a new block; null if the arena is used up.
    fn cut(&self, size: usize) -> *mut u8 {
        let used = self.used.load(Ordering::Relaxed);
        let Some(start) = used.checked_next_multiple_of(size.min(ARENA_ALIGN)) else {
            return ptr::null_mut();
        };
        let Some(end) = start.checked_add(size) else { return ptr::null_mut() };
        if end > ARENA_BYTES {
            return ptr::null_mut();
        }
        // INVARIANT: `end` was checked, and the bytes from `start` to it were in no block, as they lay above `used`.
        self.used.store(end, Ordering::Relaxed);
        // SAFETY: `start` is below `end`, which lies inside the arena.
        unsafe { self.bytes.0.get().cast::<u8>().add(start) }
    }
}

// SAFETY: by the invariants of `Arena` a block that is given out belongs to nobody else, is at least as large and as
// aligned as the layout asks (`block_for`), and stays where it is.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((size, class)) = block_for(layout) else { return ptr::null_mut() };
        let Some(list) = self.free.get(class) else { return ptr::null_mut() };
        let head = list.load(Ordering::Relaxed);
        if head.is_null() {
            return self.cut(size);
        }
        // SAFETY: a free block starts with its link, and is aligned for it.
        let Link(next) = unsafe { head.read() };
        // INVARIANT: `head` leaves the list and has an owner from here on.
        list.store(next, Ordering::Relaxed);
        head.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(list) = block_for(layout).and_then(|(_, class)| self.free.get(class)) else { return };
        #[expect(
            clippy::cast_ptr_alignment,
            reason = "blocks are aligned to their size, `SMALLEST` at least"
        )]
        let block = block.cast::<Link>();
        // SAFETY: the caller gives the block up, and it has room for a link (`SMALLEST`) and is aligned for it.
        unsafe { block.write(Link(list.load(Ordering::Relaxed))) };
        // INVARIANT: the block was made by `alloc` for the same layout, so it is of this class.
        list.store(block, Ordering::Relaxed);
    }
}

// SAFETY: the two are declared as the C library declares them; `abort` has no precondition.
#[link(name = "c")]
unsafe extern "C" {
    fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize;
    safe fn abort() -> !;
}

/// A descriptor of the process.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor(c_int);

/// Where results go.
pub(crate) const OUTPUT: Descriptor = Descriptor(1);
/// Where complaints go.
pub(crate) const ERRORS: Descriptor = Descriptor(2);

impl fmt::Write for Descriptor {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            // SAFETY: `rest` is a live slice of so many bytes, and `write` only reads it.
            let written = unsafe { write(self.0, rest.as_ptr().cast(), rest.len()) };
            rest = usize::try_from(written).ok().and_then(|count| rest.get(count..)).ok_or(fmt::Error)?;
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // Nothing is left to do if even this cannot be said.
    let _ = writeln!({ ERRORS }, "{info}");
    abort()
}

/// Called by the C library's start code. 0 if the update went through.
// SAFETY: no other function of the program has this name, and it has the signature that C wants.
#[unsafe(no_mangle)]
extern "C" fn main(_arguments: c_int, _values: *const *const u8) -> c_int {
    match crate::update::update() {
        Ok(story) => c_int::from(writeln!({ OUTPUT }, "{story}").is_err()),
        Err(error) => {
            let _ = writeln!({ ERRORS }, "the update failed: {error}");
            1
        }
    }
}

/// The ready-made `alloc` of the toolchain names the unwinder, which is part of std. With `panic = "abort"` nothing
/// unwinds and this is never called.
// SAFETY: std, which has the other function of this name, is not linked.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    abort()
}

/// The other half of the unwinder: see [`rust_eh_personality`].
// SAFETY: the library of the compiler that has the other function of this name is not linked.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    abort()
}
