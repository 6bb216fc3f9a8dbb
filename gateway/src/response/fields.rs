//! The values of the security fields, each read as its specification says.
//!
//! Browsers ignore what they cannot read, so a typing mistake in such a field switches a protection off without a sign.
//! Here it is a mistake in the configuration.

use std::{fmt::Display, str::FromStr};

use http::HeaderValue;

use crate::response::Field;

/// Reads the value of a field.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn read(field: Field, text: &str) -> Result<HeaderValue, String> {
    match field {
        Field::StrictTransportSecurity => strict_transport_security(text)?,
        Field::ContentSecurityPolicy => content_security_policy(text)?,
        Field::ContentTypeOptions => one_of(text, &["nosniff"])?,
        Field::FrameOptions => one_of(text, &["DENY", "SAMEORIGIN"])?,
        Field::ReferrerPolicy => text.split(',').try_for_each(|token| one_of(token.trim(), REFERRER_POLICIES))?,
        Field::PermissionsPolicy => permissions_policy(text)?,
        Field::CrossOriginOpenerPolicy => one_of(text, OPENER_POLICIES)?,
        Field::CrossOriginResourcePolicy => one_of(text, &["same-origin", "same-site", "cross-origin"])?,
    }
    HeaderValue::from_str(text).map_err(|_| "holds a character that no header field may hold".to_owned())
}

const REFERRER_POLICIES: &[&str] = &[
    "no-referrer",
    "no-referrer-when-downgrade",
    "same-origin",
    "origin",
    "strict-origin",
    "origin-when-cross-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];

const OPENER_POLICIES: &[&str] = &["same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"];

/// A year, in seconds: what the preload lists of browsers ask for.
const YEAR: u64 = 31_536_000;

fn one_of(text: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&text) { Ok(()) } else { Err(format!("`{text}` is not one of {}", known.join(", "))) }
}

/// RFC 6797 section 6.1.
fn strict_transport_security(text: &str) -> Result<(), String> {
    let (mut max_age, mut subdomains, mut preload) = (None, false, false);
    for directive in text.split(';').map(str::trim) {
        let lower = directive.to_ascii_lowercase();
        let first = match lower.split_once('=') {
            Some(("max-age", seconds)) => max_age.replace(number(seconds)?).is_none(),
            None if lower == "includesubdomains" => !std::mem::replace(&mut subdomains, true),
            None if lower == "preload" => !std::mem::replace(&mut preload, true),
            _ => return Err(format!("`{directive}` is not one of max-age=<seconds>, includeSubDomains, preload")),
        };
        if !first {
            return Err(format!("`{directive}` stands there twice"));
        }
    }
    let max_age: u64 = max_age.ok_or("`max-age=<seconds>` is missing")?;
    if preload && (max_age < YEAR || !subdomains) {
        return Err(format!("`preload` wants `includeSubDomains` and a max-age of at least {YEAR}"));
    }
    Ok(())
}

fn number<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("`{text}` is not a number: {error}"))
}

/// Directives whose value is a list of sources.
const SOURCE_DIRECTIVES: &[&str] = &[
    "default-src",
    "base-uri",
    "child-src",
    "connect-src",
    "font-src",
    "form-action",
    "frame-ancestors",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "object-src",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "worker-src",
];

/// Directives whose value is something else, or nothing.
const OTHER_DIRECTIVES: &[&str] =
    &["report-to", "report-uri", "require-trusted-types-for", "sandbox", "trusted-types", "upgrade-insecure-requests"];

/// Keywords, which stand in single quotes (CSP 3 section 2.3.1).
const KEYWORDS: &[&str] = &[
    "none",
    "self",
    "unsafe-inline",
    "unsafe-eval",
    "strict-dynamic",
    "unsafe-hashes",
    "report-sample",
    "unsafe-allow-redirects",
    "wasm-unsafe-eval",
];

fn content_security_policy(text: &str) -> Result<(), String> {
    let mut seen: Vec<&str> = Vec::new();
    for directive in text.split(';').map(str::trim).filter(|directive| !directive.is_empty()) {
        let mut words = directive.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        if seen.contains(&name) {
            return Err(format!("directive `{name}` stands there twice: browsers read the first only"));
        }
        seen.push(name);
        if SOURCE_DIRECTIVES.contains(&name) {
            sources(name, &words.collect::<Vec<_>>())?;
        } else if !OTHER_DIRECTIVES.contains(&name) {
            return Err(format!("`{name}` is not a directive of Content-Security-Policy"));
        }
    }
    if seen.is_empty() { Err("the policy holds no directive".to_owned()) } else { Ok(()) }
}

fn sources(directive: &str, sources: &[&str]) -> Result<(), String> {
    if sources.is_empty() {
        return Err(format!("`{directive}` names no source: write 'none' if that is meant"));
    }
    if sources.len() > 1 && sources.contains(&"'none'") {
        return Err(format!("`{directive}` has 'none' beside other sources, and browsers then ignore it"));
    }
    for source in sources {
        if KEYWORDS.contains(source) {
            return Err(format!("`{directive}`: the keyword `{source}` has to stand in single quotes: '{source}'"));
        }
        if let Some(inner) = source.strip_prefix('\'') {
            let inner = inner.strip_suffix('\'').unwrap_or_default();
            let is_hash = ["sha256-", "sha384-", "sha512-", "nonce-"]
                .iter()
                .any(|kind| inner.strip_prefix(kind).is_some_and(|value| !value.is_empty()));
            if !is_hash && !KEYWORDS.contains(&inner) {
                return Err(format!("`{directive}`: {source} is not a source"));
            }
        } else if !source.bytes().all(is_source_octet) {
            return Err(format!("`{directive}`: `{source}` is not a source"));
        }
    }
    Ok(())
}

