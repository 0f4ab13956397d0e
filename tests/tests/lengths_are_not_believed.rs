//! A length that arrives is not a reason to take memory: a handover that claims to be larger than what this program can
//! hold is refused, and the guest stays where it is.

use luo_core::{AdoptError, Luo, Registry, WireError};
use luo_kho::ownership;
use luo_kho::sim::{Machine, MachineConfig};
use luo_kho::{FrameCount, Kho as _, PreservedArray, PreservedBox, Record, StoreError};
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A root as the orchestrator writes it: name and length of the image, generation, turn.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Root([U64; 4]);

impl Record for Root {
    const WHAT: &'static str = "handover root";
    const MAGIC: u32 = u32::from_le_bytes(*b"LUOR");
    const VERSION: u16 = 1;
}

/// A machine of 64 TiB costs what is written to it, and a chain that names half of it takes a few frames.
#[test]
fn an_image_of_many_tebibytes_is_refused() {
    const LEN: u64 = 1 << 45;
    let frames = FrameCount::new(1 << 34).expect("64 TiB");
    let machine = Machine::new(MachineConfig::default().frames(frames).scratch([]));
    let (mut kho, owned) = machine.found().unwrap();
    let turn = owned.word().turn().get();
    let image = PreservedArray::<u8>::alloc(&mut kho, LEN).unwrap();
    let root = Root([image.name().get(), LEN, 0, turn].map(U64::new));
    let root = PreservedBox::new(&mut kho, root).unwrap();
    kho.publish(Some(root.name().as_root())).unwrap();
    let offer = ownership::offer(&mut kho, owned).map_err(|kept| kept.error).unwrap();

    let stuck = Luo::adopt(machine.successor().unwrap(), Registry::new()).unwrap_err();
    let AdoptError::Wire(WireError::Store(StoreError::BadLength { len, .. })) = stuck.error else {
        panic!("{}", stuck.error)
    };
    assert_eq!(len.get(), LEN);
    let owned = ownership::revoke(&mut kho, offer).unwrap();
    assert!(machine.enter_guest(&owned));
    assert_eq!(machine.violations(), []);
}
