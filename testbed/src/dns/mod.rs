//! An authoritative DNS server in this process: real zones, real updates, and faults on request.
//!
//! It answers over UDP and TCP and takes RFC 2136 updates. Its TSIG code and the client's share
//! nothing: one checks the other.

mod serve;
mod tsig;
mod update;
mod zone;

pub use hickory_proto::{op::ResponseCode, rr::RecordType};
pub use serve::{Faults, Garbage};
pub use tsig::{Algorithm, Key};
pub use update::{Change, Update};
pub use zone::{Data, Zone};

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use hickory_proto::rr::Name;

use self::{
    serve::{Listener, Shared},
    zone::Zones,
};

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address it listens on, over UDP and TCP.
    pub address: IpAddr,
    /// The port; 0 for a free one.
    pub port: u16,
    /// The zones it speaks for.
    pub zones: Vec<Zone>,
    /// The keys that may sign updates. With none, every update is taken; with some, only signed ones.
    pub keys: Vec<Key>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            zones: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    listener: Listener,
}

impl Server {
    /// Starts a server on the tokio runtime that this is called in.
    ///
    /// # Errors
    /// When the address or the port cannot be had.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let Options {
            address,
            port,
            zones,
            keys,
        } = options;
        let shared = Arc::new(Shared {
            zones: Mutex::new(Zones::new(zones)?),
            keys,
            updates: Mutex::default(),
        });
        let listener = Listener::start(&shared, SocketAddr::new(address, port), None)?;
        Ok(Self { shared, listener })
    }

    /// Where it listens, over UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr
    }

    /// Starts a secondary: it shows the zones as they were now, until [`Secondary::release`].
    ///
    /// # Errors
    /// When the address or the port cannot be had.
    pub fn secondary(&self, address: IpAddr, port: u16) -> anyhow::Result<Secondary> {
        let copy = Arc::new(Mutex::new(locked(&self.shared.zones).clone()));
        let listener = Listener::start(
            &self.shared,
            SocketAddr::new(address, port),
            Some(copy.clone()),
        )?;
        Ok(Secondary {
            shared: self.shared.clone(),
            copy,
            listener,
        })
    }

    /// The records of a type at a name itself (no wildcard, no alias), as in a zone file; sorted.
    pub fn records(&self, name: &str, kind: RecordType) -> Vec<String> {
        match parse_name(name) {
            Ok(name) => locked(&self.shared.zones).texts(&name, kind),
            Err(_) => Vec::new(),
        }
    }

    /// Makes `data` the only record of its type at `name`, as an operator would in the zone file.
    ///
    /// # Errors
    /// When no zone holds the name, or a name in it does not parse.
    pub fn set_record(&self, name: &str, data: &Data) -> anyhow::Result<()> {
        let name = parse_name(name)?;
        locked(&self.shared.zones).set(&name, data.rdata()?)
    }

    /// Removes all records of a type at `name`.
    ///
    /// # Errors
    /// When no zone holds the name.
    pub fn remove_record(&self, name: &str, kind: RecordType) -> anyhow::Result<()> {
        let name = parse_name(name)?;
        locked(&self.shared.zones).remove(&name, kind)
    }

    /// The updates that came in, refused ones too, oldest first.
    pub fn updates(&self) -> Vec<Update> {
        locked(&self.shared.updates).clone()
    }

    /// How many queries came in (updates not counted), over UDP and TCP.
    pub fn queries(&self) -> usize {
        self.listener.queries()
    }

    /// How often it was asked for records of that type at `name`.
    pub fn asked(&self, name: &str, kind: RecordType) -> usize {
        parse_name(name).map_or(0, |name| self.listener.asked(&name, kind))
    }

    /// Changes what goes wrong from now on.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut locked(&self.listener.faults));
    }
}

/// A secondary of a [`Server`]; it stops when dropped.
#[derive(Debug)]
pub struct Secondary {
    shared: Arc<Shared>,
    copy: Arc<Mutex<Zones>>,
    listener: Listener,
}

impl Secondary {
    /// Where it listens, over UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr
    }

    /// Shows the zones as they are now on the primary.
    pub fn release(&self) {
        let now = locked(&self.shared.zones).clone();
        *locked(&self.copy) = now;
    }

    /// How many queries came in, over UDP and TCP.
    pub fn queries(&self) -> usize {
        self.listener.queries()
    }

    /// Changes what goes wrong from now on.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut locked(&self.listener.faults));
    }
}

/// An absolute name in lower case.
fn parse_name(text: &str) -> anyhow::Result<Name> {
    let mut name = Name::from_ascii(text).with_context(|| format!("{text:?} is no domain name"))?;
    name.set_fqdn(true);
    Ok(name.to_lowercase())
}

/// A test that panicked while it held the lock has failed already; the others go on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
