//! One Markdown file: where it leads, what it names, and which commands it shows.
//!
//! A block of commands says in a comment in front of it, which no reader sees, what becomes of it here:
//!
//! ```text
//! <!-- executed -->                                it succeeds
//! <!-- executed: prints "ready" and 'a "b"' -->    and says these
//! <!-- executed, fails: prints "not well" -->      it does not succeed, and says this
//! <!-- not executed: needs a cluster -->
//! <!-- drill: deploy/bin/stack kill redis -->      commands that only the drill runs, before what comes next
//! ```

use std::{collections::BTreeSet, ops::Range};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What it holds; numbers are lines.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Its path in the project.
    pub(super) path: String,
    /// What may stand behind `#` in a link to it.
    pub(super) anchors: BTreeSet<String>,
    /// Where its links lead.
    pub(super) links: Vec<(usize, String)>,
    /// What it names: code within a sentence, and each line of a block of commands.
    pub(super) names: Vec<(usize, String)>,
    /// Its commands, in order.
    pub(super) steps: Vec<Step>,
    /// What is wrong with its markers.
    pub(super) mistakes: Vec<(usize, String)>,
}

/// A block of commands.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Run; must succeed or fail, and say all of this.
    Executed { fails: bool, prints: Vec<String> },
    /// Run, and not seen by readers.
    Drill,
    /// Only read.
    NotExecuted,
}

impl Page {
    /// Reads a file's text.
    pub(super) fn read(path: &str, text: &str) -> Self {
        let mut reader = Reader { page: Self { path: path.to_owned(), ..Self::default() }, ..Reader::default() };
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = 1 + text.get(..range.start).unwrap_or_default().matches('\n').count();
            reader.take(event, line, &range, text);
        }
        reader.without_block();
        reader.page
    }
}

#[derive(Debug, Default)]
struct Reader {
    page: Page,
    /// A marker whose block has not come yet.
    marker: Option<(usize, Kind)>,
    /// The text of the heading that is being read.
    heading: Option<String>,
    /// The line and the text of the block that is being read, and whether it is one of commands.
    block: Option<(usize, String, bool)>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize, range: &Range<usize>, text: &str) {
        match event {
            Event::Start(Tag::HtmlBlock) => self.html(text.get(range.clone()).unwrap_or_default(), line),
            Event::Start(Tag::Heading { .. }) => {
                self.without_block();
                self.heading = Some(String::new());
            }
            Event::Start(Tag::CodeBlock(kind)) => self.begin(&kind, line),
            Event::Start(Tag::Paragraph | Tag::Table(_)) => self.without_block(),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                self.page.links.push((line, dest_url.into_string()));
            }
            Event::End(TagEnd::Heading(_)) => self.anchor(),
            Event::End(TagEnd::CodeBlock) => self.end(),
            Event::Code(code) => {
                if let Some(heading) = &mut self.heading {
                    *heading += &code;
                }
                self.page.names.push((line, code.into_string()));
            }
            Event::Text(words) => {
                if let Some(heading) = &mut self.heading {
                    *heading += &words;
                }
                if let Some((_, text, _)) = &mut self.block {
                    *text += &words;
                }
            }
            _ => {}
        }
    }

    fn mistake(&mut self, line: usize, what: impl Into<String>) {
        self.page.mistakes.push((line, what.into()));
    }

    /// A marker that is still waiting belongs to nothing.
    fn without_block(&mut self) {
        if let Some((line, _)) = self.marker.take() {
            self.mistake(line, "the marker has no block of commands behind it");
        }
    }

    fn html(&mut self, html: &str, line: usize) {
        let Some(comment) = html.trim().strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->")) else { return };
        let comment = comment.trim();
        if let Some(commands) = comment.strip_prefix("drill:") {
            self.page.steps.push(Step { line, text: commands.trim().to_owned(), kind: Kind::Drill });
        } else if comment.starts_with("executed") || comment.starts_with("not executed") {
            self.without_block();
            match marker(comment) {
                Some(kind) => self.marker = Some((line, kind)),
                None => self.mistake(line, format!("the marker cannot be read: {comment}")),
            }
        }
    }

    fn begin(&mut self, kind: &CodeBlockKind<'_>, line: usize) {
        let language = match kind {
            CodeBlockKind::Fenced(info) => info.split_whitespace().next().unwrap_or_default(),
            CodeBlockKind::Indented => "",
        };
        if ["bash", "shell", "console", "zsh"].contains(&language) {
            self.mistake(line, format!("a block of commands is written as `sh`, not `{language}`"));
        }
        if language != "sh" {
            self.without_block();
        }
        self.block = Some((line, String::new(), language == "sh"));
    }

    fn end(&mut self) {
        let Some((line, text, true)) = self.block.take() else { return };
        // The first line is the fence.
        self.page.names.extend(text.lines().zip(line + 1..).map(|(words, line)| (line, words.to_owned())));
        match self.marker.take() {
            Some((_, kind)) => self.page.steps.push(Step { line, text, kind }),
            None => self.mistake(line, "the block of commands has no marker"),
        }
    }

    /// The anchor that is made of a heading: letters and digits in lower case, dashes for spaces; a number for the
    /// second of the same name.
    fn anchor(&mut self) {
        let heading = self.heading.take().unwrap_or_default().to_lowercase();
        let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
        let slug: String = kept.map(|character| if character == ' ' { '-' } else { character }).collect();
        let others = (1..).map(|number| format!("{slug}-{number}"));
        let free = std::iter::once(slug.clone()).chain(others).find(|slug| !self.page.anchors.contains(slug));
        self.page.anchors.extend(free);
    }
}

fn marker(comment: &str) -> Option<Kind> {
    if let Some(rest) = comment.strip_prefix("not executed:") {
        return (!rest.trim().is_empty()).then_some(Kind::NotExecuted);
    }
    let rest = comment.strip_prefix("executed")?;
    let (fails, rest) = rest.strip_prefix(", fails").map_or((false, rest), |rest| (true, rest));
    let mut prints = Vec::new();
    if !rest.is_empty() {
        let mut rest = rest.strip_prefix(": prints ")?;
        loop {
            let quote = rest.chars().next().filter(|quote| "\"'".contains(*quote))?;
            let (said, after) = rest.get(1..)?.split_once(quote)?;
            prints.push(said.to_owned());
            if after.is_empty() {
                break;
            }
            rest = after.strip_prefix(" and ")?;
        }
    }
    Some(Kind::Executed { fails, prints })
}
