//! Reading the URL of one server.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::error::{Error, Kind};

// What is wrong is said without the text that is wrong: a part of it may be a password.
pub(crate) fn read(url: &str) -> Result<ConnectionInfo, Error> {
    let forms = "redis://[user:password@]host[:port][/database], the same with rediss:// for TLS, \
                 redis+sentinel://host[:port],host[:port]/name-of-the-primary, redis+cluster://host[:port],host[:port], or \
                 redis+unix:///path/to/socket";
    let wrong = |what: String| Err(Kind::Url(what).into());
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong(format!("the redis URL has no scheme: write {forms}"));
    };
    match scheme {
        "redis" | "valkey" | "redis+unix" | "valkey+unix" | "unix" => {}
        "rediss" | "valkeys" if cfg!(feature = "tls") => {}
        "rediss" | "valkeys" => {
            return wrong(format!("{scheme}:// needs TLS: enable the feature `tls` of actor-redis"));
        }
        _ if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            return wrong(format!("{scheme}:// is not a redis URL: write {forms}"));
        }
        _ => return wrong(format!("the redis URL cannot be read: write {forms}")),
    }
    if let Some((cut, code)) = cut_in_a_password(scheme, rest) {
        return wrong(format!(
            "the redis URL has a `{cut}` before its `@`: in a password, write `{cut}` as `{code}`, and {OTHERS}"
        ));
    }
    if redis::parse_redis_url(url).is_none() || is_cut_in_a_parameter(scheme, rest) {
        return wrong(format!("the redis URL cannot be read: write {forms}; in a password, write {OTHERS}"));
    }
    let info = url.into_connection_info().map_err(|error| Kind::unreadable(&error))?;
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } if host.is_empty() => {
            wrong(format!("the redis URL has no host: write {forms}"))
        }
        ConnectionAddr::TcpTls { insecure: true, .. } => wrong(
            "a redis URL with #insecure is not taken: trust the server's own authority with `root_certificate`"
                .to_owned(),
        ),
        _ => Ok(info),
    }
}

/// What a password may hold only as a code.
pub(crate) const OTHERS: &str = "@ : / ? # and % as %40 %3A %2F %3F %23 and %25";

/// What ends the host, where that may be a part of a password, since an `@` comes later; and how to write it.
pub(crate) fn cut_in_a_password(scheme: &str, rest: &str) -> Option<(char, &'static str)> {
    let (at, cut) = rest.char_indices().find(|(_, c)| "/?#".contains(*c))?;
    let code = match cut {
        '/' => "%2F",
        '?' => "%3F",
        _ => "%23",
    };
    (!scheme.ends_with("unix") && rest[at..].contains('@')).then_some((cut, code))
}

/// Whether what is read as a socket's path may hold a password, which stands behind a `?`.
fn is_cut_in_a_parameter(scheme: &str, rest: &str) -> bool {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    scheme.ends_with("unix") && (path.contains("pass=") || path.contains("user="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    fn refusal(url: &str) -> String {
        match Endpoint::parse(url) {
            Ok(endpoint) => panic!("{url} was taken: {endpoint:?}"),
            Err(error) => {
                assert!(error.is_invalid());
                format!("{error} {error:?}")
            }
        }
    }

    #[test]
    fn every_form_of_url_is_read() -> Result<(), Error> {
        for (url, address) in [
            ("redis://localhost", "localhost:6379"),
            ("redis://10.0.0.1:6380/3", "10.0.0.1:6380"),
            ("redis://:secret@[::1]:6380", "::1:6380"),
            ("redis://ada:s%40cret@redis.internal/1", "redis.internal:6379"),
            ("redis+unix:///run/redis.sock?db=2", "/run/redis.sock"),
            ("unix:///run/redis.sock", "/run/redis.sock"),
            ("unix:///run/a@b/redis.sock?pass=hun@ter/2", "/run/a@b/redis.sock"),
            // The last one divides, and the host is whole.
            ("redis://ada:hun@ter@2@host/1", "host:6379"),
            ("redis://:hun:ter2@host", "host:6379"),
        ] {
            assert_eq!(&*Endpoint::parse(url)?.address, address);
        }
        Ok(())
    }

    #[test]
    fn a_wrong_url_is_refused_without_showing_its_password() {
        for url in [
            "localhost:6379",
            "",
            "http://:hunter2@localhost",
            "redis://:hunter2@",
            "redis://:hunter2@host:notaport",
            "redis://:hun/ter2@host",
            "redis://:hunter2@host/notadatabase",
            "redis://:hunter2@host/?protocol=hunter2",
            "hunter2@host://x",
            "redis://:hunter2@0.0.0.0",
        ] {
            let shown = refusal(url);
            assert!(!shown.contains("hunter2") && !shown.contains("ter2"), "{shown}");
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_never_taken_for_a_host() {
        let scheme = if cfg!(feature = "tls") { "rediss" } else { "redis" };
        let cut_of = |secret: &str| if secret.contains('/') { 0 } else { usize::from(secret.contains('#')) + 1 };
        for before in ["", "ada", "12", "ada.example.com", "a@b"] {
            for secret in
                ["12/hunter2", "hunter2/", "6379?hunter2", "6379#hunter2", "12/hun@ter2", "hunter2@12/x", "/hunter2"]
            {
                for after in ["host", "host:6380", "host/1", "10.0.0.1/1?protocol=resp3", "[::1]"] {
                    for scheme in ["redis", "valkey", scheme] {
                        let shown = refusal(&format!("{scheme}://{before}:{secret}@{after}"));
                        let (cut, code) = [('/', "%2F"), ('?', "%3F"), ('#', "%23")][cut_of(secret)];
                        assert!(shown.contains(&format!("write `{cut}` as `{code}`, and @ : / ?")), "{shown}");
                        assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
                    }
                }
            }
        }
        for cut in ["redis+unix:///run/s&pass=hunter2", "unix:///run/s/pass=hunter2", "unix:///run/s;user=hunter2"] {
            assert!(!refusal(cut).contains("hunter2"), "{cut}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_without_its_feature_says_what_to_enable() {
        assert!(refusal("rediss://host").contains("feature `tls`"));
    }
}
