//! Lines of the serial port: taken up character by character, and checked when they are whole.

use crate::guest::{LINE_DIGITS, digit};

/// Bytes of a line: the vCPU's digit, a colon, the number, the end of the line.
pub(crate) const LINE_BYTES: usize = 3 + LINE_DIGITS as usize;
/// A line that does not end is cut here.
pub(super) const PARTIAL_MAX: usize = 16;
const _: () = assert!(LINE_BYTES <= PARTIAL_MAX);

/// The lines of one vCPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The characters of a line that has not ended.
    pub(super) partial: Vec<u8>,
    /// Lines that have.
    pub(super) printed: u64,
    /// Those that were not the next one.
    pub(super) faults: u64,
}

impl Line {
    /// Takes a character up; gives the line if it is whole.
    pub(super) fn push(&mut self, vcpu: u32, character: u8) -> Option<Vec<u8>> {
        self.partial.push(character);
        if character != b'\n' && self.partial.len() < PARTIAL_MAX {
            return None;
        }
        let text = core::mem::take(&mut self.partial);
        self.printed = self.printed.saturating_add(1);
        self.faults = self.faults.saturating_add(u64::from(text != expected(vcpu, self.printed)));
        Some(text)
    }
}

/// Line `number` of a vCPU.
fn expected(vcpu: u32, number: u64) -> Vec<u8> {
    (0..LINE_BYTES).map(|place| character(vcpu, number, place)).collect()
}

/// The character at a place in line `number` of a vCPU.
pub(crate) fn character(vcpu: u32, number: u64, place: usize) -> u8 {
    match place {
        0 => digit(vcpu),
        1 => b':',
        place if place + 1 == LINE_BYTES => b'\n',
        place => {
            let shift = 4 * (LINE_BYTES - 2 - place);
            let nibble = u32::try_from(number >> shift & 15).unwrap_or(0);
            digit(nibble)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_at_its_end_and_counted() {
        let mut line = Line::default();
        for number in 1..=300u64 {
            let text = format!("a:{number:08x}\n");
            assert_eq!(expected(10, number), text.as_bytes());
            let whole: Vec<_> = text.bytes().filter_map(|byte| line.push(10, byte)).collect();
            assert_eq!(whole, [text.into_bytes()]);
        }
        assert_eq!(line, Line { partial: Vec::new(), printed: 300, faults: 0 });
    }

    #[test]
    fn a_line_that_is_left_out_repeated_or_cut_is_a_fault() {
        for (texts, faults) in [
            (vec!["0:00000001\n", "0:00000003\n"], 1),
            (vec!["0:00000001\n", "0:00000001\n"], 1),
            (vec!["0:0000\n"], 1),
            (vec!["0:00000001 and more than that\n"], 2),
        ] {
            let mut line = Line::default();
            for byte in texts.concat().bytes() {
                line.push(0, byte);
            }
            assert_eq!(line.faults, faults, "{texts:?}");
        }
    }
}
