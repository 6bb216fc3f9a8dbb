//! Whether links lead somewhere. Those to other sites are left alone: nothing here may ask the internet.

use super::{page::Page, project::Project};

/// Every link that leads nowhere.
pub(super) fn mistakes(project: &Project, pages: &[Page]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for page in pages {
        for (line, link) in &page.links {
            if let Err(mistake) = judge(project, pages, page, link) {
                mistakes.push(format!("{}:{line}: {mistake}", page.path));
            }
        }
    }
    mistakes
}

fn judge(project: &Project, pages: &[Page], page: &Page, link: &str) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { page.path.clone() } else { resolve(&page.path, path).unwrap_or_default() };
    if target != page.path && !project.has(&target) {
        return Err(format!("the link to {link} leads to nothing"));
    }
    let Some(anchor) = anchor else { return Ok(()) };
    match pages.iter().find(|other| other.path == target) {
        Some(other) if other.anchors.contains(anchor) => Ok(()),
        _ => Err(format!("{target} has no heading for the link to {link}")),
    }
}

/// The path in the project that a link of this page means; nothing where it leaves the project.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut path: Vec<_> = page.split('/').collect();
    path.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                path.pop()?;
            }
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}
