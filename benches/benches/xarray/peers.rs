//! The **peers**: other ways to write the same map down, each at its best configuration.
//!
//! A peer that cannot be asked for one index without reading everything has no look-up.

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Context as _, Result};
use dtoolkit::{Node as _, Property as _};
use roaring::RoaringBitmap;

use crate::corpus::HOLE;

/// One format with one map in it.
pub(crate) trait Peer: Sized {
    const NAME: &'static str;

    /// What it is built from, if that is not the slots themselves.
    type Source;

    fn source(slots: &[u64]) -> Self::Source;

    /// Writes the map.
    fn build(slots: &[u64], source: &Self::Source) -> Result<Self>;

    /// Writes the map once more, into the same memory if the format can.
    fn build_again(&mut self, slots: &[u64], source: &Self::Source) -> Result<()> {
        *self = Self::build(slots, source)?;
        Ok(())
    }

    /// Bytes that it takes.
    fn bytes(&self) -> usize;

    /// What has to happen to bytes that arrived before the first look-up.
    fn open(&self) -> Result<()>;

    /// Reads every entry, into slots that are all holes.
    fn restore(&self, slots: &mut [u64]) -> Result<()>;

    /// Does `ask` with a look-up; `None` if there is none.
    fn asked<T>(&self, ask: impl FnOnce(&dyn Fn(u64) -> Option<u64>) -> T) -> Option<T>;
}

/// The entries of slots.
fn entries(slots: &[u64]) -> impl Iterator<Item = (u64, u64)> + '_ {
    (0..).zip(slots.iter().copied()).filter(|(_, value)| *value != HOLE)
}

fn put(slots: &mut [u64], index: u64, value: u64) {
    if let Some(place) = usize::try_from(index).ok().and_then(|at| slots.get_mut(at)) {
        *place = value;
    }
}

fn bisect(pairs: &[(u64, u64)], index: u64) -> Option<u64> {
    let at = pairs.binary_search_by_key(&index, |pair| pair.0).ok()?;
    pairs.get(at).map(|pair| pair.1)
}

/// What Linux's memfd preservation writes: 16 bytes for each folio. Found by bisection.
pub(crate) struct Flat(Vec<(u64, u64)>);

impl Peer for Flat {
    const NAME: &'static str = "Linux's flat array";
    type Source = ();

    fn source(_: &[u64]) {}

    fn build(slots: &[u64], (): &()) -> Result<Self> {
        let mut pairs = Vec::with_capacity(slots.len());
        pairs.extend(entries(slots));
        Ok(Self(pairs))
    }

    fn build_again(&mut self, slots: &[u64], (): &()) -> Result<()> {
        self.0.clear();
        self.0.extend(entries(slots));
        Ok(())
    }

    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    fn open(&self) -> Result<()> {
        Ok(())
    }

    fn restore(&self, slots: &mut [u64]) -> Result<()> {
        self.0.iter().for_each(|(index, value)| put(slots, *index, *value));
        Ok(())
    }

    fn asked<T>(&self, ask: impl FnOnce(&dyn Fn(u64) -> Option<u64>) -> T) -> Option<T> {
        Some(ask(&|index| bisect(&self.0, index)))
    }
}

/// A roaring bitmap of the indices, its bytes, and the values by rank.
pub(crate) struct Roaring(RoaringBitmap, Vec<u8>, Vec<u64>);

impl Peer for Roaring {
    const NAME: &'static str = "roaring + values by rank";
    type Source = ();

    fn source(_: &[u64]) {}

    fn build(slots: &[u64], (): &()) -> Result<Self> {
        let indices = entries(slots).filter_map(|(index, _)| u32::try_from(index).ok());
        let mut set = RoaringBitmap::from_sorted_iter(indices).context("indices ascend")?;
        set.optimize();
        let mut values = Vec::with_capacity(slots.len());
        values.extend(entries(slots).map(|(_, value)| value));
        let mut bytes = Vec::with_capacity(set.serialized_size());
        set.serialize_into(&mut bytes)?;
        Ok(Self(set, bytes, values))
    }

