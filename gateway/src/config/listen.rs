//! `[listen]`: where clients connect.

use std::{net::SocketAddr, str::FromStr};

use todo_shared::config::Section;

use crate::{config::client_address::Network, edge::proxy_protocol::ProxyRule};

/// The addresses of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// TLS.
    pub https: SocketAddr,
    /// Plain HTTP, which is only redirected.
    pub http: Option<SocketAddr>,
    /// The port that redirects name, where it is not that of `https`.
    redirect_port: Option<u16>,
    /// Who has to announce clients by the PROXY protocol, on both listeners.
    pub proxy: Option<ProxyRule>,
}

/// `off` or `require`.
struct Required(bool);

impl FromStr for Required {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(false)),
            "require" => Ok(Self(true)),
            _ => Err("expected \"off\" or \"require\": guessing whether there is a header would let clients forge one"
                .to_owned()),
        }
    }
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
    let proxy = proxy_rule(section);
    Some(Listen { https, http, redirect_port: redirect_port?, proxy: proxy? })
}

fn proxy_rule(section: &Section<'_>) -> Option<Option<ProxyRule>> {
    let required = section.parsed::<Required>("proxy_protocol");
    let sources = section.parsed_list::<Network>("proxy_sources");
    let (Required(required), sources) = (required?, sources?);
    let sources: Vec<_> = sources.into_iter().map(|Network(network)| network).collect();
    let help = "name the addresses or networks of your load balancers, such as 10.0.3.0/24";
    if sources.iter().any(|network| network.prefix_len() == 0) {
        section.complain("proxy_sources", "whoever trusts everyone lets clients invent their address", Some(help));
    }
    if required && sources.is_empty() {
        section.complain(
            "proxy_sources",
            "nobody could connect: headers are required and nobody may send one",
            Some(help),
        );
    }
    Some(required.then_some(ProxyRule { sources }))
}
