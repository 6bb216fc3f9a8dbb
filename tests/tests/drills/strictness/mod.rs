//! The same octets to the gateway, to nginx and to HAProxy, each in front of a recording origin: where they differ, and
//! whether `docs/request-strictness.md` explains it.

mod peers;

use std::{collections::BTreeSet, fmt::Write as _, fs, io::Write as _};

use todo_tests::strictness::{Case, Seen, cases};

use self::peers::Peer;
use crate::script;

const PAGE: &str = "docs/request-strictness.md";

/// What the page's part with the tables begins with.
const TABLES: &str = "## Where nginx and HAProxy differ";

pub(crate) async fn differences_are_explained() {
    let cases = cases();
    let (ours, nginx, haproxy) = (Peer::ours().await, Peer::nginx().await, Peer::haproxy().await);
    let (ours, nginx, haproxy) = tokio::join!(ours.play(&cases), nginx.play(&cases), haproxy.play(&cases));
    let (mut found, mut report, mut octets) = (BTreeSet::new(), String::new(), String::new());
    for (case, seen) in cases.iter().zip(ours.iter().zip(nginx.iter().zip(&haproxy))) {
        let seen = [seen.0, seen.1.0, seen.1.1];
        if let Some(row) = row(case, seen) {
            let _ = writeln!(report, "{row}");
            let _ = writeln!(octets, "== {} (RFC {})", case.name, case.section);
            for (name, seen) in ["ours", "nginx", "haproxy"].into_iter().zip(seen) {
                let whole = seen.record.whole.iter().map(|message| String::from_utf8_lossy(message));
                let received = String::from_utf8_lossy(&seen.octets);
                let _ = writeln!(octets, "{name}\n  client: {received:?}\n  origin: {:?}", whole.collect::<Vec<_>>());
            }
            found.insert(row);
        }
    }
    let own = own_verdicts(&cases, &ours);
    let folder = script::root().join("target/strictness");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("differences.md"), report).expect("written");
    fs::write(folder.join("octets.txt"), octets).expect("written");

    let page = fs::read_to_string(script::root().join(PAGE)).expect("the page");
    let explained = explained(&page);
    if let Some(others) = peers::other_versions() {
        let wrong: Vec<_> =
            explained.iter().filter(|known| !own.iter().any(|row| fits(row, &own_part(known)))).collect();
        let _ = writeln!(
            std::io::stdout(),
            "strictness: the tables are not of {others}: only the gateway's part was compared"
        );
        assert!(wrong.is_empty(), "{PAGE} says what is not so of the gateway:\n{}", lines(&wrong));
        return;
    }
    let missing: Vec<_> = found.iter().filter(|row| !explained.iter().any(|known| fits(row, known))).collect();
    // A difference that depends on timing may be none this time.
    let may_be_absent = |known: &str| known.contains(" or ");
    let stale: Vec<_> =
        explained.iter().filter(|known| !may_be_absent(known) && !found.iter().any(|row| fits(row, known))).collect();
    let _ = writeln!(
        std::io::stdout(),
        "strictness: {} of {} cases differ between the gateway, nginx and HAProxy (target/strictness)",
        found.len(),
        cases.len()
    );
    assert!(
        missing.is_empty() && stale.is_empty(),
        "{PAGE} does not explain\n{}\nand explains what is not so:\n{}",
        lines(&missing),
        lines(&stale)
    );
}

/// Name, section and what the gateway does, for every case.
fn own_verdicts(cases: &[Case], seen: &[Seen]) -> Vec<String> {
    let verdicts = cases.iter().zip(seen).map(|(case, seen)| {
        let forwarded: Vec<_> = seen.record.whole.iter().map(|message| gist(message)).collect();
        let name = case.name.replace('|', "\\|");
        format!("| {name} | {} | {}", case.section, cell(seen, &forwarded, &[&forwarded]))
    });
    verdicts.collect()
}

/// The same of a row of the page. What went on from the gateway is always its first kind.
fn own_part(row: &str) -> String {
    let cells: Vec<_> = row.split(" | ").collect();
    cells.get(..cells.len().saturating_sub(2)).unwrap_or_default().join(" | ").replace(" (a)", "")
}

