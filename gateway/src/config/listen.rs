//! `[listen]`: where clients connect.

use std::net::SocketAddr;

use todo_shared::config::Section;

/// The addresses of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// TLS.
    pub https: SocketAddr,
    /// Plain HTTP, which is only redirected.
    pub http: Option<SocketAddr>,
    /// The port that redirects name, where it is not that of `https`.
    redirect_port: Option<u16>,
}

impl Listen {
    /// The port that redirects name.
    pub fn redirect_port(&self) -> u16 {
        self.redirect_port.unwrap_or(self.https.port())
    }
}

pub(super) fn read(section: &Section<'_>) -> Option<Listen> {
    let https = section.get::<SocketAddr>("https");
    let http = section.optional::<SocketAddr>("http");
    let redirect_port = section.optional::<u16>("redirect_port");
    if redirect_port == Some(Some(0)) {
        section.complain("redirect_port", "0 is not a port that a client can connect to", None);
    }
    let (https, http) = (https?, http?);
    if http == Some(https) && https.port() != 0 {
        section.complain("http", "the same address as `https`", Some("give it another port, or leave it empty"));
    }
    Some(Listen { https, http, redirect_port: redirect_port? })
}
