//! Must fail: a fuzzer that does not find this within a second does not look.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(!data.starts_with(b"LUO!"), "the canary has been found, as it has to be");
});
