//! The URL of a cluster: some of its members, any of which leads to all.

use super::address::Address;
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind};

/// The members that a URL names.
#[derive(Debug)]
pub(crate) struct Seeds {
    /// The first of them, by which all others are reached alike: with its user, its password and its TLS.
    pub(crate) first: Endpoint,
    pub(crate) all: Vec<Address>,
}

const FORM: &str = "redis+cluster://[user:password@]host:port[,host:port ..], the same with rediss+cluster:// for TLS";

impl Seeds {
    /// Reads a URL; `None` where it is not one of a cluster.
    pub(crate) fn parse(url: &str) -> Option<Result<Self, Error>> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = scheme.strip_suffix("+cluster")?;
        Some(Self::read(scheme, rest))
    }

    fn read(scheme: &str, rest: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::from(Kind::Url(format!("the redis URL {what}: write {FORM}")));
        // The last `@` ends the password. What comes before the hosts is each one's, and is checked with the first.
        let (user, hosts) = match rest.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), rest),
        };
        let (hosts, after) = hosts.split_at(hosts.find(['/', '?', '#']).unwrap_or(hosts.len()));
        let mut seeds = hosts.split(',').map(|host| Endpoint::parse(&format!("{scheme}://{user}{host}{after}")));
        let first = seeds.next().ok_or_else(|| wrong("has no host"))??;
        if first.database() != 0 {
            return Err(Kind::Url(
                "the redis URL names a database, and a cluster has none but 0: leave it out, and keep programs apart by \
                 `namespace`"
                    .to_owned(),
            )
            .into());
        }
        let address =
            |endpoint: &Endpoint| endpoint.host().ok_or_else(|| wrong("is one of a cluster and names no host"));
        let mut all = vec![address(&first)?];
        for seed in seeds {
            all.push(address(&seed?)?);
        }
        Ok(Self { first, all })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Seeds, Error> {
        Seeds::parse(url).expect("the URL of a cluster")
    }

    #[test]
    fn every_form_of_a_clusters_url_is_read() -> Result<(), Error> {
        for (url, addresses) in [
            ("redis+cluster://n1:7000,n2:7001", "n1:7000 n2:7001"),
            ("redis+cluster://n1", "n1:6379"),
            ("valkey+cluster://ada:s%40cret@n1:7000,10.0.0.2:7001/", "n1:7000 10.0.0.2:7001"),
            ("redis+cluster://:hun@ter2@[::1]:7000,[fe80::2]/0", "::1:7000 fe80::2:6379"),
        ] {
            let all: Vec<_> = parse(url)?.all.iter().map(ToString::to_string).collect();
            assert_eq!(all.join(" "), addresses);
        }
        assert!(Seeds::parse("redis://n1:7000").is_none() && Seeds::parse("n1:7000").is_none());
        Ok(())
    }

    #[test]
    fn a_wrong_url_of_a_cluster_is_refused_without_showing_its_password() {
        for url in [
            "redis+cluster://",
            "redis+cluster://:hunter2@",
            "redis+cluster://:hunter2@n1,",
            "redis+cluster://:hunter2@n1:port",
            "redis+cluster://:hunter2@n1,n2:port",
            "redis+cluster://:hun/ter2@n1",
            "redis+cluster://:hunter2@n1,ada:hun/ter2@n2",
            "http+cluster://:hunter2@n1",
            "redis+unix+cluster:///run/redis.sock?pass=hunter2",
        ] {
            let error = parse(url).expect_err(url);
            assert!(error.is_invalid(), "{url}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("ter2"), "{shown}");
        }
    }

    #[test]
    fn another_database_than_0_is_refused() {
        let error = parse("redis+cluster://n1:7000,n2:7001/3").expect_err("a database");
        assert!(error.is_invalid() && error.to_string().contains("database"), "{error}");
    }
}
