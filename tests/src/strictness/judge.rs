//! Judges what came of a case, by what the case expects and by what is always so.

use std::fmt::Write as _;

use crate::{
    raw::Answer,
    recorder::{chunked_data, contains},
    strictness::{Case, Seen},
};

/// What is wrong, one sentence each; none where the case holds.
pub fn judge(case: &Case, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let expected = &case.expected;
    let statuses: Vec<u16> = seen.answers.iter().map(|answer| answer.status).collect();
    if statuses != expected.statuses {
        wrong.push(format!("statuses {statuses:?} instead of {:?}", expected.statuses));
    }
    if seen.is_cut != expected.is_cut {
        wrong.push(format!("the last answer is {}whole", if seen.is_cut { "not " } else { "" }));
    }
    if !seen.is_closed {
        wrong.push("the connection was left open".to_owned());
    }
    if !seen.is_cut {
        for answer in &seen.answers {
            wrong.extend(framing(answer).map(str::to_owned));
        }
    }
    let requests = match expected.requests {
        Some(count) => count,
        None if expected.is_refusal => 0,
        None => statuses.iter().filter(|status| **status >= 200).count(),
    };
    if seen.record.whole.len() != requests {
        wrong.push(format!("{} whole requests reached the origin instead of {requests}", seen.record.whole.len()));
    }
    if expected.is_refusal {
        if !seen.record.parts.is_empty() {
            wrong.push("part of a request reached the origin".to_owned());
        }
        let last = seen.answers.last();
        if last.and_then(|answer| answer.field("connection")) != Some("close") {
            wrong.push("the refusal does not say that it closes".to_owned());
        }
        if last.and_then(|answer| answer.field("content-type")) != Some("application/problem+json") {
            wrong.push("the refusal is no problem document".to_owned());
        }
    }
    let all = seen.record.whole.iter().chain(&seen.record.parts);
    // Chunks are cut as the octets happened to come: what stands in a body is looked for in its data as well.
    let received = all.flat_map(|message| [Some(message.clone()), chunked_data(message)]).flatten();
    let received = received.map(|octets| octets.to_ascii_lowercase()).collect::<Vec<_>>().concat();
    let shown = seen.octets.to_ascii_lowercase();
    for (octets, list, is_there, what) in [
        (&shown, &expected.shown, true, "the client does not see"),
        (&shown, &expected.hidden, false, "the client sees"),
        (&received, &expected.reaches, true, "the origin does not see"),
        (&received, &expected.kept, false, "the origin sees"),
    ] {
        for part in list {
            if contains(octets, part.to_ascii_lowercase().as_bytes()) != is_there {
                wrong.push(format!("{what} {part:?}"));
            }
        }
    }
    if !wrong.is_empty() {
        let mut evidence = format!("the client received {:?}", String::from_utf8_lossy(&seen.octets));
        for message in seen.record.whole.iter().chain(&seen.record.parts) {
            let _ = write!(evidence, "; the origin received {:?}", String::from_utf8_lossy(message));
        }
        wrong.push(evidence);
    }
    wrong
}

/// What is never right in an answer, whatever the case.
fn framing(answer: &Answer) -> impl Iterator<Item = &'static str> {
    let count = |name: &str| answer.fields.iter().filter(|(known, _)| known == name).count();
    let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
    let is_bodiless = answer.status < 200 || answer.status == 204;
    let hop = ["keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "upgrade"];
    [
        (lengths > 1, "an answer with two lengths (RFC 9110 8.6)"),
        (lengths > 0 && codings > 0, "an answer with a length and a transfer coding (RFC 9112 6.2)"),
        (is_bodiless && lengths + codings > 0, "an answer that frames a body it cannot have (RFC 9110 8.6)"),
        (hop.iter().any(|name| count(name) > 0), "a field of the origin's connection (RFC 9110 7.6.1)"),
        (!(100..600).contains(&answer.status), "a status that is none (RFC 9110 15)"),
        (answer.status == 405 && count("allow") == 0, "405 without Allow (RFC 9110 15.5.6)"),
        (answer.status >= 200 && count("date") != 1, "an answer without its Date (RFC 9110 6.6.1)"),
    ]
    .into_iter()
    .filter_map(|(is_wrong, what)| is_wrong.then_some(what))
}
