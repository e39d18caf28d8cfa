use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::*;

fn strict<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    let mut text = Vec::new();
    write(&mut text, value).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(text).unwrap())
}

#[track_caller]
fn as_serde_json_does<T: Serialize + ?Sized>(value: &T) {
    assert_eq!(strict(value), Ok(serde_json::to_string(value).unwrap()));
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unit,
    Newtype(u8),
    Tuple(u8, Vec<u8>),
    Struct { a: u8, b: Option<u8> },
}

#[derive(Serialize)]
struct Everything<'a> {
    #[serde(rename = "quote \" in a name")]
    text: &'a str,
    empty: (),
    none: Option<u8>,
    some: Option<Option<u8>>,
    kinds: [Kind; 4],
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u8>,
    numbers: (i8, u64, i128, u128, f32, f64),
    nothing: [u8; 0],
    dead_letter: char,
    raw: &'a RawValue,
    unit: Unit,
    wrapped: Wrapped,
    pair: Pair,
    no_members: Hollow,
}

#[derive(Serialize)]
struct Unit;
#[derive(Serialize)]
struct Wrapped(bool);
#[derive(Serialize)]
struct Pair(u8, Unit);
#[derive(Serialize)]
struct Hollow {}

fn kinds() -> [Kind; 4] {
    [Kind::Unit, Kind::Newtype(1), Kind::Tuple(2, vec![]), Kind::Struct { a: 3, b: None }]
}

#[test]
fn every_shape_is_written_as_serde_json_writes_it() {
    let raw = RawValue::from_string(r#"{"a" : [1.50, "\u0041\n"]}"#.to_owned()).unwrap();
    as_serde_json_does(&Everything {
        text: "line\nquote\" back\\slash \u{1f600} \u{7f}\u{0}",
        empty: (),
        none: None,
        some: Some(Some(7)),
        kinds: kinds(),
        skipped: None,
        numbers: (-1, u64::MAX, i128::MIN, u128::MAX, 0.1, -1e300),
        nothing: [],
        dead_letter: '"',
        raw: &raw,
        unit: Unit,
        wrapped: Wrapped(true),
        pair: Pair(1, Unit),
        no_members: Hollow {},
    });
    as_serde_json_does(&json!({"a": [null, {"b": 1.5}, []], "": {}}));
    as_serde_json_does(&format_args!("{}-{}", "shown", 1));
    as_serde_json_does(&[&*raw, &*raw]);
}

#[test]
fn keys_that_serde_json_makes_texts_of_are_texts() {
    as_serde_json_does(&BTreeMap::from([("a", 1), ("b\"", 2)]));
    as_serde_json_does(&BTreeMap::from([(-1, 1), (2, 2)]));
    as_serde_json_does(&BTreeMap::from([(u128::MAX, 1)]));
    as_serde_json_does(&BTreeMap::from([(true, 1), (false, 2)]));
    as_serde_json_does(&BTreeMap::from([('"', 1)]));
    as_serde_json_does(&BTreeMap::from([(Kind::Unit, 1)]));
    as_serde_json_does(&BTreeMap::from([(Some(1), 1)]));
}

#[test]
fn other_keys_are_refused() {
    let wrong = Err("a map's key must be a text, a number or a boolean: send a list of pairs".to_owned());
    assert_eq!(strict(&HashMap::from([((1, 2), 3)])), wrong);
    assert_eq!(strict(&HashMap::from([(vec!["a"], 3)])), wrong);
    assert_eq!(strict(&HashMap::from([((), 3)])), wrong);
    assert_eq!(strict(&HashMap::from([(None::<u8>, 3)])), wrong);
    assert_eq!(strict(&BTreeMap::from([(Kind::Newtype(1), 3)])), wrong);
    assert_eq!(strict(&BTreeMap::from([(Kind::Struct { a: 1, b: None }, 3)])), wrong);
}

#[test]
fn a_number_that_json_does_not_have_is_refused_wherever_it_stands() {
    assert_eq!(strict(&f64::NAN), Err("NaN is no JSON number: send an Option, or a text".to_owned()));
    assert_eq!(strict(&f32::INFINITY), Err("inf is no JSON number: send an Option, or a text".to_owned()));
    assert_eq!(strict(&f64::NEG_INFINITY), Err("-inf is no JSON number: send an Option, or a text".to_owned()));
    let deep = BTreeMap::from([("a", vec![Some((1, 0.5)), Some((2, f64::NAN))])]);
    assert!(strict(&deep).unwrap_err().starts_with("NaN is no JSON number"));
}

#[test]
fn what_is_nested_deeper_than_it_can_be_read_is_refused() {
    let nested = |levels: usize| (1..levels).fold(json!([]), |inner, _| json!([inner]));
    let text = strict(&nested(DEEPEST)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), nested(DEEPEST));
    let error = strict(&nested(DEEPEST + 1)).unwrap_err();
    assert_eq!(error, "it is nested deeper than 127 levels, and could not be read");
    let too_deep = serde_json::to_string(&nested(DEEPEST + 1)).unwrap();
    assert!(serde_json::from_str::<Value>(&too_deep).is_err());
    // Depth is released: what stands side by side is not deep.
    as_serde_json_does(&(0..100).map(|_| kinds()).collect::<Vec<_>>());
}

#[test]
fn a_raw_value_that_is_no_json_is_refused() {
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::RawValue")]
    struct Forged {
        json: &'static str,
    }
    assert_eq!(strict(&Forged { json: "[1]" }), Ok("[1]".to_owned()));
    assert!(strict(&Forged { json: "[1" }).is_err());
}

#[test]
fn some_of_what_is_written_as_null_is_refused() {
    for value in [strict(&Some(None::<u8>)), strict(&Some(())), strict(&[Some(Value::Null)])] {
        assert!(value.as_ref().is_err_and(|error| error.contains("would be read as `None`")), "{value:?}");
    }
    assert_eq!(strict(&(Some(Some(0)), None::<Option<u8>>, Some("null"))), Ok(r#"[0,null,"null"]"#.to_owned()));
}