    fn bytes(&self) -> usize {
        self.1.len() + size_of_val(self.2.as_slice())
    }

    fn open(&self) -> Result<()> {
        black_box(RoaringBitmap::deserialize_from(self.1.as_slice())?);
        Ok(())
    }

    fn restore(&self, slots: &mut [u64]) -> Result<()> {
        self.0.iter().zip(&self.2).for_each(|(index, value)| put(slots, index.into(), *value));
        Ok(())
    }

    fn asked<T>(&self, ask: impl FnOnce(&dyn Fn(u64) -> Option<u64>) -> T) -> Option<T> {
        Some(ask(&|index| {
            let index = u32::try_from(index).ok().filter(|index| self.0.contains(*index))?;
            self.2.get(usize::try_from(self.0.rank(index)).ok()?.checked_sub(1)?).copied()
        }))
    }
}

/// An rkyv `BTreeMap`. Every reading is of checked bytes.
pub(crate) struct RkyvMap(rkyv::util::AlignedVec);
type ArchivedMap = rkyv::Archived<BTreeMap<u64, u64>>;

impl Peer for RkyvMap {
    const NAME: &'static str = "rkyv BTreeMap";
    type Source = BTreeMap<u64, u64>;

    fn source(slots: &[u64]) -> Self::Source {
        entries(slots).collect()
    }

    fn build(_: &[u64], source: &Self::Source) -> Result<Self> {
        Ok(Self(rkyv::to_bytes::<rkyv::rancor::Error>(source)?))
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn open(&self) -> Result<()> {
        black_box(rkyv::access::<ArchivedMap, rkyv::rancor::Error>(&self.0)?);
        Ok(())
    }

    fn restore(&self, slots: &mut [u64]) -> Result<()> {
        let map = rkyv::access::<ArchivedMap, rkyv::rancor::Error>(&self.0)?;
        map.iter().for_each(|(index, value)| put(slots, index.to_native(), value.to_native()));
        Ok(())
    }

    fn asked<T>(&self, ask: impl FnOnce(&dyn Fn(u64) -> Option<u64>) -> T) -> Option<T> {
        let map = rkyv::access::<ArchivedMap, rkyv::rancor::Error>(&self.0).ok()?;
        Some(ask(&|index| map.get(&rkyv::rend::u64_le::from_native(index)).map(|value| value.to_native())))
    }
}

/// An rkyv `Vec` of pairs, found by bisection.
pub(crate) struct RkyvVec(rkyv::util::AlignedVec);
type ArchivedPairs = rkyv::Archived<Vec<(u64, u64)>>;

impl Peer for RkyvVec {
    const NAME: &'static str = "rkyv Vec";
    type Source = Vec<(u64, u64)>;

    fn source(slots: &[u64]) -> Self::Source {
        entries(slots).collect()
    }

    fn build(_: &[u64], source: &Self::Source) -> Result<Self> {
        Ok(Self(rkyv::to_bytes::<rkyv::rancor::Error>(source)?))
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn open(&self) -> Result<()> {
        black_box(rkyv::access::<ArchivedPairs, rkyv::rancor::Error>(&self.0)?);
        Ok(())
    }

    fn restore(&self, slots: &mut [u64]) -> Result<()> {
        let pairs = rkyv::access::<ArchivedPairs, rkyv::rancor::Error>(&self.0)?;
        pairs.iter().for_each(|pair| put(slots, pair.0.to_native(), pair.1.to_native()));
        Ok(())
    }

    fn asked<T>(&self, ask: impl FnOnce(&dyn Fn(u64) -> Option<u64>) -> T) -> Option<T> {
        let pairs = rkyv::access::<ArchivedPairs, rkyv::rancor::Error>(&self.0).ok()?;
        Some(ask(&|index| {
            let at = pairs.binary_search_by_key(&index, |pair| pair.0.to_native()).ok()?;
            pairs.get(at).map(|pair| pair.1.to_native())
        }))
    }
}

/// A postcard `Vec` of pairs. It is read from the start.
pub(crate) struct Postcard(Vec<u8>);

impl Peer for Postcard {
    const NAME: &'static str = "postcard";
    type Source = Vec<(u64, u64)>;

