//! The levels x86-64-v3 and x86-64-v4.

// UNSAFETY: instructions that not every processor has can only be reached through calls that are unsafe for those who
// do not know the processor.
#![expect(unsafe_code, reason = "instructions that were found when the program runs")]

use core::arch::x86_64::{
    __m256i, __m512i, _mm_unpacklo_epi64, _mm256_add_epi64, _mm256_castsi256_pd, _mm256_cmpeq_epi64,
    _mm256_loadu_si256, _mm256_movemask_pd, _mm256_set_m128i, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_sub_epi64, _mm512_add_epi64, _mm512_castsi256_si512, _mm512_cmpeq_epi8_mask,
    _mm512_cvtsepi64_epi8, _mm512_inserti64x4, _mm512_loadu_si512, _mm512_maskz_compress_epi64,
    _mm512_set1_epi8, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512, _mm512_sub_epi64,
    _mm512_testn_epi8_mask, _mm512_xor_si512, _pdep_u64, _pext_u64,
};
use std::arch::is_x86_feature_detected;

use super::{Classes, LANES, Portable, Task, Wide};

/// x86-64-v3.
///
/// # Invariants
///
/// There is one only on a processor with AVX2, BMI1, BMI2, LZCNT and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Avx2(());

/// x86-64-v4.
///
/// # Invariants
///
/// There is one only on a processor that an [`Avx2`] can be on, with AVX512F, AVX512BW, AVX512DQ and AVX512VL.
#[derive(Clone, Copy, Debug)]
pub(in crate::serial) struct Avx512(Avx2);

impl Avx2 {
    #[inline]
    pub(in crate::serial) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        // INVARIANT: each was asked for.
        all.then_some(Self(()))
    }

    #[inline]
    pub(in crate::serial) fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: the invariant of `Avx2` names every feature that is enabled there.
        unsafe { run_avx2(self, task) }
    }
}

