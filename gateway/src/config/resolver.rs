//! `[resolver]`: how the names of upstreams are resolved.

use todo_shared::config::Section;

use crate::{config::connections::positive, upstream::dns::ResolverRule};

pub(super) fn read(section: &Section<'_>) -> Option<ResolverRule> {
    let servers = section.list("servers");
    let timeout = positive(section, "timeout");
    let min_ttl = positive(section, "min_ttl");
    let max_ttl = positive(section, "max_ttl");
    let rule = ResolverRule { servers: servers?, timeout: timeout?, min_ttl: min_ttl?, max_ttl: max_ttl? };
    if rule.max_ttl < rule.min_ttl {
        section.complain("max_ttl", "has to be `min_ttl` or more", None);
    }
    Some(rule)
}
