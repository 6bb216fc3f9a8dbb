//! `[reload]`: when the configuration is read again.

use todo_shared::config::Section;

/// When the configuration is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// On a change of the file, too.
    pub watch: bool,
}

pub(super) fn read(section: &Section<'_>) -> Option<Reload> {
    Some(Reload { watch: section.get("watch")? })
}
