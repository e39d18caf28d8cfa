//! Where a member of a cluster is, as a URL or another member names it.

use std::fmt;
use std::sync::Arc;

/// The host and the port of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What makes of an address that members announce one that leads there from here.
#[derive(Clone, Default)]
pub(crate) struct AddressMap(Option<Arc<Translate>>);

type Translate = dyn Fn(&str, u16) -> (String, u16) + Send + Sync;

impl AddressMap {
    pub(crate) fn new(translate: impl Fn(&str, u16) -> (String, u16) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(translate)))
    }

    /// The address of a member that announces this host and port. One that announces no host is where the member
    /// is that named it.
    pub(crate) fn announced(&self, host: Option<&str>, port: u16, asked: &Address) -> Address {
        match (host.filter(|host| !matches!(*host, "" | "?")), &self.0) {
            (None, _) => Address::new(&asked.host, port),
            (Some(host), None) => Address::new(host, port),
            (Some(host), Some(translate)) => {
                let (host, port) = translate(host, port);
                Address { host, port }
            }
        }
    }
}

impl fmt::Debug for AddressMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressMap({})", if self.0.is_some() { "given" } else { "none" })
    }
}
