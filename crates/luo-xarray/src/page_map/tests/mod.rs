//! Page maps against a dumb model; their sizes; hostile bytes; golden bytes; a kexec.

mod hostile;
mod stored;

use alloc::vec;
use alloc::vec::Vec;

use luo_kho::{FrameCount, FrameRange, Order, PFN_END, Pfn};
use proptest::prelude::*;

use super::{Extent, ExtentError, PAGES_END, PageAt, PageFlags, PageMapBuilder, PageMapView};

const CLEAN: PageFlags = PageFlags::UPTODATE;

fn both() -> PageFlags {
    PageFlags::UPTODATE | PageFlags::DIRTY
}

fn order(order: u8) -> Order {
    Order::new(order).unwrap()
}

fn extent(page: u64, frame: u64, count: u64, of: u8, flags: PageFlags) -> Extent {
    let frames = FrameRange::new(Pfn::new(frame).unwrap(), FrameCount::new(count).unwrap()).unwrap();
    Extent { page, frames, order: order(of), flags }
}

fn encode(granule: u8, extents: &[Extent]) -> Vec<u8> {
    let mut builder = PageMapBuilder::new(order(granule));
    for extent in extents {
        builder.push(*extent).unwrap();
    }
    let encoded = builder.encode();
    assert_eq!(encoded.len().get(), encoded.to_vec().len() as u64);
    encoded.to_vec()
}

/// Every page by itself.
fn pages_of(extents: &[Extent]) -> Vec<(u64, PageAt)> {
    let pages = |extent: &Extent| {
        let Extent { page, frames, order, flags } = *extent;
        (page..).zip(frames.frames()).map(move |(page, frame)| (page, PageAt { frame, order, flags }))
    };
    extents.iter().flat_map(pages).collect()
}

fn check(granule: u8, extents: &[Extent]) {
    let bytes = encode(granule, extents);
    let pieces: Vec<&[u8]> = bytes.chunks(4096).collect();
    for view in [PageMapView::open(&[&bytes]).unwrap(), PageMapView::open(&pieces).unwrap()] {
        view.verify().unwrap();
        let read: Vec<Extent> = view.extents().map(Result::unwrap).collect();
        assert_eq!(pages_of(&read), pages_of(extents));
        assert_eq!(encode(granule, &read), bytes, "one content has one encoding");
        for (page, at) in pages_of(extents) {
            assert_eq!(view.get(page), Ok(Some(at)));
        }
        for hole in read.windows(2).filter(|pair| pair[0].end() < pair[1].page) {
            assert_eq!(view.get(hole[0].end()), Ok(None));
            assert_eq!(view.get(hole[1].page - 1), Ok(None));
        }
    }
}

#[test]
fn ordinary_files() {
    check(0, &[]);
    check(0, &[extent(0, 100, 1, 0, CLEAN)]);
    check(0, &[extent(0, 100, 5000, 0, CLEAN), extent(6000, 9000, 7, 0, CLEAN)]);
    let downwards: Vec<Extent> = (0..700).map(|n| extent(n, 9000 - n, 1, 0, both())).collect();
    check(0, &downwards);
    check(0, &[extent(PAGES_END - 1, PFN_END - 1, 1, 0, CLEAN)]);
}

#[test]
fn folios_of_several_orders_and_flags() {
    check(
        0,
        &[
            extent(0, 4096, 512, 9, CLEAN),
            extent(512, 512, 1024, 9, both()),
            extent(1536, 1536, 4, 0, both()),
            extent(1540, 77, 3, 0, PageFlags::NONE),
            extent(1544, 40, 8, 2, CLEAN),
            // A folio whose first frame continues downwards what the page before had.
            extent(2047, 8193, 1, 0, CLEAN),
            extent(2048, 8192, 512, 9, CLEAN),
            extent(1 << 18, 1 << 20, 1 << 18, 18, CLEAN),
            extent(1 << 30, 5, 1, 0, PageFlags::from_bits(0xFFF).unwrap()),
        ],
    );
}

#[test]
fn attributes_that_happen_to_count_up() {
    // As numbers, the attributes of these neighbours are 0, 1, 2, 3: a run that goes up.
    check(
        0,
        &[
            extent(0, 8, 1, 0, PageFlags::from_bits(9).unwrap()),
            extent(14, 16, 1, 0, PageFlags::NONE),
            extent(15, 64, 1, 0, PageFlags::from_bits(1).unwrap()),
            extent(16, 96, 2, 1, PageFlags::NONE),
            extent(20, 100, 4, 2, PageFlags::NONE),
            extent(24, 104, 8, 3, PageFlags::NONE),
        ],
    );
    let by_one: Vec<Extent> = (0..12)
        .map(|n| extent(n, 50 * n, 1, 0, PageFlags::from_bits(u16::try_from(n).unwrap()).unwrap()))
        .collect();
    check(0, &by_one);
}

