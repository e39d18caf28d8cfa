//! Redirections: a member's answer that another one has to be asked.
//!
//! A command that is answered so was not executed, and only such a command is sent again. One without an answer may
//! have happened, and is not.

use std::sync::Arc;

use super::Cluster;
use super::address::Address;
use super::members::Members;
use crate::endpoint::Endpoint;
use crate::error::RequestError;
use crate::exchange::Exchange;
use crate::request::{Answer, Request};

/// How often a command is redirected at most. A failover or a migrated slot redirects once or twice.
const HOPS: usize = 5;

/// Who is to be asked for a command in place of who was.
#[derive(Debug, PartialEq, Eq)]
struct Redirect {
    /// Only for now, while a slot is migrated: the member takes the command behind an `ASKING`.
    asks: bool,
    slot: u16,
    server: Address,
}

impl Redirect {
    /// Reads a refusal, `MOVED 3999 10.0.0.1:6381` or the same with `ASK`.
    fn of(refusal: &RequestError, asked: &Endpoint, cluster: &Cluster) -> Option<Self> {
        let RequestError::Answer { source, .. } = refusal else { return None };
        let asks = match source.code() {
            "ASK" => true,
            "MOVED" => false,
            _ => return None,
        };
        let (slot, server) = source.details()?.split_once(' ')?;
        let (host, port) = server.rsplit_once(':')?;
        let server = cluster.addresses.announced(Some(host), port.parse().ok()?, &asked.host()?);
        Some(Self { asks, slot: slot.parse().ok()?, server })
    }
}

impl Cluster {
    /// Asks a member, and whoever is to be asked in its place.
    ///
    /// # Errors
    ///
    /// The member did not answer to any of the commands.
    pub(crate) async fn request(
        &self,
        members: &Members,
        server: &Arc<Endpoint>,
        request: &Request,
        exchange: &mut (impl Exchange + Send),
    ) -> Result<Vec<Answer>, RequestError> {
        let connections = members.at(self, server);
        let takes = exchange.takes();
        let mut answers = self.hear(&connections, takes, exchange.send(&connections, request, &[])).await?;
        self.follow(members, server, request, &mut answers, exchange).await;
        Ok(answers)
    }

    /// Sends again what a member was redirected for, until it is answered otherwise.
    pub(super) async fn follow(
        &self,
        members: &Members,
        server: &Arc<Endpoint>,
        request: &Request,
        answers: &mut [Answer],
        exchange: &mut (impl Exchange + Send),
    ) {
        let mut redirected = self.redirected(server, answers.iter().enumerate());
        for _ in 0..HOPS {
            let Some((_, Redirect { asks, server, .. })) = redirected.first() else { break };
            let (asks, server) = (*asks, server.clone());
            // In the order in which they were sent: what deletes goes before what acknowledges.
            let is_now = |(_, redirect): &(usize, Redirect)| redirect.asks == asks && redirect.server == server;
            let (now, later): (Vec<_>, _) = redirected.into_iter().partition(is_now);
            redirected = later;
            let places: Vec<_> = now.iter().map(|(place, _)| *place).collect();
            let (again, behind) = request.again(&places, asks);
            let answered = match self.endpoint(&server) {
                Ok(server) => {
                    let connections = if asks {
                        members.beside(self, &server)
                    } else {
                        self.moved(now.iter().map(|(_, redirect)| redirect.slot), &server);
                        members.at(self, &server)
                    };
                    let takes = exchange.takes();
                    let late = self.hear(&connections, takes, exchange.send(&connections, &again, &places)).await;
                    late.map(|late| (server, late))
                }
                Err(error) => Err(RequestError::NotConnected(Arc::new(error))),
            };
            match answered {
                Ok((server, mut late)) => {
                    for (place, behind) in places.iter().zip(behind) {
                        answers[*place] = std::mem::replace(&mut late[behind], Ok(redis::Value::Nil));
                    }
                    let again = places.iter().map(|place| (*place, &answers[*place]));
                    redirected.extend(self.redirected(&server, again));
                }
                Err(error) => places.into_iter().for_each(|place| answers[place] = Err(error.clone())),
            }
        }
        for (place, Redirect { server, .. }) in redirected {
            answers[place] = Err(RequestError::Redirected { address: server.to_string().into() });
        }
        if answers.iter().any(is_doubtful) {
            self.suspect();
        }
    }

    /// Which of a member's answers are redirections.
    fn redirected<'a>(
        &self,
        asked: &Endpoint,
        answers: impl Iterator<Item = (usize, &'a Answer)>,
    ) -> Vec<(usize, Redirect)> {
        let redirect =
            |(place, answer): (usize, &Answer)| Some((place, Redirect::of(answer.as_ref().err()?, asked, self)?));
        answers.filter_map(redirect).collect()
    }
}

/// Whether an answer shows that the member does not serve the slot any more, and cannot say who does.
fn is_doubtful(answer: &Answer) -> bool {
    let Err(error) = answer else { return false };
    error.is_of_no_primary() || matches!(error.code(), Some("CLUSTERDOWN"))
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::super::{AddressMap, Seeds};
    use super::*;

    fn redirect(text: &str) -> Option<Redirect> {
        let seeds = Seeds::parse("redis+cluster://seed:7000").expect("a cluster").expect("a URL");
        let translate = |host: &str, port| (if host == "10.0.0.9" { "nine" } else { host }.to_owned(), port);
        let cluster = Cluster::new(seeds, AddressMap::new(translate), 0);
        let refusal = match redis::parse_redis_value(format!("-{text}\r\n").as_bytes()) {
            Ok(Value::ServerError(source)) => RequestError::Answer { address: "seed:7000".into(), source },
            other => panic!("{other:?} is no refusal"),
        };
        Redirect::of(&refusal, &Endpoint::parse("redis://seed:7000").expect("a URL"), &cluster)
    }

    #[test]
    fn a_redirection_names_a_member_in_each_form() {
        let to = |asks, slot, host: &str, port| Some(Redirect { asks, slot, server: Address::new(host, port) });
        assert_eq!(redirect("MOVED 3999 127.0.0.1:6381"), to(false, 3_999, "127.0.0.1", 6_381));
        assert_eq!(redirect("ASK 3999 fe80::1:6381"), to(true, 3_999, "fe80::1", 6_381));
        assert_eq!(redirect("MOVED 1 node-3.internal:6379"), to(false, 1, "node-3.internal", 6_379));
        assert_eq!(redirect("MOVED 1 :6380"), to(false, 1, "seed", 6_380));
        assert_eq!(redirect("MOVED 1 ?:6380"), to(false, 1, "seed", 6_380));
        assert_eq!(redirect("ASK 1 10.0.0.9:6380"), to(true, 1, "nine", 6_380));
        for other in
            ["MOVED", "MOVED 1", "MOVED x host:1", "ASK 1 host:port", "TRYAGAIN MOVED 1 host:1", "ERR MOVED 1 a:1"]
        {
            assert_eq!(redirect(other), None, "{other}");
        }
    }
}
