//! What a route is compared with: paths and methods, as the configuration writes them.

use std::str::FromStr;

use http::Method;

use crate::request::path;

/// What a path of a request is compared with: `/health` exactly, `/v1/*` for `/v1` and all below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathPattern {
    /// Without the trailing `/*`; empty for `/*`.
    pub(super) path: Box<str>,
    pub(super) is_prefix: bool,
}

impl PathPattern {
    /// Whether this path, in its one form, fits.
    pub(super) fn matches(&self, path: &str) -> bool {
        if !self.is_prefix {
            return path == &*self.path;
        }
        path.strip_prefix(&*self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The pattern as it is written.
    pub fn text(&self) -> String {
        format!("{}{}", self.path, if self.is_prefix { "/*" } else { "" })
    }
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, is_prefix) = text.strip_suffix("/*").map_or((text, false), |path| (path, true));
        let whole = if path.is_empty() && is_prefix { "/" } else { path };
        match path::normalise(whole) {
            Ok(same) if same == whole && !path.contains('*') && !(is_prefix && path.ends_with('/')) => {
                Ok(Self { path: path.into(), is_prefix })
            }
            _ => {
                Err(format!("`{text}` is not a path: write `/health` for one path, `/v1/*` for `/v1` and all below it"))
            }
        }
    }
}

/// The methods a route takes. `GET` brings `HEAD` along (RFC 9110 section 9.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Methods(pub(super) Vec<Method>);

impl Methods {
    /// These methods, and `HEAD` with `GET`.
    pub fn new(mut methods: Vec<Method>) -> Self {
        if methods.contains(&Method::GET) && !methods.contains(&Method::HEAD) {
            methods.push(Method::HEAD);
        }
        Self(methods)
    }

    /// Whether the route takes this method.
    pub(super) fn contains(&self, method: &Method) -> bool {
        self.0.contains(method)
    }
}

/// A method that a route can take. `CONNECT` and `TRACE` are never forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMethod(pub Method);

impl FromStr for RouteMethod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => {
                text.parse().map(Self).map_err(|_| "is not a method".to_owned())
            }
            _ => Err(format!(
                "`{text}` is no method that a route takes: use GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_path_pattern() {
        for text in ["", "v1", "*", "/v1*", "/a/*/b", "//", "/a/../b", "/%61", "/a//*", "/a?b"] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
        for text in ["/", "/*", "/a", "/a/", "/a/*"] {
            assert_eq!(text.parse::<PathPattern>().map(|pattern| pattern.text()), Ok(text.to_owned()));
        }
    }
}