    fn source(slots: &[u64]) -> Self::Source {
        entries(slots).collect()
    }

    fn build(_: &[u64], source: &Self::Source) -> Result<Self> {
        Ok(Self(postcard::to_stdvec(source)?))
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn open(&self) -> Result<()> {
        black_box::<Vec<(u64, u64)>>(postcard::from_bytes(&self.0)?);
        Ok(())
    }

    fn restore(&self, slots: &mut [u64]) -> Result<()> {
        let pairs: Vec<(u64, u64)> = postcard::from_bytes(&self.0)?;
        for (index, value) in pairs {
            put(slots, index, value);
        }
        Ok(())
    }

    fn asked<T>(&self, _: impl FnOnce(&dyn Fn(u64) -> Option<u64>) -> T) -> Option<T> {
        None
    }
}

/// A property of a flattened device tree: pairs of big-endian numbers, found by bisection.
pub(crate) struct Fdt(Vec<u8>);

impl Fdt {
    fn pairs<T>(&self, read: impl FnOnce(&[[u8; 16]]) -> T) -> Result<T> {
        let tree = dtoolkit::fdt::Fdt::new(&self.0)?;
        let property = tree.root().property("folios").context("a property")?;
        Ok(read(property.value().as_chunks().0))
    }
}

/// Two numbers as a property holds them.
fn pair(bytes: [u8; 16]) -> (u64, u64) {
    let [index, value] =
        [0, 8].map(|at| bytes.iter().skip(at).take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)));
    (index, value)
}

impl Peer for Fdt {
    const NAME: &'static str = "FDT property";
    type Source = Vec<u64>;

    fn source(slots: &[u64]) -> Self::Source {
        entries(slots).flat_map(|(index, value)| [index, value]).collect()
    }

    fn build(_: &[u64], source: &Self::Source) -> Result<Self> {
        let mut writer = vm_fdt::FdtWriter::new()?;
        let root = writer.begin_node("")?;
        writer.property_array_u64("folios", source)?;
        writer.end_node(root)?;
        Ok(Self(writer.finish()?))
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn open(&self) -> Result<()> {
        self.pairs(|pairs| {
            black_box(pairs);
        })
    }

    fn restore(&self, slots: &mut [u64]) -> Result<()> {
        self.pairs(|pairs| {
            for (index, value) in pairs.iter().map(|bytes| pair(*bytes)) {
                put(slots, index, value);
            }
        })
    }

    fn asked<T>(&self, ask: impl FnOnce(&dyn Fn(u64) -> Option<u64>) -> T) -> Option<T> {
        let found = |pairs: &[[u8; 16]]| {
            ask(&|index| {
                let at = pairs.binary_search_by_key(&index, |bytes| pair(*bytes).0).ok()?;
                pairs.get(at).map(|bytes| pair(*bytes).1)
            })
        };
        self.pairs(found).ok()
    }
}

/// Sums look-ups that do not wait for one another.
pub(crate) fn independent(indices: &[u64], get: impl Fn(u64) -> Option<u64>) -> u64 {
    indices.iter().fold(0, |sum: u64, index| sum.wrapping_add(get(*index).unwrap_or(1)))
}

/// Sums look-ups each of which needs the value of the one before.
pub(crate) fn dependent(indices: &[u64], get: impl Fn(u64) -> Option<u64>) -> u64 {
    let nothing = black_box(0);
    indices
        .iter()
        .fold(0, |value: u64, index| get(index ^ (value & nothing)).unwrap_or(1).wrapping_add(value))
}
