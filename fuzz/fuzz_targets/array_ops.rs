//! Operations on the array in memory, and its serialized form, against a map of single indices.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use luo_xarray::XArray;
use luo_xarray::serial::{Builder, SerialView};

/// One operation. Indices are those of a few nodes.
#[derive(Arbitrary, Debug)]
enum Op {
    Store(u16, u32),
    Erase(u16),
    EraseRange(u16, u8),
    RemoveEntry(u16),
    Clear,
}

fuzz_target!(|ops: Vec<Op>| {
    let (mut array, mut model) = (XArray::<u64>::new(), BTreeMap::new());
    for op in ops.iter().take(200) {
        match *op {
            Op::Store(index, value) => {
                let (index, value) = (u64::from(index), u64::from(value));
                assert_eq!(array.store(index, value), model.insert(index, value));
            }
            Op::Erase(index) => assert_eq!(array.erase(index.into()), model.remove(&u64::from(index))),
            Op::EraseRange(first, len) => {
                let range = u64::from(first)..u64::from(first) + u64::from(len);
                array.erase_range(range.clone());
                model.retain(|index, _| !range.contains(index));
            }
            Op::RemoveEntry(index) => {
                let removed = array.remove_entry(index.into()).map(|(_, value)| value);
                assert_eq!(removed, model.remove(&u64::from(index)));
            }
            Op::Clear => {
                array.clear();
                model.clear();
            }
        }
        assert_eq!(array.len(), model.len() as u64);
    }
    let mut builder = Builder::new();
    for (index, value) in &model {
        assert_eq!(array.load(*index), Some(value));
        builder.push(*index, *value).expect("a map ascends");
    }
    let bytes = builder.encode().to_vec();
    let view = SerialView::open(&[&bytes]).expect("it was just made");
    view.verify().expect("it was just made");
    let entries: Vec<_> = view.entries().map(|entry| entry.expect("it was verified")).collect();
    assert!(entries.iter().copied().eq(model.iter().map(|(index, value)| (*index, *value))));
    for index in ops.iter().filter_map(|op| match op {
        Op::Store(index, _) | Op::Erase(index) => Some(u64::from(*index)),
        _ => None,
    }) {
        assert_eq!(view.get(index), Ok(model.get(&index).copied()));
        let after = model.range(index..).next().map(|(index, _)| *index);
        assert_eq!(array.at_or_after(index).map(|entry| entry.block.first()), after);
    }
});
