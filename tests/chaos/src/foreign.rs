//! Messages that this library did not write: minimal ones in today's format, and ones in a newer format that wait for
//! newer workers.

use actor_core::{Actor, MessageId};
use redis::{RedisResult, cmd};

use crate::history::What;
use crate::process::NAMESPACE;
use crate::stage::Stage;
use crate::storage::key;
use crate::tasks::plain;

/// The number of each kind in a batch.
const EACH: usize = 5;

/// The due time of messages parked here, in ms since 1970: long after any test.
const FAR_MS: u64 = 4_000_000_000_000;

/// Adds some of both kinds to the ready streams.
pub(crate) fn send(stage: &Stage, rng: u64) -> RedisResult<()> {
    let level = ["high", "normal", "low"][(rng % 3) as usize];
    let key = format!("{{{NAMESPACE}:work}}:ready:{level}");
    let mut connection = stage.server().connection()?;
    let actor = <plain as Actor>::DEF.name;
    for _ in 0..EACH {
        let id = MessageId::new();
        let body =
            format!(r#"{{"args":[3,0],"queue":"work","actor":"{actor}","id":"{id}","v":1,"chaos_note":"by hand"}}"#);
        stage.journal.note(&What::Invoked { id, actor: actor.to_owned(), delay_ms: 0 });
        cmd("XADD").arg(&key).arg("*").arg("m").arg(&body).exec(&mut connection)?;
        stage.journal.note(&What::Acknowledged { id });

        let id = MessageId::new();
        let body = format!(r#"{{"v":3,"id":"{id}","actor":"{actor}","queue":"work","args":{{"ms":3}},"lane":[1,2]}}"#);
        stage.journal.note(&What::NewerFormat { id, body: body.clone() });
        cmd("XADD").arg(&key).arg("*").arg("m").arg(&body).exec(&mut connection)?;
    }
    Ok(())
}

/// Parks some messages, as a worker does that cannot run them.
pub(crate) fn park(stage: &Stage) -> RedisResult<()> {
    let mut connection = stage.server().connection()?;
    let actor = <plain as Actor>::DEF.name;
    for _ in 0..EACH {
        let id = MessageId::new();
        let body = format!(r#"{{"v":1,"id":"{id}","actor":"{actor}","queue":"work","args":[3,0],"deliveries":1}}"#);
        stage.journal.note(&What::Invoked { id, actor: actor.to_owned(), delay_ms: 0 });
        let member = format!("normal:{id}");
        redis::pipe()
            .atomic()
            .cmd("ZADD")
            .arg(key("work", "scheduled"))
            .arg(FAR_MS)
            .arg(&member)
            .cmd("HSET")
            .arg(key("work", "scheduled:bodies"))
            .arg(&member)
            .arg(&body)
            .cmd("ZADD")
            .arg(key("work", "parked"))
            .arg(0)
            .arg(format!("actor:{actor} {member}"))
            .cmd("ZADD")
            .arg(key("work", "workers"))
            .arg(-1)
            .arg("parked")
            .exec(&mut connection)?;
        stage.journal.note(&What::Acknowledged { id });
    }
    Ok(())
}
