//! Cross-origin requests of browsers (the CORS protocol of the Fetch standard): the gateway decides, by an allow-list,
//! and alone.
//!
//! A page of an allowed origin may read every answer, refusals of the gateway's own included, and its preflight requests
//! are answered here. Whoever else asks gets an ordinary answer, which its browser then keeps from the page. What the API
//! says on the subject is removed.
//!
//! `Cross-Origin-Resource-Policy` does not stand in the way: browsers ask it about requests that are made without CORS.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::{
    request::{authority::Authority, route::RouteTable},
    response::vary_on,
};

/// The fields of the protocol that an answer can have all begin so.
const PREFIX: &str = "access-control-";

/// Who may do what across origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsRule {
    /// The origins that may; none for nobody.
    pub origins: Origins,
    /// `Access-Control-Allow-Headers`.
    pub allowed_headers: Option<HeaderValue>,
    /// `Access-Control-Expose-Headers`.
    pub exposed_headers: Option<HeaderValue>,
    /// `Access-Control-Max-Age`.
    pub max_age: HeaderValue,
    /// Whether cookies and other credentials of the browser may go along.
    pub credentials: bool,
}

/// Allowed origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Each of them.
    Listed(Vec<Origin>),
    /// Any.
    Any,
}

/// An origin as browsers write it (RFC 6454 section 6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| format!("`{text}` {why}: write it as browsers do, such as `https://app.example.org`");
        if text == "null" {
            return Err("`null` is what any sandboxed page says, so it cannot be told from a stranger".to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("is not an origin"))?;
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(wrong("has neither `https` nor `http` before `://`")),
        };
        let authority = Authority::parse(rest).ok_or_else(|| wrong("is not a scheme, a host and possibly a port"))?;
        if authority.to_string() != rest {
            return Err(wrong("is not in lower case and in the short form"));
        }
        if authority.port == Some(default_port) {
            return Err(wrong("names the port that browsers leave out"));
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| wrong("is not an origin"))
    }
}

/// What an answer says to the page that asks: the value of `Access-Control-Allow-Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant(HeaderValue);

/// What a preflight request is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl Preflight {
    /// The fields that tell it.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let methods = (header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let headers = self.headers.clone().map(|value| (header::ACCESS_CONTROL_ALLOW_HEADERS, value));
        let max_age = (header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        [Some(methods), headers, Some(max_age)].into_iter().flatten()
    }
}

impl CorsRule {
    /// What a request with these fields is granted; nothing where it does not come from another origin, or from one that
    /// is not allowed.
    pub fn grant(&self, fields: &HeaderMap) -> Option<Grant> {
        let mut named = fields.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (named.next(), named.next()) else { return None };
        match &self.origins {
            Origins::Any => Some(Grant(HeaderValue::from_static("*"))),
            Origins::Listed(allowed) => {
                allowed.iter().find(|Origin(known)| known == origin).map(|Origin(known)| Grant(known.clone()))
            }
        }
    }

    /// What is said to a preflight request, if this is one that is granted something: which methods the path takes, of
    /// all routes, whichever is asked for; the browser compares.
    pub fn preflight(
        &self,
        request: &RequestHeader,
        grant: Option<&Grant>,
        routes: &RouteTable,
        host: &Authority<'_>,
        path: &str,
    ) -> Option<Preflight> {
        let is_preflight =
            request.method == Method::OPTIONS && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight || grant.is_none() {
            return None;
        }
        let methods = routes.methods(host, path)?.clone();
        Some(Preflight { methods, headers: self.allowed_headers.clone(), max_age: self.max_age.clone() })
    }

    /// Puts an answer under the rule.
    ///
    /// # Errors
    /// Those of Pingora's header map, which has a bound of its own.
    pub fn apply(&self, answer: &mut ResponseHeader, grant: Option<&Grant>) -> pingora::Result<()> {
        if !matches!(&self.origins, Origins::Listed(origins) if origins.is_empty()) {
            // Whoever asks from elsewhere, or from nowhere, gets another answer.
            vary_on(answer, &header::ORIGIN)?;
        }
        let Some(Grant(origin)) = grant else { return Ok(()) };
        answer.insert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
        if self.credentials {
            answer.insert_header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")?;
        }
        if let Some(exposed) = &self.exposed_headers {
            answer.insert_header(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone())?;
        }
        Ok(())
    }
}

