//! Reading a URL that names Sentinels.

use redis::{ConnectionAddr, ConnectionInfo, RedisConnectionInfo};

use crate::endpoint::prepared;
use crate::endpoint::url::{OTHERS, cut_in_a_password, read};
use crate::error::{Error, Kind};

/// Where a Sentinel listens unless told otherwise.
const PORT: u16 = 26_379;

const FORM: &str = "redis+sentinel://[user:password@]host[:port],host[:port]/name-of-the-primary[/database]";

/// What a URL says.
#[derive(Clone)]
pub(super) struct Listed {
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// What the Sentinels call the primary.
    pub(super) name: String,
    /// The servers that are watched, but for their addresses.
    pub(super) server: ConnectionInfo,
}

impl Listed {
    /// Reads a URL; `None` where it is not about Sentinels.
    pub(super) fn read(url: &str) -> Result<Option<Self>, Error> {
        let Some((scheme, rest)) = url.split_once("://") else { return Ok(None) };
        let Some(plain @ ("redis" | "rediss" | "valkey" | "valkeys")) = scheme.strip_suffix("+sentinel") else {
            return Ok(None);
        };
        Self::of(plain, scheme, rest).map(Some)
    }

    fn of(plain: &str, scheme: &str, rest: &str) -> Result<Self, Error> {
        // What is wrong is said without the text that is wrong: a part of it may be a password.
        let wrong = |what: String| Err(Kind::Url(what).into());
        if let Some((cut, code)) = cut_in_a_password(scheme, rest) {
            return wrong(format!(
                "the redis URL has a `{cut}` before its `@`: in a password, write `{cut}` as `{code}`, and {OTHERS}"
            ));
        }
        if rest.contains(['?', '#']) {
            return wrong(format!("a URL of Sentinels takes nothing after a `?` or a `#`: write {FORM}"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return wrong(format!("the redis URL does not name the primary that the Sentinels watch: write {FORM}"));
        }
        let at = if authority.contains('@') { "@" } else { "" };
        let mut infos = Vec::<ConnectionInfo>::new();
        for host in hosts.split(',') {
            // The colons of an IPv6 address stand in brackets.
            let end = host.rsplit_once(']').map_or(host, |(_, end)| end);
            let port = if end.contains(':') { String::new() } else { format!(":{PORT}") };
            let info = prepared(read(&format!("{plain}://{user}{at}{host}{port}/{database}"))?);
            // One that is named twice has one vote.
            if !infos.iter().any(|other| other.addr() == info.addr()) {
                infos.push(info);
            }
        }
        let [server, ..] = &infos[..] else { return wrong(format!("the redis URL has no host: write {FORM}")) };
        let server = server.clone();
        let sentinels = infos.into_iter().map(|info| as_nobody(&info)).collect();
        Ok(Self { sentinels, name: name.to_owned(), server })
    }

    /// With a user and a password of the Sentinels' own.
    pub(super) fn with_credentials(mut self, user: &str, password: &str) -> Self {
        for sentinel in &mut self.sentinels {
            let settings = sentinel.redis_settings().clone().set_password(password);
            let settings = if user.is_empty() { settings } else { settings.set_username(user) };
            *sentinel = sentinel.clone().set_redis_settings(settings);
        }
        self
    }

    /// A server at this address.
    pub(super) fn server_at(&self, host: &str, port: u16) -> ConnectionInfo {
        let host = host.to_owned();
        let address = match self.server.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.server.clone().set_addr(address)
    }
}

/// Without the user, the password and the database of the servers, of which a Sentinel knows nothing.
fn as_nobody(info: &ConnectionInfo) -> ConnectionInfo {
    prepared(info.clone().set_redis_settings(RedisConnectionInfo::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    fn listed(url: &str) -> Listed {
        match Listed::read(url) {
            Ok(Some(listed)) => listed,
            Ok(None) => panic!("{url} is of no Sentinels"),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    fn refusal(url: &str) -> String {
        match Listed::read(url) {
            Ok(_) => panic!("{url} was taken"),
            Err(error) => {
                assert!(error.is_invalid(), "{error}");
                format!("{error} {error:?}")
            }
        }
    }

    #[test]
    fn every_form_of_url_is_read() {
        for (url, sentinels, name, database, user) in [
            ("redis+sentinel://s1/mymaster", vec!["s1:26379"], "mymaster", 0, None),
            ("valkey+sentinel://s1/my.master-1/", vec!["s1:26379"], "my.master-1", 0, None),
            ("redis+sentinel://s1:5000,10.0.0.2/m/3", vec!["s1:5000", "10.0.0.2:26379"], "m", 3, None),
            ("redis+sentinel://[::1],[::2]:7/m", vec!["::1:26379", "::2:7"], "m", 0, None),
            ("redis+sentinel://ada:s%40cret,@s1,s2/m", vec!["s1:26379", "s2:26379"], "m", 0, Some("ada")),
            ("redis+sentinel://:hun@ter,2@s1,s1:26379/m", vec!["s1:26379"], "m", 0, None),
        ] {
            let listed = listed(url);
            let addresses: Vec<_> = listed.sentinels.iter().map(|info| info.addr().to_string()).collect();
            assert_eq!((addresses, &*listed.name), (sentinels.into_iter().map(str::to_owned).collect(), name), "{url}");
            let settings = listed.server.redis_settings();
            assert_eq!((settings.db(), settings.username()), (database, user), "{url}");
            assert_eq!(settings.password().is_some(), url.contains('@'), "{url}");
            let nobody = listed.sentinels.iter().all(|info| {
                let settings = info.redis_settings();
                settings.password().is_none() && settings.username().is_none() && settings.db() == 0
            });
            assert!(nobody, "{url}: the servers' password is none of the Sentinels' business");
        }
        assert!(Listed::read("redis://host").is_ok_and(|listed| listed.is_none()));
        assert!(Listed::read("redis+cluster://host").is_ok_and(|listed| listed.is_none()));
    }

    #[test]
    fn a_wrong_url_is_refused_without_showing_its_password() {
        for url in [
            "redis+sentinel://",
            "redis+sentinel://:hunter2@s1",
            "redis+sentinel://:hunter2@s1/",
            "redis+sentinel://:hunter2@s1//3",
            "redis+sentinel://:hunter2@/m",
            "redis+sentinel://:hunter2@s1,,s2/m",
            "redis+sentinel://:hunter2@s1,s2:notaport/m",
            "redis+sentinel://:hun/ter2@s1/m",
            "redis+sentinel://:hunter2@s1/m/notadatabase",
            "redis+sentinel://:hunter2@s1/m?x=hunter2",
            "redis+sentinel://:hunter2@s1/m#insecure",
            "redis+sentinel://:hunter2@s1,0.0.0.0/m",
        ] {
            let shown = refusal(url);
            assert!(!shown.contains("hunter2") && !shown.contains("ter2"), "{shown}");
        }
        assert!(refusal("redis+sentinel://s1,s2").contains("does not name the primary"));
    }

    #[test]
    fn what_is_shown_of_an_endpoint_is_its_sentinels_and_its_name() -> Result<(), Error> {
        let mut endpoint = Endpoint::parse("redis+sentinel://ada:hunter2@s1,s2:5000/mymaster/3")?;
        endpoint.ask_sentinels_as("watcher", "hunter2")?;
        let shown = format!("{endpoint:?}");
        for part in ["s1:26379", "s2:5000", "mymaster", "database: 3"] {
            assert!(shown.contains(part), "{shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
        Ok(())
    }

    #[cfg(feature = "tls")]
    #[test]
    fn with_tls_it_is_for_the_servers_and_the_sentinels() {
        for url in ["rediss+sentinel://s1,s2/m", "valkeys+sentinel://s1,s2/m"] {
            let listed = listed(url);
            let server = listed.server_at("10.0.0.1", 7);
            let all = listed.sentinels.iter().chain([&server]);
            assert!(all.clone().all(|info| matches!(info.addr(), ConnectionAddr::TcpTls { insecure: false, .. })));
            assert_eq!(server.addr().to_string(), "10.0.0.1:7");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_without_its_feature_says_what_to_enable() {
        assert!(refusal("rediss+sentinel://s1/m").contains("feature `tls`"));
    }
}
