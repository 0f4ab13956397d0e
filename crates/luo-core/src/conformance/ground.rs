//! Where a law is tried: a **ground**, memory with a gap in it and a carrier that crosses the gap.
//!
//! [`SimGround`] is a simulated machine; its gap is an exec or a kexec. A backend of its own kind joins by
//! implementing [`Ground`].

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use luo_kho::carrier::{Carrier, CarrierError, DescriptorKind};
use luo_kho::sim::{Fragmentation, Machine, MachineConfig, SimExec, SimKexec, SimKho};
use luo_kho::{Kho, KhoError};

/// Plays the program on the other side of the gap: opens the offer with [`Ground::successor`], and commits or refuses.
pub type FarSide<'a> = Box<dyn FnMut() -> Result<(), CarrierError> + 'a>;

/// Memory that changes hands, and a way to change them within one test.
pub trait Ground {
    /// The memory.
    type Kho: Kho;

    /// What reports call it.
    fn name(&self) -> &str;

    /// Fresh memory that nobody owns yet. All memory of the case before is gone.
    ///
    /// Memory in the same state hands out the same frames to the same calls.
    ///
    /// # Errors
    ///
    /// The backend's.
    fn found(&self) -> Result<Self::Kho, KhoError>;

    /// The memory that is on offer, as somebody sees it who may adopt it. Within [`FarSide`], any number of times.
    ///
    /// # Errors
    ///
    /// The backend's.
    fn successor(&self) -> Result<Self::Kho, KhoError>;

    /// The carrier. It crosses the gap within `hand_over`, and then calls the far side.
    fn carrier<'a>(&self, far_side: FarSide<'a>) -> Box<dyn Carrier<Self::Kho> + 'a>;

    /// Whether the near side lives on when the far side refuses.
    fn comes_back(&self) -> bool;

    /// The case is over. What was noticed that nobody should have tried; empty if all went well.
    fn finish(&self) -> Vec<String>;
}

/// A simulated machine, new for each case.
#[derive(Debug)]
pub struct SimGround {
    gap: Gap,
    config: MachineConfig,
    refused: Vec<(DescriptorKind, Cow<'static, str>)>,
    machine: RefCell<Machine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Exec,
    Kexec,
}

impl SimGround {
    fn new(gap: Gap, config: MachineConfig) -> Self {
        let machine = RefCell::new(Machine::new(config.clone()));
        Self { gap, config, refused: Vec::new(), machine }
    }

    /// The program is replaced; the allocator gives contiguous frames.
    pub fn exec() -> Self {
        Self::new(Gap::Exec, MachineConfig::default())
    }

    /// The kernel is replaced, and what was not preserved is overwritten; the allocator gives single frames.
    pub fn kexec() -> Self {
        Self::new(Gap::Kexec, MachineConfig::default().fragmentation(Fragmentation::Single))
    }

    /// On a machine with these parts.
    #[must_use]
    pub fn with(mut self, config: MachineConfig) -> Self {
        self.config = config;
        self
    }

    /// The carrier takes no descriptor of this kind across.
    #[must_use]
    pub fn refusing(mut self, kind: DescriptorKind, reason: impl Into<Cow<'static, str>>) -> Self {
        self.refused.push((kind, reason.into()));
        self
    }
}

impl Ground for SimGround {
    type Kho = SimKho;

    fn name(&self) -> &'static str {
        match self.gap {
            Gap::Exec => "sim-exec",
            Gap::Kexec => "sim-kexec",
        }
    }

    fn found(&self) -> Result<SimKho, KhoError> {
        let machine = Machine::new(self.config.clone());
        let kho = machine.fresh();
        self.machine.replace(machine);
        kho
    }

    fn successor(&self) -> Result<SimKho, KhoError> {
        self.machine.borrow().successor()
    }

    fn carrier<'a>(&self, mut far_side: FarSide<'a>) -> Box<dyn Carrier<SimKho> + 'a> {
        let far_side = move |_: &Machine| far_side();
        let refused = self.refused.iter().cloned();
        match self.gap {
            Gap::Exec => {
                let exec = SimExec::new(far_side);
                Box::new(refused.fold(exec, |exec, (kind, reason)| exec.refusing(kind, reason)))
            }
            Gap::Kexec => {
                let kexec = SimKexec::new(far_side);
                Box::new(refused.fold(kexec, |kexec, (kind, reason)| kexec.refusing(kind, reason)))
            }
        }
    }

    fn comes_back(&self) -> bool {
        self.gap == Gap::Exec
    }

    fn finish(&self) -> Vec<String> {
        self.machine.borrow().violations().iter().map(|violation| alloc::format!("{violation:?}")).collect()
    }
}