/// Removes what the API says on the subject.
pub fn strip(answer: &mut ResponseHeader) {
    let is_said = |name: &&HeaderName| name.as_str().starts_with(PREFIX);
    if answer.headers.keys().any(|name| is_said(&name)) {
        let said: Vec<HeaderName> = answer.headers.keys().filter(is_said).cloned().collect();
        for name in said {
            answer.remove_header(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(origins: &[&str]) -> CorsRule {
        CorsRule {
            origins: Origins::Listed(origins.iter().map(|text| text.parse().expect("an origin")).collect()),
            allowed_headers: None,
            exposed_headers: None,
            max_age: HeaderValue::from_static("600"),
            credentials: false,
        }
    }

    fn granted(rule: &CorsRule, origins: &[&str]) -> Option<String> {
        let mut fields = HeaderMap::new();
        for origin in origins {
            fields.append(header::ORIGIN, origin.parse().expect("a value"));
        }
        rule.grant(&fields).map(|Grant(origin)| origin.to_str().expect("text").to_owned())
    }

    #[test]
    fn only_what_is_listed_is_granted_octet_by_octet() {
        let rule = rule(&["https://app.example.org", "http://localhost:3000"]);
        for origin in ["https://app.example.org", "http://localhost:3000"] {
            assert_eq!(granted(&rule, &[origin]).as_deref(), Some(origin));
        }
        for origin in [
            "http://app.example.org",
            "https://app.example.org:443",
            "https://app.example.org.evil.example",
            "https://evil.example/https://app.example.org",
            "https://sub.app.example.org",
            "https://APP.example.org",
            "https://app.example.org/",
            "null",
            "*",
            "",
        ] {
            assert_eq!(granted(&rule, &[origin]), None, "{origin}");
        }
        assert_eq!(granted(&rule, &[]), None);
        assert_eq!(granted(&rule, &["https://app.example.org", "https://app.example.org"]), None, "two are none");
        assert_eq!(granted(&self::rule(&[]), &["https://app.example.org"]), None);
        let any = CorsRule { origins: Origins::Any, ..self::rule(&[]) };
        assert_eq!(granted(&any, &["null"]).as_deref(), Some("*"));
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for text in
            ["https://a.example", "http://localhost:8080", "https://[::1]:8443", "https://xn--bcher-kva.example"]
        {
            assert!(text.parse::<Origin>().is_ok(), "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/x",
            "https://A.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://user@a.example",
            "ftp://a.example",
            "https://*.example",
            "https://a.example:x",
            "https://a.example?x",
            "https://[0:0:0:0:0:0:0:1]",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_api_says_goes_and_what_the_rule_says_comes() {
        let rule = CorsRule { credentials: true, ..rule(&["https://a.example"]) };
        let mut answer = ResponseHeader::build(200, None).expect("answer");
        for name in ["access-control-allow-origin", "access-control-allow-private-network", "etag"] {
            answer.append_header(name, "x").expect("field");
        }
        strip(&mut answer);
        assert_eq!(answer.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["etag"]);
        rule.apply(&mut answer, None).expect("applied");
        assert_eq!(answer.headers["vary"], "origin");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        rule.apply(&mut answer, Some(&Grant(HeaderValue::from_static("https://a.example")))).expect("applied");
        assert_eq!(answer.headers["access-control-allow-origin"], "https://a.example");
        assert_eq!(answer.headers["access-control-allow-credentials"], "true");
        assert_eq!(answer.headers.get_all("vary").iter().count(), 1);
    }

    #[test]
    fn whoever_may_come_the_answer_varies_and_where_nobody_may_it_does_not() {
        for (origins, varies) in [(Origins::Any, true), (Origins::Listed(Vec::new()), false)] {
            let mut answer = ResponseHeader::build(200, None).expect("answer");
            CorsRule { origins, ..rule(&[]) }.apply(&mut answer, None).expect("applied");
            assert_eq!(answer.headers.contains_key("vary"), varies);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_an_origin_is_granted_to_itself_only(
            text in any::<String>(), other in "https?://[a-z]{1,3}(:[0-9]{1,4})?",
        ) {
            let _ = text.parse::<Origin>();
            if other.parse::<Origin>().is_ok() {
                let rule = rule(&[&other]);
                prop_assert_eq!(granted(&rule, &[&other]), Some(other.clone()));
                prop_assert_eq!(granted(&rule, &[&format!("{other}x")]), None);
            }
        }
    }
}
