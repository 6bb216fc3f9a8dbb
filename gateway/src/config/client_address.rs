//! `[client_address]`: whom to believe about the client.

use ipnet::IpNet;
use todo_shared::config::Section;

use crate::request::client_address::ClientAddressRule;

/// A network, or one address.
pub(super) struct Network(pub(super) IpNet);

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()));
        network.map(Self).map_err(|_| format!("`{text}` is not a network such as 10.0.0.0/8 or fd00::/8"))
    }
}

pub(super) fn read(section: &Section<'_>) -> Option<ClientAddressRule> {
    let trusted = section.parsed_list::<Network>("trusted_proxies");
    let field = section.parsed("field");
    let trusted = trusted?;
    if trusted.iter().any(|Network(network)| network.prefix_len() == 0) {
        let help = "name the networks of your own proxies";
        section.complain("trusted_proxies", "whoever trusts everyone lets clients invent their address", Some(help));
    }
    Some(ClientAddressRule::new(trusted.into_iter().map(|Network(network)| network).collect(), field?))
}
