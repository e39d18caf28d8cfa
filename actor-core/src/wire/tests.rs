use serde_json::{Value, json};

use super::*;
use crate::args::ArgReader;

const MINIMAL: &str = include_str!("../../../docs/wire-format/v1-minimal.json");
const FULL: &str = include_str!("../../../docs/wire-format/v1-full.json");
const FOREIGN: &str = include_str!("../../../docs/wire-format/v1-foreign.json");
const RETRIED: &str = include_str!("../../../docs/wire-format/v1-foreign-retried.json");
const KEYED: &str = include_str!("../../../docs/wire-format/v1-keyed.json");
const IN_A_LANE: &str = include_str!("../../../docs/wire-format/v2-minimal.json");
const FULL_IN_A_LANE: &str = include_str!("../../../docs/wire-format/v2-full.json");
const REPLAYED: &str = include_str!("../../../docs/wire-format/v1-foreign-replayed.json");

fn decode(body: &str) -> Envelope<'_> {
    Envelope::decode(body.as_bytes()).unwrap()
}

/// A message with these members in place of, or beside, the least that one has.
fn message(members: Value) -> String {
    let (Ok(Value::Object(mut message)), Value::Object(members)) = (serde_json::from_str(MINIMAL), members) else {
        panic!("a message is an object, and so are its members");
    };
    message.extend(members);
    Value::Object(message).to_string()
}