impl Avx512 {
    #[inline]
    pub(in crate::serial) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        // INVARIANT: each was asked for, and those of `Avx2` by its `detect`.
        if all { Avx2::detect().map(Self) } else { None }
    }

    #[inline]
    pub(in crate::serial) fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: the invariant of `Avx512` names every feature that is enabled there.
        unsafe { run_avx512(self, task) }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx2<T: Task>(wide: Avx2, task: T) -> T::Output {
    task.run(wide)
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<T: Task>(wide: Avx512, task: T) -> T::Output {
    task.run(wide)
}

impl Wide for Avx2 {
    #[inline]
    fn equal(self, slots: &[u64; LANES], value: u64) -> u64 {
        // SAFETY: the invariant of `Avx2` names AVX2.
        unsafe { equal_avx2(slots, value) }
    }

    #[inline]
    fn on_line(self, slots: &[u64; LANES], first: u64, increment: u64) -> u64 {
        // SAFETY: the invariant of `Avx2` names AVX2.
        unsafe { on_line_avx2(slots, first, increment) }
    }

    #[inline]
    fn classes(self, values: &[u64; LANES + 1], positions: &[u64; LANES + 1]) -> Classes {
        // SAFETY: the invariant of `Avx2` names AVX2.
        unsafe { classes_avx2(values, positions) }
    }

    #[inline]
    fn neighbours(self, values: &[u64; LANES + 1]) -> Classes {
        // SAFETY: the invariant of `Avx2` names AVX2.
        unsafe { neighbours_avx2(values) }
    }

    #[inline]
    fn extract(self, word: u64, mask: u64) -> u64 {
        // SAFETY: the invariant of `Avx2` names BMI2.
        unsafe { _pext_u64(word, mask) }
    }

    #[inline]
    fn deposit(self, word: u64, mask: u64) -> u64 {
        // SAFETY: the invariant of `Avx2` names BMI2.
        unsafe { _pdep_u64(word, mask) }
    }

    #[inline]
    fn nth_one(self, word: u64, n: u32) -> u32 {
        // SAFETY: the invariant of `Avx2` names BMI2.
        unsafe { _pdep_u64(1 << n, word) }.trailing_zeros()
    }

    #[inline]
    fn compress(self, slots: &[u64; LANES], present: u64, into: &mut [u64; LANES]) {
        Portable.compress(slots, present, into);
    }
}

impl Wide for Avx512 {
    #[inline]
    fn equal(self, slots: &[u64; LANES], value: u64) -> u64 {
        // SAFETY: the invariant of `Avx512` names AVX512F and AVX512BW.
        unsafe { equal_avx512(slots, value) }
    }

    #[inline]
    fn on_line(self, slots: &[u64; LANES], first: u64, increment: u64) -> u64 {
        // SAFETY: the invariant of `Avx512` names AVX512F and AVX512BW.
        unsafe { on_line_avx512(slots, first, increment) }
    }

    #[inline]
    fn classes(self, values: &[u64; LANES + 1], positions: &[u64; LANES + 1]) -> Classes {
        // SAFETY: the invariant of `Avx512` names AVX512F and AVX512BW.
        unsafe { classes_avx512(values, positions) }
    }

    #[inline]
    fn neighbours(self, values: &[u64; LANES + 1]) -> Classes {
        // SAFETY: the invariant of `Avx512` names AVX512F and AVX512BW.
        unsafe { neighbours_avx512(values) }
    }

    #[inline]
    fn extract(self, word: u64, mask: u64) -> u64 {
        self.0.extract(word, mask)
    }

    #[inline]
    fn deposit(self, word: u64, mask: u64) -> u64 {
        self.0.deposit(word, mask)
    }

    #[inline]
    fn nth_one(self, word: u64, n: u32) -> u32 {
        self.0.nth_one(word, n)
    }

    #[inline]
    fn compress(self, slots: &[u64; LANES], present: u64, into: &mut [u64; LANES]) {
        // SAFETY: the invariant of `Avx512` names AVX512F.
        unsafe { compress_avx512(slots, present, into) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load4(from: &[u64; 4]) -> __m256i {
    // SAFETY: the reference is to 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(core::ptr::from_ref(from).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load8(from: &[u64; 8]) -> __m512i {
    // SAFETY: the reference is to 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(core::ptr::from_ref(from).cast()) }
}

/// Four bits, one for each lane that is all ones.
#[inline]
#[target_feature(enable = "avx2")]
fn bits_of(lanes: __m256i) -> u64 {
    u64::from(_mm256_movemask_pd(_mm256_castsi256_pd(lanes)).cast_unsigned())
}

#[inline]
#[target_feature(enable = "avx2")]
fn equal_avx2(slots: &[u64; LANES], value: u64) -> u64 {
    let wanted = _mm256_set1_epi64x(value.cast_signed());
    let (fours, _) = slots.as_chunks::<4>();
    let bits = fours.iter().map(|four| bits_of(_mm256_cmpeq_epi64(load4(four), wanted)));
    (0..).step_by(4).zip(bits).fold(0, |equal, (at, bits)| equal | bits << at)
}

/// 64 lanes.
type Lanes = [__m512i; 8];

/// 64 lanes, each in a byte that holds the same number if that is between -128 and 127, and else the nearer of these.
#[inline]
#[target_feature(enable = "avx512f")]
fn narrow(lanes: &Lanes) -> __m512i {
    let [v0, v1, v2, v3, v4, v5, v6, v7] = lanes.map(|eight| _mm512_cvtsepi64_epi8(eight));
    let low = _mm256_set_m128i(_mm_unpacklo_epi64(v2, v3), _mm_unpacklo_epi64(v0, v1));
    let high = _mm256_set_m128i(_mm_unpacklo_epi64(v6, v7), _mm_unpacklo_epi64(v4, v5));
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// 64 bits, one for each lane that is zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn zeros(lanes: &Lanes) -> u64 {
    let bytes = narrow(lanes);
    _mm512_testn_epi8_mask(bytes, bytes)
}

/// Eight steps of eight slots.
#[inline]
fn eights(slots: &[u64; LANES]) -> &[[u64; 8]; 8] {
    zerocopy::transmute_ref!(slots)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn equal_avx512(slots: &[u64; LANES], value: u64) -> u64 {
    let wanted = _mm512_set1_epi64(value.cast_signed());
    zeros(&eights(slots).each_ref().map(|eight| _mm512_xor_si512(load8(eight), wanted)))
}

/// The first `N` values of a line.
#[inline]
fn line<const N: usize>(first: u64, increment: u64) -> [u64; N] {
    core::array::from_fn(|at| first.wrapping_add((at as u64).wrapping_mul(increment)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn on_line_avx2(slots: &[u64; LANES], first: u64, increment: u64) -> u64 {
    let mut values = load4(&line(first, increment));
    let further = _mm256_set1_epi64x(increment.wrapping_mul(4).cast_signed());
    let (fours, _) = slots.as_chunks::<4>();
    let mut on = 0;
    for (at, four) in (0..).step_by(4).zip(fours) {
        on |= bits_of(_mm256_cmpeq_epi64(load4(four), values)) << at;
        values = _mm256_add_epi64(values, further);
    }
    on
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn on_line_avx512(slots: &[u64; LANES], first: u64, increment: u64) -> u64 {
    let mut values = load8(&line(first, increment));
    let further = _mm512_set1_epi64(increment.wrapping_mul(8).cast_signed());
    zeros(&eights(slots).each_ref().map(|eight| {
        let differing = _mm512_xor_si512(load8(eight), values);
        values = _mm512_add_epi64(values, further);
        differing
    }))
}

/// All of an array but the first and all but the last, in pieces of `N`.
#[inline]
fn pairs<const N: usize>(all: &[u64; LANES + 1]) -> impl Iterator<Item = (&[u64; N], &[u64; N])> {
    let (from, to) = (all.split_at(LANES).0, all.split_at(1).1);
    from.as_chunks().0.iter().zip(to.as_chunks().0)
}

#[inline]
#[target_feature(enable = "avx2")]
fn classes_avx2(values: &[u64; LANES + 1], positions: &[u64; LANES + 1]) -> Classes {
    let mut classes = Classes::default();
    let zero = _mm256_setzero_si256();
    for (at, ((from, to), (before, here))) in
        (0..).step_by(4).zip(pairs::<4>(values).zip(pairs::<4>(positions)))
    {
        let change = _mm256_sub_epi64(load4(to), load4(from));
        let distance = _mm256_sub_epi64(load4(here), load4(before));
        classes.up |= bits_of(_mm256_cmpeq_epi64(change, distance)) << at;
        classes.down |= bits_of(_mm256_cmpeq_epi64(_mm256_add_epi64(change, distance), zero)) << at;
        classes.flat |= bits_of(_mm256_cmpeq_epi64(change, zero)) << at;
    }
    classes
}

#[inline]
#[target_feature(enable = "avx2")]
fn neighbours_avx2(values: &[u64; LANES + 1]) -> Classes {
    let mut classes = Classes::default();
    let (zero, one, less_one) = (_mm256_setzero_si256(), _mm256_set1_epi64x(1), _mm256_set1_epi64x(-1));
    for (at, (from, to)) in (0..).step_by(4).zip(pairs::<4>(values)) {
        let change = _mm256_sub_epi64(load4(to), load4(from));
        classes.up |= bits_of(_mm256_cmpeq_epi64(change, one)) << at;
        classes.down |= bits_of(_mm256_cmpeq_epi64(change, less_one)) << at;
        classes.flat |= bits_of(_mm256_cmpeq_epi64(change, zero)) << at;
    }
    classes
}

/// From each of an array to the next.
#[inline]
#[target_feature(enable = "avx512f")]
fn changes(all: &[u64; LANES + 1]) -> Lanes {
    let mut changes = [_mm512_setzero_si512(); 8];
    for (change, (from, to)) in changes.iter_mut().zip(pairs::<8>(all)) {
        *change = _mm512_sub_epi64(load8(to), load8(from));
    }
    changes
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn classes_avx512(values: &[u64; LANES + 1], positions: &[u64; LANES + 1]) -> Classes {
    let flat = changes(values);
    let (mut up, mut down) = (flat, flat);
    for ((up, down), distance) in up.iter_mut().zip(&mut down).zip(changes(positions)) {
        *up = _mm512_sub_epi64(*up, distance);
        *down = _mm512_add_epi64(*down, distance);
    }
    Classes { up: zeros(&up), down: zeros(&down), flat: zeros(&flat) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn neighbours_avx512(values: &[u64; LANES + 1]) -> Classes {
    let changes = narrow(&changes(values));
    Classes {
        up: _mm512_cmpeq_epi8_mask(changes, _mm512_set1_epi8(1)),
        down: _mm512_cmpeq_epi8_mask(changes, _mm512_set1_epi8(-1)),
        flat: _mm512_testn_epi8_mask(changes, changes),
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn compress_avx512(slots: &[u64; LANES], present: u64, into: &mut [u64; LANES]) {
    let (eights, _) = slots.as_chunks::<8>();
    let mut rank = 0;
    for (eight, bits) in eights.iter().zip(present.to_le_bytes()) {
        let packed = _mm512_maskz_compress_epi64(bits, load8(eight));
        // At most 8 slots for each piece so far: there are 8 places from the rank on.
        if let Some(place) = into.get_mut(rank..).and_then(|rest| rest.first_chunk_mut::<8>()) {
            // SAFETY: the reference is to 64 bytes of our own, and the store needs no alignment.
            unsafe { _mm512_storeu_si512(core::ptr::from_mut(place).cast(), packed) };
        }
        rank += bits.count_ones() as usize;
    }
}
