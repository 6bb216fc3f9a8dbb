//! The documents keep their word: their links lead somewhere, what they name exists, and the commands they show are run on
//! the service and say what the documents say they say.
//!
//! `page` reads a Markdown file and says how blocks of commands are marked. `make test-docs DOCUMENT=docs/OPERATIONS.md`
//! runs the commands of one document only.

mod examples;
mod links;
mod names;
mod page;
mod project;
mod shell;
mod walk;

use std::{
    fmt::Write as _,
    io::{Write as _, stdout},
    time::Duration,
};

use self::{
    page::{Kind, Page},
    project::Project,
    shell::Shell,
    walk::Walk,
};
use crate::copy::Copy;

/// How long a block of commands may take.
const BOUND: Duration = Duration::from_mins(4);

/// Links between documents, and to files, lead to what is there.
pub(crate) async fn every_link_leads_somewhere() {
    let project = Project::here();
    let pages = project.pages();
    assert!(pages.iter().map(|page| page.links.len()).sum::<usize>() > 10, "the documents were not read");
    none(links::mistakes(&project, &pages));
}

/// What stands in the documents as code is what there is.
pub(crate) async fn everything_named_exists() {
    let project = Project::here();
    none(names::mistakes(&project, &project.pages()));
}

/// Every block of commands says whether it is run here, and is a program that a shell can read.
pub(crate) async fn every_block_of_commands_is_marked() {
    let pages = Project::here().pages();
    let mut mistakes = marker_mistakes(&pages);
    for page in &pages {
        for step in &page.steps {
            let complaint = walk::complaint(&step.text);
            mistakes.extend(complaint.map(|said| format!("{}:{}: no shell reads it: {said}", page.path, step.line)));
        }
    }
    none(mistakes);
}

/// The blocks that can be run here are run, document by document, on the service.
pub(crate) async fn commands_do_what_the_documents_say() {
    let only = std::env::var("DOCUMENT").unwrap_or_default();
    let pages = Project::here().pages();
    let pages: Vec<_> = pages.into_iter().filter(|page| only.is_empty() || page.path == only).collect();
    assert!(!pages.is_empty(), "there is no document {only}");
    let mistakes = Walk::new(Copy::of("."), BOUND).through(&pages).await;
    let mut table = String::new();
    for page in pages.iter().filter(|page| !page.steps.is_empty()) {
        let count = |wanted: fn(&Kind) -> bool| page.steps.iter().filter(|step| wanted(&step.kind)).count();
        let executed = count(|kind| matches!(kind, Kind::Executed { .. }));
        let left = count(|kind| *kind == Kind::NotExecuted);
        let _ = writeln!(table, "  {:<44} {executed:>3} executed, {left:>2} not", page.path);
    }
    stdout().write_all(format!("\nblocks of commands, as they are marked\n{table}").as_bytes()).expect("written");
    none(mistakes);
}

/// The checks see each of these mistakes, where it is, and nothing else.
pub(crate) async fn mistakes_are_seen() {
    let project = Project::here();
    let mut pages = project.pages();
    let folder = tempfile::tempdir().expect("a folder");
    for (text, expected) in examples::READ {
        pages.push(Page::read("docs/example.md", text));
        let example = &pages[pages.len() - 1..];
        let mut seen = links::mistakes(&project, &pages);
        seen.retain(|mistake| mistake.starts_with("docs/example.md"));
        seen.extend(names::mistakes(&project, example));
        seen.extend(marker_mistakes(example));
        pages.pop();
        assert_one(&seen, expected, text);
    }
    for (text, expected) in examples::RUN {
        let page = Page::read("docs/example.md", text);
        let mut shell = Shell::start(folder.path(), Duration::from_secs(3));
        let seen: Vec<_> = walk::steps(&mut shell, &page).await.into_iter().collect();
        assert_one(&seen, expected, text);
    }
}

/// One mistake that begins like this; none where nothing is expected.
fn assert_one(seen: &[String], expected: &str, text: &str) {
    let count = usize::from(!expected.is_empty());
    let expected = format!("docs/example.md:{expected}");
    assert!(seen.len() == count && seen.iter().all(|mistake| mistake.starts_with(&expected)), "{text}\n{seen:#?}");
}

fn marker_mistakes(pages: &[Page]) -> Vec<String> {
    let of = |page: &Page| {
        let mistakes = page.mistakes.iter().map(|(line, mistake)| format!("{}:{line}: {mistake}", page.path));
        mistakes.collect::<Vec<_>>()
    };
    pages.iter().flat_map(of).collect()
}

fn none(mistakes: Vec<String>) {
    assert!(mistakes.is_empty(), "{} mistakes\n\n{}\n", mistakes.len(), mistakes.join("\n"));
}
