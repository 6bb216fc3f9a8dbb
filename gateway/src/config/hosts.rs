//! `[hosts]`: which hosts are served.

use todo_shared::{config::Section, environment::Environment};

use crate::request::host::{HostPattern, TrustedHosts};

pub(super) fn read(section: &Section<'_>, environment: Environment) -> Option<TrustedHosts> {
    let trusted = section.parsed_list::<HostPattern>("trusted");
    let on_untrusted = section.parsed("on_untrusted");
    let trusted = trusted?;
    if trusted.is_empty() {
        section.complain(
            "trusted",
            "no host is served",
            Some("write the names clients use, such as \"todo.example.org\""),
        );
    }
    if environment == Environment::Production && trusted.iter().any(HostPattern::is_wildcard) {
        let help = "write the names clients use; `*.example.org` covers a whole domain";
        section.complain("trusted", "production does not trust every host", Some(help));
    }
    Some(TrustedHosts::new(trusted, on_untrusted?))
}
