//! Bytes as a serialized array, and as a page map: opening, looking up, walking and verifying never panic, and what
//! verifies is what its content encodes to. With an odd first byte the checksums are made right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use luo_fuzz::{probe, repair};
use luo_xarray::page_map::PageMapView;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let mut bytes = rest.to_vec();
    if first % 2 == 1 {
        repair(&mut bytes);
    }
    probe(&bytes);
    if let Ok(map) = PageMapView::open(&[&bytes]) {
        for page in [0, 1, 511, 512, 1 << 18, u64::MAX] {
            let _ = map.get(page);
        }
        let _ = map.verify();
    }
});
