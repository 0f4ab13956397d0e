//! CRC32C (Castagnoli), the checksum of every block that crosses.
//!
//! With `std` the machine's own instructions do the work; without, a table does. Both give the same sums.

/// The checksum of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    append(0, bytes)
}

/// The checksum of what `sum` was computed over followed by `bytes`. Begin with 0.
#[cfg(feature = "std")]
pub fn append(sum: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(sum, bytes)
}

/// The checksum of what `sum` was computed over followed by `bytes`. Begin with 0.
#[cfg(not(feature = "std"))]
pub fn append(sum: u32, bytes: &[u8]) -> u32 {
    by_table::append(sum, bytes)
}

#[cfg(any(not(feature = "std"), test))]
mod by_table {
    use crc::{CRC_32_ISCSI, Crc, Table};

    static CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

    pub(super) fn append(sum: u32, bytes: &[u8]) -> u32 {
        // A finished sum is the complement of the register, which the crate wants bit-reversed as a start value.
        let initial = if sum == 0 { None } else { Some((!sum).reverse_bits()) };
        let mut digest = match initial {
            Some(register) => CASTAGNOLI.digest_with_initial(register),
            None => CASTAGNOLI.digest(),
        };
        digest.update(bytes);
        digest.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        // RFC 3720, section B.4.
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    }

    #[test]
    fn table_and_machine_agree_in_one_piece_and_in_two() {
        let bytes: alloc::vec::Vec<u8> =
            (0..1000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        for cut in [0, 1, 7, 64, 999, 1000] {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(append(append(0, head), tail), crc32c(&bytes));
            assert_eq!(by_table::append(by_table::append(0, head), tail), crc32c(&bytes));
        }
    }
}
