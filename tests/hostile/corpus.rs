//! What an entry of the corpus is: what it tries, under which limits, and how it has to end.

use std::time::Duration;

use isobit_job::{Bytes, FaultKind, Fuel, LimitName, Limits, Trap, TrapCode};

/// A hostile guest, or a hostile kernel with the guest that runs it.
pub struct Entry {
    /// Its name: what is tried, in a few words.
    pub name: &'static str,
    pub guest: Guest,
    pub limits: Limits,
    pub deadline: Duration,
    pub ends: Ends,
    /// Too expensive for every run of the tests.
    pub is_long: bool,
    /// Only in a process that can be killed: it leaves threads behind.
    pub is_messy: bool,
}

/// Makes the bytes of a component.
type Make = Box<dyn Fn() -> Vec<u8> + Send + Sync>;

pub enum Guest {
    /// A component, as bytes.
    Component(Make),
    /// The guest in `tests/guests/hostile`, told to do this.
    Wish(&'static str),
    /// The same guest, told to run this kernel.
    Kernel(Kernel),
    /// One of `guest-examples`, which means no harm, with these parameters.
    Example(&'static str, &'static [(&'static str, &'static str)]),
}

/// A kernel with its buffers and its dispatch, as the guest takes them.
#[derive(Clone, Copy)]
pub struct Kernel {
    pub wgsl: fn() -> String,
    pub buffers: &'static str,
    pub dispatch: &'static str,
    pub constants: &'static str,
}

/// How an entry has to end, exactly, on every device.
#[derive(Clone, Debug)]
pub enum Ends {
    /// Completed without an output of more than no bytes.
    Completes,
    /// Completed, and output `out` has these bytes.
    Gives(Vec<u8>),
    /// Trapped so.
    Traps(Trap),
    /// Trapped with an error of the guest whose first line is this, or begins so if this ends with `…`: what the host has answered it.
    Says(&'static str),
    /// Refused with a message that has this in it, before anything of it runs.
    NotTaken(&'static str),
    /// No claim.
    Faults(FaultKind),
    /// No claim on a device with a driver; completed on the CPU device, which compiles what it interprets.
    FaultsOnDrivers(FaultKind),
}

pub fn code(code: TrapCode) -> Ends {
    Ends::Traps(Trap::GuestTrap { code })
}

pub fn limit(limit: LimitName) -> Ends {
    Ends::Traps(Trap::Limit { limit })
}

pub const ABI: Ends = Ends::Traps(Trap::GuestTrap { code: TrapCode::ComponentAbi });
pub const FUEL: Ends = Ends::Traps(Trap::Fuel);
pub const KERNEL_FUEL: Ends = Ends::Traps(Trap::KernelFuel);
pub const TOO_DEEP: Ends = Ends::Traps(Trap::Limit { limit: LimitName::CallDepth });

/// Completed with these words in output `out`.
pub fn words(words: &[u32]) -> Ends {
    Ends::Gives(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

impl Entry {
    pub fn new(name: &'static str, guest: Guest, ends: Ends) -> Entry {
        let small = Limits {
            guest_memory: Bytes::mib(64),
            device_memory: Bytes::mib(64),
            fuel: Fuel::from(20_000_000_u32),
            kernel_fuel: Fuel::saturating_from(100_000_000),
            output_bytes: Bytes::mib(1),
            outputs: 8,
        };
        Entry { name, guest, limits: small, deadline: Duration::from_secs(60), ends, is_long: false, is_messy: false }
    }

    pub fn fuel(mut self, fuel: u64) -> Entry {
        self.limits.fuel = Fuel::saturating_from(fuel);
        self
    }

    pub fn kernel_fuel(mut self, fuel: u64) -> Entry {
        self.limits.kernel_fuel = Fuel::saturating_from(fuel);
        self
    }

    pub fn guest_memory(mut self, mib: u64) -> Entry {
        self.limits.guest_memory = Bytes::saturating_from(mib << 20);
        self
    }

    pub fn device_memory(mut self, mib: u64) -> Entry {
        self.limits.device_memory = Bytes::saturating_from(mib << 20);
        self
    }

    pub fn within(mut self, deadline: Duration) -> Entry {
        self.deadline = deadline;
        self
    }

    pub fn long(mut self) -> Entry {
        self.is_long = true;
        self
    }

    /// Only where its process can be killed.
    pub fn messy(mut self) -> Entry {
        self.is_messy = true;
        self
    }

    /// The parameters of its job.
    pub fn params(&self) -> Vec<(&'static str, &'static str)> {
        match &self.guest {
            Guest::Component(_) => Vec::new(),
            Guest::Example(_, params) => params.to_vec(),
            Guest::Wish(wish) => vec![("do", wish)],
            Guest::Kernel(kernel) => vec![
                ("do", "kernel"),
                ("buffers", kernel.buffers),
                ("dispatch", kernel.dispatch),
                ("constants", kernel.constants),
            ],
        }
    }

    /// Input `wgsl` of its job.
    pub fn wgsl(&self) -> Option<Vec<u8>> {
        match &self.guest {
            Guest::Component(_) | Guest::Example(..) => None,
            Guest::Wish(_) => Some(vec![b' '; 1000]),
            Guest::Kernel(kernel) => Some((kernel.wgsl)().into_bytes()),
        }
    }
}