#[test]
fn the_priority_of_a_newer_message_is_read_where_it_can_be() {
    for (body, expected) in [
        (r#"{"v":9,"priority":"high","args":{}}"#, Priority::High),
        (r#"{"v":9,"priority":"urgent"}"#, Priority::Normal),
        (r#"{"v":9}"#, Priority::Normal),
        ("no message", Priority::Normal),
    ] {
        assert_eq!(priority(body.as_bytes()), expected, "{body}");
    }
}

#[track_caller]
fn invalid(body: impl AsRef<[u8]>, what: &str) {
    match Envelope::decode(body.as_ref()) {
        Err(Undecodable::Invalid(why)) => assert!(why.contains(what), "{why:?} does not say {what:?}"),
        other => panic!("expected an invalid message, got {other:?}"),
    }
}

#[test]
fn the_examples_of_the_document_are_messages() {
    let document = include_str!("../../../docs/wire-format.md");
    let examples =
        document.lines().map(|line| line.trim_matches([' ', '\''])).filter(|line| line.starts_with("{\"v\""));
    assert_eq!(examples.map(|example| decode(example).id).collect::<Vec<_>>(), [decode(MINIMAL).id; 2]);
    for file in std::fs::read_dir("../docs/wire-format").unwrap() {
        let file = file.unwrap().file_name().into_string().unwrap();
        assert!(document.contains(&format!("(wire-format/{file})")), "{file} is not in the document");
    }
}

#[test]
fn the_least_that_a_foreign_sender_writes_is_a_message() {
    let envelope = decode(MINIMAL);
    assert_eq!((&*envelope.actor, &*envelope.queue), ("process_video", "video_processing"));
    assert_eq!(envelope.id.to_string(), "01912d68-783e-7a03-8467-5661c1243ad4");
    assert_eq!(envelope.args, r#"["5f0c2a1e-9a3b-4a52-8f0e-3a1b7a3f9a10"]"#);
    assert_eq!((envelope.attempt, envelope.crashes, envelope.deliveries, envelope.sent_at), (0, 0, 0, 0));
    assert_eq!((envelope.max_retries, envelope.backoff, envelope.time_limit_ms), (None, None, None));
    assert_eq!((envelope.expires_at, envelope.priority, envelope.trace), (None, None, None));
    assert!(envelope.headers.is_empty() && envelope.last_error.is_none());
    assert!(envelope.sig.is_none() && envelope.parked.is_none());
}

#[test]
fn every_member_is_read_and_written_byte_for_byte() {
    let envelope = decode(FULL);
    assert_eq!((envelope.attempt, envelope.crashes, envelope.deliveries), (2, 1, 4));
    assert_eq!((envelope.sent_at, envelope.expires_at), (1_722_999_000_000, Some(1_723_085_400_000)));
    assert_eq!((envelope.max_retries, envelope.time_limit_ms), (Some(3), Some(0)));
    assert_eq!(envelope.backoff, Some(Backoff { min_ms: 1_000, max_ms: 600_000 }));
    assert_eq!(envelope.priority, Some(Priority::High));
    let trace = envelope.trace.map(|trace| trace.to_string());
    assert_eq!(trace.as_deref(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_eq!(envelope.headers.iter().collect::<Vec<_>>(), [("sent-by", "shop-api"), ("tenant", "acme")]);
    assert_eq!(envelope.last_error.as_deref(), Some("the codec said \"no\""));
    let declared = Fingerprint::of(&[("video_id", "Uuid"), ("size", "Size"), ("scale", "(f64, u64)")]);
    assert_eq!(envelope.sig, Some(declared));
    let parked = Parked { since: 1_722_999_500_000, why: "no actor of this name is implemented here".into() };
    assert_eq!(envelope.parked, Some(parked));
    assert_eq!(envelope.encode(), FULL.trim_end());
}

#[test]
fn a_key_and_a_cost_are_read_and_written_byte_for_byte() {
    let lane = |cost| Some(Lane::new(Key::new("customer 42").unwrap()).cost(cost));
    for (body, v, expected) in [(IN_A_LANE, HOLDING, lane(1)), (FULL_IN_A_LANE, HOLDING, lane(5)), (KEYED, PLAIN, None)]
    {
        let envelope = decode(body);
        assert_eq!((envelope.v, envelope.key.as_deref()), (v, Some("customer 42")));
        assert_eq!(envelope.lane(), expected);
        let revived = revive(&Bytes::from_static(body.as_bytes()));
        assert_eq!(revived.lane, expected, "a replay goes where it was sent to");
    }
    for body in [FULL_IN_A_LANE, KEYED] {
        assert_eq!(decode(body).encode(), body.trim_end());
    }
    assert_eq!(decode(MINIMAL).lane(), None);
    assert_eq!(decode(&message(json!({ "cost": 0 }))).lane(), Some(Lane::new(Key::default())), "one at least");
    assert_eq!(decode(&message(json!({ "key": "x".repeat(1_025), "cost": 1 }))).lane(), None);
}

#[test]
fn what_a_worker_writes_leaves_the_lane_as_it_is() {
    let change = Change { attempt: 3, deliveries: 5, ..Change::default() };
    let retried = rewrite(FULL_IN_A_LANE.as_bytes(), &change);
    let retried = decode(std::str::from_utf8(&retried).unwrap());
    assert_eq!((retried.v, retried.lane()), (HOLDING, decode(FULL_IN_A_LANE).lane()));
}

#[test]
fn a_retry_changes_its_counters_and_leaves_every_other_byte_of_every_member() {
    let change = Change { attempt: 1, crashes: 0, deliveries: 1, last_error: Some("no such codec"), parked: None };
    assert_eq!(rewrite(FOREIGN.as_bytes(), &change), RETRIED.trim_end());
    assert_eq!(rewrite(RETRIED.as_bytes(), &change), RETRIED.trim_end());
}

#[test]
fn a_replay_makes_the_message_new_and_keeps_its_deliveries_counted() {
    let revived = revive(&RETRIED.into());
    assert_eq!(revived.body, REPLAYED.trim_end());
    assert_eq!(revived.priority, Priority::Low);
    let revived = revive(&FULL.into()).body;
    let revived = decode(std::str::from_utf8(&revived).unwrap());
    assert_eq!((revived.expires_at, revived.parked), (None, None));
    let undecodable = Bytes::from(r#"{"v":1,"attempt":7}"#);
    assert_eq!(revive(&undecodable).body, undecodable);
}

#[test]
fn a_newer_version_is_told_from_no_message() {
    assert_eq!(Envelope::decode(message(json!({ "v": 3 })).as_bytes()).unwrap_err(), Undecodable::Newer(3));
    assert_eq!(Envelope::decode(br#"{"v":8589934592}"#).unwrap_err(), Undecodable::Newer(8_589_934_592));
    let changed = message(json!({ "v": 3, "args": null, "attempt": "two" }));
    assert_eq!(Envelope::decode(changed.as_bytes()).unwrap_err(), Undecodable::Newer(3));
    invalid(message(json!({ "v": 0 })), "version 0");
    invalid(message(json!({ "v": "2" })), "invalid type");
    invalid(message(json!({ "v": -1 })), "invalid value");
    invalid("[2]", "not a JSON object");
}

#[test]
fn what_is_no_message_says_why() {
    invalid("", "not a JSON object");
    invalid("null", "not a JSON object");
    invalid("not json", "not a JSON object");
    invalid("{}", "missing field `v`");
    invalid(r#"{"v":1}"#, "missing field `id`");
    invalid(message(json!({ "id": "7" })), "UUID");
    invalid(message(json!({ "attempt": 4_294_967_296_u64 })), "4294967296");
    invalid(message(json!({ "attempt": 1.5 })), "invalid type");
    invalid(message(json!({ "priority": "urgent" })), "unknown variant `urgent`");
    invalid(MINIMAL.replace("\"v\": 1", "\"v\": 1e999"), "");
    invalid(MINIMAL.replace("\"v\"", "\"attempt\": 1, \"attempt\": 2, \"v\""), "duplicate field `attempt`");
    invalid(MINIMAL.replace("\"v\"", "\"\\ud800\": 1, \"v\""), "");
    invalid(format!("{MINIMAL}{MINIMAL}"), "trailing characters");
    // An array in the order of the members is none either.
    invalid(r#"[1,"01912d68-783e-7a03-8467-5661c1243ad4","a","q",[]]"#, "not a JSON object");
    invalid(b"{\"other\":\"\xff\",".iter().chain(&MINIMAL.as_bytes()[1..]).copied().collect::<Vec<_>>(), "UTF-8");
    let long = message(json!({ "priority": "x".repeat(1 << 20) }));
    let Err(Undecodable::Invalid(why)) = Envelope::decode(long.as_bytes()) else { panic!("it was decoded") };
    assert!(why.len() < 1_000, "the reason has {} bytes", why.len());
}

#[test]
fn a_trace_or_a_fingerprint_that_is_not_understood_is_left_alone() {
    for odd in [json!("01-newer"), json!(7), json!({ "a": [] }), json!(null), json!("0123456789ABCDEF")] {
        let body = message(json!({ "trace": odd, "sig": odd, "parked": odd }));
        let envelope = decode(&body);
        assert_eq!((envelope.trace, envelope.sig, envelope.parked), (None, None, None));
        let retried = serde_json::from_slice::<Value>(&rewrite(body.as_bytes(), &Change::default())).unwrap();
        assert_eq!((&retried["trace"], &retried["sig"]), (&odd, &odd));
    }
}

#[test]
fn what_is_parked_says_so_until_it_is_rewritten_without() {
    let parked = Parked { since: 7, why: "no \"actor\"".into() };
    let waiting = rewrite(MINIMAL.as_bytes(), &Change { parked: Some(parked.clone()), ..Change::default() });
    let envelope = Envelope::decode(&waiting).unwrap();
    assert_eq!(envelope.parked, Some(parked));
    let run = rewrite(&waiting, &Change::default());
    assert_eq!(Envelope::decode(&run).unwrap().parked, None);
}

#[test]
fn numbers_and_nesting_that_nobody_expects_do_no_harm() {
    let odd = MINIMAL.replace("\"v\"", "\"huge\": -123456789e999999, \"huge\": 2, \"\\u0061ttempt\": 7, \"v\"");
    assert_eq!(decode(&odd).attempt, 7);
    let retried = rewrite(odd.as_bytes(), &Change { attempt: 8, ..Change::default() });
    let retried = std::str::from_utf8(&retried).unwrap();
    assert_eq!(decode(retried).attempt, 8);
    assert!(retried.contains(r#""huge":-123456789e999999,"huge":2,"attempt":8"#), "{retried}");

    let levels = 1_000_000;
    let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let body = MINIMAL.replace("\"v\"", &format!("\"deep\": {deep}, \"v\""));
    assert_eq!(decode(std::str::from_utf8(&rewrite(body.as_bytes(), &Change::default())).unwrap()).attempt, 0);
    let mut reader = ArgReader::new(deep.as_bytes()).unwrap();
    assert!(reader.next::<Value>("deep").is_err());
    reader.finish().unwrap();
}

mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::args::ArgWriter;

    /// Any JSON that `serde_json` can hold.
    fn any_json() -> impl Strategy<Value = Value> {
        let float = any::<f64>().prop_filter_map("JSON holds it", serde_json::Number::from_f64);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            float.prop_map(Value::Number),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn encode(args: &[Value]) -> Bytes {
        let mut writer = ArgWriter::new();
        for arg in args {
            writer.push("arg", arg);
        }
        let args = writer.finish().unwrap();
        Envelope { args: &args, ..decode(MINIMAL) }.encode()
    }

    fn read(body: &[u8], count: usize) -> Vec<Value> {
        let envelope = Envelope::decode(body).unwrap();
        let mut reader = ArgReader::new(envelope.args.as_bytes()).unwrap();
        let args = (0..count).map(|_| reader.next("arg").unwrap()).collect();
        reader.finish().unwrap();
        args
    }

    proptest! {
        #[test]
        fn any_arguments_arrive_unchanged(args in prop::collection::vec(any_json(), 0..5)) {
            let body = encode(&args);
            prop_assert_eq!(&read(&body, args.len()), &args);
            let change = Change { attempt: 3, crashes: 1, deliveries: 9, last_error: Some("\u{0}\""), parked: None };
            let retried = rewrite(&body, &change);
            prop_assert_eq!(&read(&retried, args.len()), &args);
            prop_assert_eq!(&read(&revive(&retried).body, args.len()), &args);
        }

        #[test]
        fn unknown_members_survive_a_retry(
            unknown in prop::collection::btree_map("[^vaiqcdesmbtpl].*|", any_json(), 0..6),
            attempt in any::<u32>(),
        ) {
            let mut expected = serde_json::from_slice::<Value>(&encode(&[])).unwrap();
            let members = expected.as_object_mut().unwrap();
            members.extend(unknown);
            let body = serde_json::to_vec(members).unwrap();
            members.extend([
                ("attempt".to_owned(), json!(attempt)),
                ("crashes".to_owned(), json!(0)),
                ("deliveries".to_owned(), json!(2)),
            ]);
            let retried = rewrite(&body, &Change { attempt, deliveries: 2, ..Change::default() });
            prop_assert_eq!(Envelope::decode(&retried).unwrap().attempt, attempt);
            prop_assert_eq!(serde_json::from_slice::<Value>(&retried).unwrap(), expected);
        }

        #[test]
        fn random_bytes_are_no_message_and_no_harm(body in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(matches!(Envelope::decode(&body), Err(Undecodable::Invalid(_))));
            prop_assert_eq!(&rewrite(&body, &Change::default()), &body);
            prop_assert_eq!(&revive(&body.clone().into()).body, &body);
        }

        #[test]
        fn whatever_a_damaged_message_decodes_to_can_be_retried(
            which in prop::sample::select(vec![MINIMAL, FULL, FOREIGN, RETRIED, FULL_IN_A_LANE]),
            damage in prop::collection::vec((any::<prop::sample::Index>(), damaged()), 1..4),
        ) {
            let mut body = which.as_bytes().to_vec();
            for (at, byte) in damage {
                let at = at.index(body.len());
                match byte {
                    Some(byte) => body[at] = byte,
                    None => drop(body.remove(at)),
                }
            }
            let Ok(before) = Envelope::decode(&body) else { return Ok(()) };
            let retried = rewrite(&body, &Change { attempt: 77, ..Change::default() });
            let after = Envelope::decode(&retried).unwrap();
            prop_assert_eq!(after.attempt, 77);
            prop_assert_eq!(before.args, after.args);
            if let Ok(mut reader) = ArgReader::new(before.args.as_bytes()) {
                let _ = reader.next::<Value>("arg");
                let _ = reader.finish();
            }
        }

        #[test]
        fn arguments_that_are_no_json_are_no_harm(text in "[\\[\\]{}\", \\\\0-9a-z]*") {
            if let Ok(mut reader) = ArgReader::new(text.as_bytes()) {
                let _ = reader.next::<Value>("arg");
                let _ = reader.next_or::<Option<String>>("other", || None);
                let _ = reader.finish();
            }
        }
    }

    /// A byte in place of another, or none; mostly of those that JSON gives a meaning.
    fn damaged() -> impl Strategy<Value = Option<u8>> {
        let meaningful = prop::sample::select(b"\"\\{}[]:,0123456789-+.eEtrufalsn \n\xff\x00".to_vec());
        prop_oneof![3 => meaningful.prop_map(Some), 1 => any::<u8>().prop_map(Some), 2 => Just(None)]
    }
}