fn lines(rows: &[&String]) -> String {
    rows.iter().fold(String::new(), |all, row| format!("{all}{row}\n"))
}

/// Whether a row is the one that the page has, in which `a or b` is what depends on how octets happen to arrive.
fn fits(row: &str, known: &str) -> bool {
    let (row, known): (Vec<_>, Vec<_>) = (row.split(" | ").collect(), known.split(" | ").collect());
    row.len() == known.len()
        && row.iter().zip(&known).all(|(cell, known)| {
            let (cell, known) = (cell.trim_end_matches(" |"), known.trim_end_matches(" |"));
            cell == known || known.split(" or ").any(|one| one == cell)
        })
}

/// A row of the table where the three differ.
fn row(case: &Case, seen: [&Seen; 3]) -> Option<String> {
    let forwarded = seen.map(|seen| seen.record.whole.iter().map(|message| gist(message)).collect::<Vec<_>>());
    let mut kinds: Vec<&Vec<String>> = Vec::new();
    for messages in &forwarded {
        if !messages.is_empty() && !kinds.contains(&messages) {
            kinds.push(messages);
        }
    }
    let cells = [0, 1, 2].map(|index| cell(seen[index], &forwarded[index], &kinds));
    let [ours, nginx, haproxy] = &cells;
    (ours != nginx || ours != haproxy).then(|| {
        let name = case.name.replace('|', "\\|");
        format!("| {name} | {} | {ours} | {nginx} | {haproxy} |", case.section)
    })
}

/// `200, 1 on` and, where what went on is not the same everywhere, which kind it is: `200, 1 on (b)`.
fn cell(seen: &Seen, forwarded: &[String], kinds: &[&Vec<String>]) -> String {
    let statuses: Vec<_> = seen.answers.iter().map(|answer| answer.status.to_string()).collect();
    let mut text = match (statuses.is_empty(), seen.is_closed) {
        (false, _) => statuses.join(" "),
        (true, true) => "closed".to_owned(),
        (true, false) => "waits".to_owned(),
    };
    // Many interim answers are one thing.
    if statuses.len() > 8 {
        text = format!("{} ... {} ({})", statuses[0], statuses[statuses.len() - 1], statuses.len());
    }
    if seen.is_cut {
        text.push_str(" cut");
    }
    if !forwarded.is_empty() {
        let _ = write!(text, ", {} on", forwarded.len());
        if kinds.len() > 1 {
            let kind = kinds.iter().position(|messages| *messages == forwarded).unwrap_or(0);
            let _ = write!(text, " ({})", ["a", "b", "c"][kind]);
        }
    }
    text
}

/// What a forwarded request says, without what each proxy adds in its own way and without the way it frames the body.
fn gist(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let own = [
        "connection",
        "content-length",
        "keep-alive",
        "traceparent",
        "transfer-encoding",
        "via",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ];
    let mut fields: Vec<_> = lines
        .map(|line| line.split_once(':').unwrap_or((line, "")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .filter(|(name, value)| !(name == "x-forwarded-for" && *value == "127.0.0.1"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    fields.sort_unstable();
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    format!("{line}\n{}\n{}", fields.join("\n"), if is_chunked { dechunked(body) } else { body.to_owned() })
}

fn dechunked(body: &str) -> String {
    let (mut rest, mut data) = (body, String::new());
    while let Some((line, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|_| size > 0) else { break };
        data.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    data
}

/// The rows that the page has under headings with a text of their own.
fn explained(page: &str) -> BTreeSet<String> {
    let (_, tables) = page.split_once(TABLES).expect("the page has a part with the tables");
    let mut rows = BTreeSet::new();
    for part in tables.split("\n### ").skip(1) {
        let prose = part.lines().skip(1).find(|line| !line.is_empty());
        let is_explained = prose.is_some_and(|line| !line.starts_with('|'));
        assert!(is_explained, "{PAGE}: {:?} explains nothing", part.lines().next());
        let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| case |");
        for row in part.lines().filter(is_row) {
            assert!(rows.insert(row.to_owned()), "{PAGE} has this row twice: {row}");
        }
    }
    rows
}
