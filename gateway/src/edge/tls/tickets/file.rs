//! The file of ticket keys: a line for each, `<from> <until> <key>`, times in RFC 3339 and the key in base64.
//!
//! It holds secrets that open every session of their time: no sentence, log or `Debug` repeats what it holds, and memory that
//! held a key is wiped. Buffers begin as large as they become, because one that grows leaves its old memory as it was.

use std::{
    fmt::{self, Write as _},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Octets of a key.
const KEY: usize = 32;

/// More keys than any rotation needs.
const MOST_KEYS: usize = 16;

/// More than that many lines need, in octets.
const LARGEST: usize = 1 << 14;

/// Octets of a key in base64.
const ENCODED: usize = KEY.div_ceil(3) * 4;

/// More than two times and a key need, in octets.
const LONGEST_LINE: usize = 64 + ENCODED;

const HEADER: &str =
    "# Keys of TLS session tickets: from, until, key. `todo-gateway ticket-key` adds the next one. Secret.\n";

/// A line of the file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From when it seals tickets.
    pub(crate) from: SystemTime,
    /// Until when it opens them.
    pub(crate) until: SystemTime,
    pub(super) key: Zeroizing<[u8; KEY]>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Entry").field("from", &self.from).field("until", &self.until).finish_non_exhaustive()
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each sentence says what its variant and fields are")]
pub enum TicketKeyError {
    #[error("the ticket keys in {} cannot be read: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("the ticket keys in {} cannot be written: {source}", file.display())]
    Unwritable { file: PathBuf, source: io::Error },
    #[error("{} is larger than {LARGEST} octets or holds more than {MOST_KEYS} keys", file.display())]
    TooMany { file: PathBuf },
    #[error("line {line} of {} is no ticket key: {expected}; `todo-gateway ticket-key` writes them", file.display())]
    Line { file: PathBuf, line: usize, expected: &'static str },
    #[error("the system has no randomness for a ticket key")]
    Randomness,
}

/// The keys of a file, and its permission bits.
///
/// # Errors
/// The first mistake in it.
pub(crate) fn load(file: &Path) -> Result<(Vec<Entry>, u32), TicketKeyError> {
    let unreadable = |source| TicketKeyError::Unreadable { file: file.to_owned(), source };
    let opened = File::open(file).map_err(unreadable)?;
    let mode = opened.metadata().map_err(unreadable)?.mode() & 0o777;
    let mut text = Zeroizing::new(String::with_capacity(LARGEST + 2));
    opened.take(LARGEST as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    let too_many = TicketKeyError::TooMany { file: file.to_owned() };
    if text.len() > LARGEST {
        return Err(too_many);
    }
    let entries =
        parse(&text).map_err(|(line, expected)| TicketKeyError::Line { file: file.to_owned(), line, expected });
    entries.and_then(|entries| if entries.len() > MOST_KEYS { Err(too_many) } else { Ok((entries, mode)) })
}

/// The keys, or the number of the line that is none and what was expected there.
fn parse(text: &str) -> Result<Vec<Entry>, (usize, &'static str)> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(line, number)| parse_line(line).map_err(|expected| (number, expected))).collect()
}

fn parse_line(line: &str) -> Result<Entry, &'static str> {
    let words: Vec<_> = line.split_whitespace().collect();
    let &[from, until, key] = words.as_slice() else { return Err("expected two times and a key") };
    let time = |text| humantime::parse_rfc3339(text).map_err(|_| "expected times such as 2026-01-31T00:00:00Z");
    let (from, until) = (time(from)?, time(until)?);
    if until <= from {
        return Err("its end has to be after its beginning");
    }
    // The decoder asks for room for whole groups of three.
    let mut octets = Zeroizing::new([0; KEY.next_multiple_of(3)]);
    let is_key = STANDARD.decode_slice(key, octets.as_mut_slice()).is_ok_and(|length| length == KEY);
    let key = octets.first_chunk().filter(|_| is_key).ok_or("expected 32 octets in base64")?;
    Ok(Entry { from, until, key: Zeroizing::new(*key) })
}

/// Adds a key to the file, which is made where there is none, and leaves out those that have ended: the rotation.
///
/// Its time begins after `lead`, in which the file reaches every gateway, or when no other key is in force any more.
///
/// # Errors
/// When the file is not what it should be, or cannot be replaced; it is then as it was.
pub fn add(file: &Path, lifetime: Duration, lead: Duration, now: SystemTime) -> Result<(), TicketKeyError> {
    let (mut entries, owner) = match fs::metadata(file) {
        Ok(metadata) => (load(file)?.0, Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
        Err(source) => return Err(TicketKeyError::Unreadable { file: file.to_owned(), source }),
    };
    let mut key = Zeroizing::new([0; KEY]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| TicketKeyError::Randomness)?;
    rotate(&mut entries, key, lifetime, lead, now);
    if entries.len() > MOST_KEYS {
        return Err(TicketKeyError::TooMany { file: file.to_owned() });
    }
    let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + entries.len() * LONGEST_LINE));
    text.push_str(HEADER);
    let written = entries.iter().try_for_each(|entry| write_line(&mut text, entry));
    let replaced = written.map_err(io::Error::other).and_then(|()| replace(file, text.as_bytes(), owner.as_ref()));
    replaced.map_err(|source| TicketKeyError::Unwritable { file: file.to_owned(), source })
}

/// Puts a key in front, and leaves out those that have ended.
pub(super) fn rotate(
    entries: &mut Vec<Entry>,
    key: Zeroizing<[u8; KEY]>,
    lifetime: Duration,
    lead: Duration,
    now: SystemTime,
) {
    entries.retain(|entry| now < entry.until);
    let from = (now + lead).min(covered(entries, now));
    entries.insert(0, Entry { from, until: from + lifetime, key });
}

/// Until when there is a key in force, from now on without a gap.
fn covered(entries: &[Entry], now: SystemTime) -> SystemTime {
    let mut end = now;
    while let Some(next) =
        entries.iter().filter(|entry| entry.from <= end && end < entry.until).max_by_key(|entry| entry.until)
    {
        end = next.until;
    }
    end
}

fn write_line(text: &mut String, entry: &Entry) -> fmt::Result {
    let time = humantime::format_rfc3339_seconds;
    let mut key = Zeroizing::new([0; ENCODED]);
    STANDARD.encode_slice(entry.key.as_slice(), key.as_mut_slice()).map_err(|_| fmt::Error)?;
    let key = std::str::from_utf8(key.as_slice()).map_err(|_| fmt::Error)?;
    writeln!(text, "{} {} {key}", time(entry.from), time(entry.until))
}

/// Whoever reads the file finds the old keys or the new ones, whole, as the user that could read it before.
fn replace(file: &Path, octets: &[u8], before: Option<&fs::Metadata>) -> io::Result<()> {
    let mut name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    // One that was cut off has left it.
    if let Err(error) = fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    if let Some(before) = before {
        chown(&new, Some(before.uid()), Some(before.gid()))?;
        opened.set_permissions(fs::Permissions::from_mode(before.mode() & 0o777))?;
    }
    opened.write_all(octets)?;
    opened.sync_all()?;
    fs::rename(&new, file)
}
