//! What is read, what is refused, and how the refusal names the place.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    count: Option<u8>,
    #[serde(default)]
    tags: Vec<String>,
}

fn refused<T>(result: Result<T, ApiError>) -> (&'static str, Vec<(String, &'static str, String)>) {
    let Err(error) = result else { panic!("was accepted") };
    let errors = error.problem().errors.iter();
    (error.code().as_str(), errors.map(|error| (error.pointer.clone(), error.code, error.detail.to_string())).collect())
}

#[test]
fn a_wrong_member_is_named_and_what_was_sent_is_not_repeated() {
    let table = [
        (r#"{"count": 1}"#, "/name", "missing", "This member is required."),
        (r#"{"name": "a", "nome": 1}"#, "/nome", "unknown", "There is no such member."),
        (r#"{"name": "a", "name": "b"}"#, "/name", "duplicate", "This member is given twice."),
        (r#"{"name": "a", "count": "SECRET"}"#, "/count", "invalid", "Expected u8."),
        (r#"{"name": "a", "count": 300}"#, "/count", "invalid", "Expected u8."),
        (r#"{"name": "a", "tags": ["x", ["SECRET"]]}"#, "/tags/1", "invalid", "Expected a string."),
        (r#"{"name": "a", "a/b~c": 1}"#, "/a~1b~0c", "unknown", "There is no such member."),
        (r#"["a", 1, []]"#, "", "invalid", "Expected an object."),
        ("null", "", "invalid", "Expected an object."),
        (r#"{"name": "a", "tags": 7}"#, "/tags", "invalid", "Expected an array."),
    ];
    for (body, pointer, code, detail) in table {
        let (problem, errors) = refused(json::<Sample>(body.as_bytes()));
        assert_eq!(problem, "invalid", "{body}");
        assert_eq!(errors, [(pointer.to_owned(), code, detail.to_owned())], "{body}");
    }
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in ["", "{", r#"{"name": "a"} x"#, "\u{feff}{}", r#"{"name": "\ud800"}"#, r#"{"name": "a",}"#] {
        assert_eq!(refused(json::<Sample>(body.as_bytes())).0, "request_malformed", "{body}");
    }
    assert_eq!(refused(json::<Sample>(b"{\"name\": \"\xff\"}")).0, "request_malformed");
}

#[test]
fn nesting_is_bounded() {
    let nested = |deep: usize| format!("{{\"a\":{}{}}}", "[".repeat(deep - 1), "]".repeat(deep - 1));
    assert!(json::<serde_json::Value>(nested(DEEPEST).as_bytes()).is_ok());
    assert_eq!(refused(json::<serde_json::Value>(nested(DEEPEST + 1).as_bytes())).0, "request_malformed");
    assert_eq!(depth(br#"{"a[[[": "\"[[["}"#), 1);
}

#[test]
fn a_query_repeats_and_is_strict() {
    let read = query::<Sample>("name=a&tags=x&tags=y").expect("valid");
    assert_eq!(read.tags, ["x", "y"]);
    assert_eq!(refused(query::<Sample>("name=a&nome=b")).1[0].0, "?nome");
    assert_eq!(refused(query::<Sample>("count=1")).1[0].0, "?name");
    assert_eq!(
        refused(query::<Sample>("name=a&count=SECRET")).1[0],
        ("?count".to_owned(), "invalid", "The value is not valid.".to_owned())
    );
}

#[test]
fn media_types() {
    let accepted = |value: &'static str| {
        is_accepted(
            &[(header::CONTENT_TYPE, value.parse().expect("a value"))].into_iter().collect(),
            &["application/json"],
        )
    };
    assert!(accepted("application/json") && accepted("Application/JSON; charset=UTF-8"));
    assert!(!accepted("text/plain") && !accepted("application/json; charset=latin1") && !accepted("application/jsonx"));
    assert!(!is_accepted(&HeaderMap::new(), &["application/json"]));
}

proptest! {
    #[test]
    fn any_octets_are_answered(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = json::<Sample>(&text);
        let _ = query::<Sample>(&String::from_utf8_lossy(&text));
    }

    #[test]
    fn what_serde_writes_is_read(name in ".*", count in any::<Option<u8>>()) {
        let text = serde_json::to_vec(&serde_json::json!({"name": name, "count": count})).expect("JSON");
        prop_assert!(json::<Sample>(&text).is_ok_and(|sample| sample.name == name && sample.count == count));
    }
}
