//! In preserved frames of the simulated machine.

use alloc::vec::Vec;

use luo_kho::sim::{Fragmentation, Machine, MachineConfig};
use luo_kho::{Kho, Name, ownership};

use super::{CLEAN, both, extent, order};
use crate::page_map::{Extent, PageMapBuilder, SerializedPageMap};

#[test]
fn a_page_map_survives_a_kexec() {
    for fragmentation in [Fragmentation::Contiguous, Fragmentation::Descending, Fragmentation::Random] {
        let machine = Machine::new(MachineConfig::default().fragmentation(fragmentation).seed(3));
        let (mut old, owned) = machine.found().unwrap();
        let mut builder = PageMapBuilder::new(order(0));
        let extents: Vec<Extent> = (0..6000)
            .map(|n| extent(n * 2, n * n % 65_521, 1, 0, if n % 9 == 0 { both() } else { CLEAN }))
            .collect();
        for extent in &extents {
            builder.push(*extent).unwrap();
        }
        let map = builder.finish(&mut old).unwrap();
        assert!(map.len().get() > 3 * 4096 && map.frames().len() > 1);
        old.publish(Some(map.name().as_root())).unwrap();
        let offer = ownership::offer(&mut old, owned).unwrap();
        machine.kexec();

        let mut new = machine.successor().unwrap();
        let name = Name::new(new.root().unwrap().get()).unwrap();
        SerializedPageMap::open(&new, name).unwrap().verify(&new).unwrap();
        let map = SerializedPageMap::restore(&mut new, name).unwrap();
        let _owned = ownership::commit(&mut new, offer).unwrap();
        let read: Vec<Extent> = map.view(&new).unwrap().extents().map(Result::unwrap).collect();
        assert_eq!(read, extents);
        map.free(&mut new).unwrap();
        assert_eq!((new.census().unwrap().allocated, new.preserved().unwrap()), (Vec::new(), Vec::new()));
    }
}
