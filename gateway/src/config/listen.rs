//! `[listen]`: where clients connect.

use std::{net::SocketAddr, str::FromStr};

use ipnet::IpNet;
use todo_shared::{config::Section, environment::Environment};

use crate::{config::client_address::Network, edge::proxy_protocol::ProxyRule};

/// What requests of the plain listener get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpAction {
    /// 308 to the same resource over TLS.
    Redirect,
    /// What they would get over TLS.
    Proxy,
}

impl FromStr for HttpAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "redirect" => Ok(Self::Redirect),
            "proxy" => Ok(Self::Proxy),
            _ => Err("expected `redirect` or `proxy`".to_owned()),
        }
    }
}

/// The addresses of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// TLS.
    pub https: SocketAddr,
    /// Plain HTTP.
    pub http: Option<SocketAddr>,
    /// What it gets.
    pub http_action: HttpAction,
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

/// `trusts_proxies` says whether anybody is trusted to say that a client speaks TLS.
pub(super) fn read(section: &Section<'_>, environment: Environment, trusts_proxies: bool) -> Option<Listen> {
    let https = section.get::<SocketAddr>("https");
    let http = section.optional::<SocketAddr>("http");
    let http_action = section.parsed::<HttpAction>("http_action");
    if http_action == Some(HttpAction::Proxy) && environment == Environment::Production && !trusts_proxies {
        let help = "name the load balancer that ends TLS in `client_address.trusted_proxies`, or write \"redirect\"";
        section.complain("http_action", "production serves nothing without TLS", Some(help));
    }
    let redirect_port = section.optional::<u16>("redirect_port");
    let required = section.parsed::<Required>("proxy_protocol");
    let sources = section.parsed_list::<Network>("proxy_sources");
    if redirect_port == Some(Some(0)) {
        section.complain("redirect_port", "0 is not a port that a client can connect to", None);
    }
    let (https, http) = (https?, http?);
    if http == Some(https) && https.port() != 0 {
        section.complain("http", "the same address as `https`", Some("give it another port, or leave it empty"));
    }
    let Required(required) = required?;
    let sources: Vec<_> = sources?.into_iter().map(|Network(network)| network).collect();
    check_sources(section, required, &sources);
    let proxy = required.then_some(ProxyRule { sources });
    Some(Listen { https, http, http_action: http_action?, redirect_port: redirect_port?, proxy })
}

fn check_sources(section: &Section<'_>, required: bool, sources: &[IpNet]) {
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
}
