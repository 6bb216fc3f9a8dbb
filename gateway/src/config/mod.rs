//! The gateway's configuration: one file a section, each with one function that reads it.
//!
//! A reader parses, it does not validate: what it hands on has types that cannot hold a wrong value. The documented
//! defaults are `config/gateway.toml`, compiled in; `todo_shared::config` says how the layers are merged.

mod access_log;
mod client_address;
mod compression;
mod connections;
mod cors;
mod headers;
mod hosts;
mod listen;
mod log;
mod overload;
mod reload;
mod resolver;
mod routes;
mod server;
mod tls;
mod upstreams;

use todo_shared::{
    admin::AdminSettings,
    cli::ConfigArgs,
    config::{self, ProcessVariables, Report, Section, Tier, Variables},
    environment::Environment,
};

pub use self::{
    access_log::AccessLogSettings,
    connections::Connections,
    listen::{HttpAction, Listen},
    log::Log,
    reload::Reload,
    server::Server,
    tls::{CertificateFiles, Tls, TlsVersion},
};
use crate::{
    overload::OverloadRule,
    request::{client_address::ClientAddressRule, cors::CorsRule, host::TrustedHosts, route::RouteRule},
    response::{ResponsePolicy, compression::CompressionRule},
    upstream::{UpstreamRule, dns::ResolverRule},
};

/// The gateway's compiled-in files.
pub const TIER: Tier = Tier {
    name: "gateway",
    defaults: include_str!("../../../config/gateway.toml"),
    overlays: [
        include_str!("../../../config/development/gateway.toml"),
        include_str!("../../../config/staging/gateway.toml"),
        include_str!("../../../config/production/gateway.toml"),
    ],
};

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[listen]`
    pub listen: Listen,
    /// `[tls]`
    pub tls: Tls,
    /// `[connections]`
    pub connections: Connections,
    /// `[overload]`
    pub overload: OverloadRule,
    /// `[hosts]`
    pub hosts: TrustedHosts,
    /// `[client_address]`
    pub client_address: ClientAddressRule,
    /// `[headers]`
    pub responses: ResponsePolicy,
    /// `[cors]`
    pub cors: CorsRule,
    /// `[compression]`
    pub compression: CompressionRule,
    /// `[[routes]]`
    pub routes: Vec<RouteRule>,
    /// `[upstreams]`
    pub upstreams: Vec<UpstreamRule>,
    /// `[resolver]`
    pub resolver: ResolverRule,
    /// `[log]`
    pub log: Log,
    /// `[access_log]`
    pub access_log: AccessLogSettings,
    /// `[admin]`
    pub admin: AdminSettings,
    /// `[reload]`
    pub reload: Reload,
}

/// Loads the configuration of this process.
///
/// # Errors
/// A [`Report`] of every mistake.
pub fn load(arguments: &ConfigArgs) -> Result<Config, Report> {
    load_with(arguments, &ProcessVariables)
}

/// Loads the configuration with these environment variables.
///
/// # Errors
/// A [`Report`] of every mistake.
pub fn load_with(arguments: &ConfigArgs, variables: &dyn Variables) -> Result<Config, Report> {
    config::load(&TIER, arguments, variables, read)
}

fn read(root: &Section<'_>, environment: Environment) -> Option<Config> {
    let server = root.section("server", server::read);
    let tls = root.section("tls", |section| tls::read(section, environment));
    let connections = root.section("connections", connections::read);
    let overload = root.section("overload", overload::read);
    let hosts = root.section("hosts", |section| hosts::read(section, environment));
    let client_address = root.section("client_address", client_address::read);
    let trusts_proxies = client_address.as_ref().is_none_or(ClientAddressRule::trusts_any);
    let listen = root.section("listen", |section| listen::read(section, environment, trusts_proxies));
    let headers = root.section("headers", headers::read);
    let cors = root.section("cors", cors::read);
    let compression = root.section("compression", compression::read);
    let upstreams = root.named("upstreams", upstreams::read);
    let names = upstreams.as_ref().map(|rules| rules.iter().map(|rule| rule.name.clone()).collect::<Vec<_>>());
    let routes = routes::read_all(root, headers.as_ref(), names.as_deref());
    let resolver = root.section("resolver", resolver::read);
    let log = root.section("log", |section| log::read(section, environment));
    let access_log = root.section("access_log", access_log::read);
    let admin = root.section("admin", AdminSettings::read);
    let reload = root.section("reload", reload::read);
    Some(Config {
        server: server?,
        listen: listen?,
        tls: tls?,
        connections: connections?,
        overload: overload?,
        hosts: hosts?,
        client_address: client_address?,
        responses: headers?.policy(),
        cors: cors?,
        compression: compression?,
        routes: routes?,
        upstreams: upstreams?,
        resolver: resolver?,
        log: log?,
        access_log: access_log?,
        admin: admin?,
        reload: reload?,
    })
}

impl Config {
    /// Puts back the values of keys that are read at start-up only, so that nothing is half applied; names those that
    /// were changed.
    pub fn keep_started(&mut self, started: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        keep(&mut keys, "server.threads", &mut self.server.threads, &started.server.threads);
        keep(&mut keys, "server.upgrade_socket", &mut self.server.upgrade_socket, &started.server.upgrade_socket);
        keep(&mut keys, "listen.https", &mut self.listen.https, &started.listen.https);
        keep(&mut keys, "listen.http", &mut self.listen.http, &started.listen.http);
        keep(&mut keys, "log.format", &mut self.log.format, &started.log.format);
        keep(&mut keys, "log.level", &mut self.log.level, &started.log.level);
        keep(&mut keys, "access_log.format", &mut self.access_log.format, &started.access_log.format);
        keep(&mut keys, "access_log.output", &mut self.access_log.output, &started.access_log.output);
        keep(&mut keys, "admin.listen", &mut self.admin.listen, &started.admin.listen);
        keep(&mut keys, "admin.token", &mut self.admin.token, &started.admin.token);
        keys
    }
}

fn keep<T: PartialEq + Clone>(keys: &mut Vec<&'static str>, key: &'static str, value: &mut T, started: &T) {
    if value != started {
        keys.push(key);
        value.clone_from(started);
    }
}

#[cfg(test)]
mod tests;
