//! `[overload]`: how much of what the process may use it uses before it takes no more.

use todo_shared::config::Section;

use crate::overload::OverloadRule;

pub(super) fn read(section: &Section<'_>) -> Option<OverloadRule> {
    let max_memory = section.parsed("max_memory");
    let max_descriptors = section.parsed("max_descriptors");
    Some(OverloadRule { max_memory: max_memory?, max_descriptors: max_descriptors? })
}