/// What a scheme or host source can be made of.
fn is_source_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && !matches!(octet, b',' | b';' | b'\'' | b'"' | b'<' | b'>')
}

/// A dictionary (RFC 9651) of features, each with `*`, `self`, or a list of origins in parentheses.
fn permissions_policy(text: &str) -> Result<(), String> {
    let mut seen: Vec<&str> = Vec::new();
    for member in text.split(',').map(str::trim) {
        let (feature, allowed) =
            member.split_once('=').ok_or_else(|| format!("`{member}` is not of the form feature=(origins)"))?;
        let is_name = feature.starts_with(|first: char| first.is_ascii_lowercase())
            && feature.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-');
        if !is_name {
            return Err(format!("`{feature}` is not the name of a feature"));
        }
        if seen.contains(&feature) {
            return Err(format!("feature `{feature}` stands there twice"));
        }
        seen.push(feature);
        let inner = allowed.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let good = match inner {
            Some(list) => list.split_ascii_whitespace().all(is_permitted_origin),
            None => matches!(allowed, "*" | "self"),
        };
        if !good {
            return Err(format!("`{allowed}`: write `()`, `*`, or a list such as `(self \"https://example.org\")`"));
        }
    }
    Ok(())
}

fn is_permitted_origin(word: &str) -> bool {
    matches!(word, "*" | "self" | "src")
        || word
            .strip_prefix("\"https://")
            .and_then(|rest| rest.strip_suffix('"'))
            .is_some_and(|host| !host.is_empty() && !host.contains('"'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn good(field: Field, texts: &[&str]) {
        for text in texts {
            assert_eq!(read(field, text).map(|value| value.as_bytes().to_vec()), Ok(text.as_bytes().to_vec()));
        }
    }

    fn bad(field: Field, texts: &[&str]) {
        for text in texts {
            assert!(read(field, text).is_err(), "{field:?}: {text:?}");
        }
    }

    #[test]
    fn transport_security() {
        let field = Field::StrictTransportSecurity;
        good(
            field,
            &["max-age=0", "max-age=31536000; includeSubDomains", "max-age=63072000; includeSubDomains; preload"],
        );
        bad(
            field,
            &["", "max-age", "max-age=x", "max-age=-1", "includeSubDomains", "max-age=1; max-age=2", "max-age=1;"],
        );
        bad(
            field,
            &["max-age=1; includeSubdomain", "max-age=1; includeSubDomains; preload", "max-age=63072000; preload"],
        );
    }

    #[test]
    fn content_security() {
        let field = Field::ContentSecurityPolicy;
        good(
            field,
            &["default-src 'none'; frame-ancestors 'none'", "script-src 'self' https://a.example 'sha256-abc='"],
        );
        good(field, &["upgrade-insecure-requests; img-src data: https:", "sandbox allow-scripts"]);
        bad(field, &["", ";", "default-src", "default-src none", "default-src self", "defualt-src 'none'"]);
        bad(
            field,
            &["img-src 'none' 'self'", "img-src 'slef'", "img-src 'self", "img-src 'self'; img-src *", "img-src a,b"],
        );
    }

    #[test]
    fn the_small_ones() {
        good(Field::ContentTypeOptions, &["nosniff"]);
        bad(Field::ContentTypeOptions, &["", "sniff", "NOSNIFF"]);
        good(Field::FrameOptions, &["DENY", "SAMEORIGIN"]);
        bad(Field::FrameOptions, &["deny", "ALLOW-FROM https://x"]);
        good(Field::ReferrerPolicy, &["no-referrer", "no-referrer, strict-origin"]);
        bad(Field::ReferrerPolicy, &["", "none", "no-referrer,", "no-referrer strict-origin"]);
        good(Field::CrossOriginOpenerPolicy, &["same-origin"]);
        bad(Field::CrossOriginOpenerPolicy, &["same-site"]);
        good(Field::CrossOriginResourcePolicy, &["same-site"]);
        bad(Field::CrossOriginResourcePolicy, &["none"]);
    }

    #[test]
    fn permissions() {
        let field = Field::PermissionsPolicy;
        good(field, &["camera=()", "camera=(), geolocation=(self \"https://a.example\"), fullscreen=*"]);
        bad(
            field,
            &["", "camera", "camera=", "camera 'none'", "Camera=()", "camera=(), camera=*", "camera=(none)", "a=(),"],
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_what_is_good_is_a_field_value(text in any::<String>()) {
            for field in Field::ALL {
                if let Ok(value) = read(field, &text) {
                    prop_assert_eq!(value.as_bytes(), text.as_bytes());
                }
            }
        }
    }
}
