//! Bearer tokens in HTTP (RFC 6750), as whoever takes one reads them and refuses without one.

use http::{HeaderMap, header::AUTHORIZATION};

use crate::problem::Code;

/// The token of the only `Authorization` field (RFC 6750 section 2.1; the scheme in any case, RFC 9110 section 11.1).
///
/// # Errors
/// [`Code::TokenMissing`] where there is none, [`Code::TokenInvalid`] where it cannot be told which it is.
pub fn token(headers: &HeaderMap) -> Result<&str, Code> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Code::TokenMissing)?;
    if values.next().is_some() {
        return Err(Code::TokenInvalid);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Code::TokenInvalid)?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Code::TokenMissing);
    }
    Ok(token.trim_start_matches(' '))
}

/// What `WWW-Authenticate` says with a 401 (RFC 6750 section 3): no error attribute where no token was sent.
pub const fn challenge(code: Code) -> &'static str {
    match code {
        Code::TokenInvalid => "Bearer error=\"invalid_token\"",
        _ => "Bearer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().expect("a header value"))).collect()
    }

    #[test]
    fn one_bearer_token_is_taken_in_any_case() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c"] {
            assert_eq!(token(&headers(&[value])), Ok("a.b.c"));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let code = |values: &[&'static str]| token(&headers(values)).expect_err("refused").as_str();
        assert_eq!(code(&[]), "token_missing");
        assert_eq!(code(&["Basic dTpw"]), "token_missing");
        assert_eq!(code(&["Bearer"]), "token_invalid");
        assert_eq!(code(&["Bearer a.b.c", "Bearer d.e.f"]), "token_invalid");
    }
}