#[test]
fn huge_pages() {
    for granule in [9, 18] {
        let size = 1 << granule;
        check(
            granule,
            &[extent(0, 4 * size, 3 * size, granule, CLEAN), extent(5 * size, size, size, granule, CLEAN)],
        );
    }
    // Small pages in a file of huge ones are told apart.
    check(9, &[extent(0, 0, 512, 9, CLEAN), extent(1 << 18, 1 << 18, 1 << 18, 18, CLEAN)]);
}

#[test]
fn sizes_per_folio() {
    let mut state = 1_u64;
    let mut random = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % end
    };
    let fixed = encode(9, &[extent(0, 512 * 77, 512 * 5000, 9, CLEAN)]).len();
    assert!(fixed <= 128, "a line of huge pages: {fixed} bytes");
    for granule in [9, 18] {
        let size = 1_u64 << granule;
        let folios: Vec<Extent> =
            (0..4000).map(|n| extent(n * size, random(1 << 13) * size, size, granule, CLEAN)).collect();
        let bytes = encode(granule, &folios).len();
        assert!(bytes <= 4000 * 2 + 256, "{bytes} bytes for 4000 folios of order {granule}");
    }
    // As folios in a map of single pages: no more than 8 bytes and the records.
    let folios: Vec<Extent> =
        (0..4096).map(|n| extent(n * 512, random(1 << 13) * 512, 512, 9, CLEAN)).collect();
    let bytes = encode(0, &folios).len();
    assert!(bytes <= 4096 * 8 + 8 * 48 + 256, "{bytes} bytes for 4096 folios in single pages");
    // A tenth of the pages dirty, anywhere: a bitmap at most.
    let dirty: Vec<Extent> =
        (0..100_000).map(|n| extent(n, n + 7, 1, 0, if random(10) == 0 { both() } else { CLEAN })).collect();
    let bytes = encode(0, &dirty).len();
    assert!(bytes <= 100_000 / 8 + 100_000 / 64 + 400, "{bytes} bytes for dirty bits of 100000 pages");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut builder = PageMapBuilder::new(order(0));
    let good = extent(8, 16, 8, 3, CLEAN);
    builder.push(good).unwrap();
    let refused = |builder: &mut PageMapBuilder, extent: Extent| builder.push(extent).unwrap_err();
    assert_eq!(
        refused(&mut builder, extent(15, 3, 1, 0, CLEAN)),
        ExtentError::NotAscending { page: 15, last: 15 }
    );
    for wrong in [extent(20, 16, 8, 3, CLEAN), extent(24, 17, 8, 3, CLEAN), extent(24, 16, 9, 3, CLEAN)] {
        assert!(matches!(refused(&mut builder, wrong), ExtentError::Misaligned { .. }));
    }
    let far = extent(PAGES_END - 1, 1, 2, 0, CLEAN);
    assert!(matches!(refused(&mut builder, far), ExtentError::PastTheEnd { .. }));
    let mut huge = PageMapBuilder::new(order(9));
    assert!(matches!(refused(&mut huge, good), ExtentError::BelowGranule { .. }));
    assert_eq!(builder.encode().to_vec(), encode(0, &[good]));
    assert_eq!(huge.encode().to_vec(), encode(9, &[]));
    assert_eq!(PageFlags::from_bits(1 << 12), None);
}

fn extents() -> impl Strategy<Value = Vec<Extent>> {
    let one = (0..40_u64, 0..4_u8, 1..30_u64, 0..400_u64, prop_oneof![3 => Just(3_u16), 1 => 0..8_u16]);
    prop::collection::vec(one, 0..60).prop_map(|all| {
        let mut page = 0_u64;
        let mut extents = Vec::new();
        for (gap, of, folios, frame, flags) in all {
            let size = 1 << of;
            page = (page + gap / 8).next_multiple_of(size);
            let made = extent(page, frame * size, folios * size, of, PageFlags::from_bits(flags).unwrap());
            page = made.end();
            extents.push(made);
        }
        extents
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_a_list_of_pages(extents in extents()) {
        check(0, &extents);
    }
}

#[test]
fn golden_bytes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/xarray-v1/page-map.bin");
    let golden = std::fs::read(path).unwrap();
    let extents = vec![
        extent(0, 0x1000, 512, 9, both()),
        extent(512, 0x2000, 100, 0, both()),
        extent(700, 0x3000, 1, 0, CLEAN),
        extent(701, 0x2FFF, 1, 0, CLEAN),
        extent(1024, 0x4000, 1024, 9, both()),
    ];
    assert_eq!(encode(0, &extents), golden, "version 1 writes these bytes, for ever");
    let view = PageMapView::open(&[&golden]).unwrap();
    assert_eq!(view.verify(), Ok(()));
    assert_eq!(view.extents().map(Result::unwrap).collect::<Vec<_>>().len(), 5);
}
