//! The query as the log may show it: names, and the values of names that the configuration calls safe.

use std::fmt::Write as _;

/// The query with the values of all but the safe names replaced by `*`. What has no name at all is replaced whole.
pub fn redact(query: &str, safe_names: &[String]) -> String {
    let mut redacted = String::with_capacity(query.len());
    for (at, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let separator = if at == 0 { "" } else { "&" };
        let _ = match pair.split_once('=') {
            Some((name, _)) if safe_names.iter().any(|safe| safe == name) => write!(redacted, "{separator}{pair}"),
            Some((name, _)) => write!(redacted, "{separator}{name}=*"),
            None => write!(redacted, "{separator}*"),
        };
    }
    redacted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_secret_of_a_query_is_kept() {
        let safe = ["limit".to_owned()];
        assert_eq!(redact("token=abc&limit=5&x", &safe), "token=*&limit=5&*");
        assert_eq!(redact("Limit=5&limit", &safe), "Limit=*&*");
        assert_eq!(redact("", &safe), "");
    }

    proptest! {
        #[test]
        fn a_value_is_shown_only_behind_a_safe_name(name in "[a-z]{1,8}", value in "[A-Z]{1,8}") {
            let redacted = redact(&format!("a=1&{name}={value}&{value}"), &["limit".to_owned()]);
            prop_assert_eq!(redacted.contains(&value), name == "limit");
        }
    }
}
