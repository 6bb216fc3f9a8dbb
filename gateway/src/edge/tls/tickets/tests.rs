use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{file::rotate, *};
use crate::edge::tls::testing::{DAY, today};

const HOUR: Duration = Duration::from_hours(1);

/// A file whose first key begins today, and those of a rotation every twelve hours after it.
fn rotated(times: u32) -> (TempDir, Vec<Entry>) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ticket.keys");
    for time in 0..times {
        add(&file, DAY, HOUR, today() + time * 12 * HOUR).unwrap();
    }
    let entries = load(&file).unwrap().0;
    (folder, entries)
}

#[test]
fn a_rotation_begins_late_and_forgets_what_has_ended() {
    let (folder, entries) = rotated(1);
    let file = folder.path().join("ticket.keys");
    assert_eq!((entries[0].from, entries[0].until), (today(), today() + DAY), "the first one begins at once");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (_, entries) = rotated(2);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].from, today() + 13 * HOUR, "the next one after its lead");
    assert_ne!(entries[0].key, entries[1].key);
    let (_, entries) = rotated(4);
    assert!(entries.iter().all(|entry| entry.until > today() + 36 * HOUR), "{entries:?}");
    // Who could read the file can read its successor.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    add(&file, DAY, HOUR, today()).unwrap();
    assert_eq!(load(&file).unwrap().1, 0o640);
    let shown = format!("{entries:?} {:?}", SharedTickets::new(&entries));
    assert!(!shown.contains("key: [") && !shown.contains("secret"), "{shown}");
}

#[test]
fn the_newest_key_in_force_seals_and_every_one_in_force_opens() {
    let (_folder, entries) = rotated(2);
    let tickets = SharedTickets::new(&entries);
    let (before, after) = (today() + 12 * HOUR, today() + 14 * HOUR);
    let [first, second] = [before, after].map(|now| tickets.seal(b"session", now).unwrap());
    assert_ne!(first[..NAME], second[..NAME], "another key seals");
    for now in [before, after] {
        assert_eq!(tickets.open(&first, now).as_deref(), Some(b"session".as_slice()));
    }
    // What sealed before the first one's end no longer opens after it.
    assert_eq!(tickets.open(&first, today() + DAY), None);
    assert_eq!(tickets.open(&second, today() + DAY).as_deref(), Some(b"session".as_slice()));
    assert!(tickets.seal(b"session", today() + 3 * DAY).is_none(), "a rotation that stopped makes no tickets");
    let other = SharedTickets::new(&rotated(1).1);
    assert_eq!(other.open(&first, before), None, "somebody else's key");
    assert_ne!(tickets.seal(b"session", before), tickets.seal(b"session", before), "no two tickets are alike");
}

#[test]
fn a_sibling_whose_clock_is_ahead_seals_what_we_open() {
    let (_folder, entries) = rotated(2);
    let (ours, sibling) = (SharedTickets::new(&entries), SharedTickets::new(&entries));
    // The second key's time begins after thirteen hours. By our clock that is a minute away.
    let begins = today() + 13 * HOUR;
    let now = begins - Duration::from_mins(1);
    let ticket = sibling.seal(b"session", begins).unwrap();
    assert_ne!(ours.seal(b"session", now).unwrap()[..NAME], ticket[..NAME], "ours is still the first key");
    assert_eq!(ours.open(&ticket, now).as_deref(), Some(b"session".as_slice()));
    // The other way round: what we seal is good for the sibling until the key's end by its clock.
    let ticket = ours.seal(b"session", now).unwrap();
    assert_eq!(sibling.open(&ticket, begins).as_deref(), Some(b"session".as_slice()));
}

#[test]
fn a_key_does_not_begin_after_the_last_one_has_ended() {
    let (folder, entries) = rotated(1);
    let file = folder.path().join("ticket.keys");
    let end = entries[0].until;
    add(&file, DAY, HOUR, end - HOUR / 2).unwrap();
    assert_eq!(load(&file).unwrap().0[0].from, end, "its lead would leave half an hour without tickets");
    // The next one has a key before it that covers its lead.
    add(&file, DAY, HOUR, end - HOUR / 4).unwrap();
    assert_eq!(load(&file).unwrap().0[0].from, end + 3 * HOUR / 4);
}

#[test]
fn a_file_that_is_none_is_one_sentence_without_its_secrets() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ticket.keys");
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let (from, until) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    for (text, expected) in [
        (format!("# a comment\n\n{from} {until}\n"), "line 3 of"),
        (format!("{from} tomorrow {key}\n"), "expected times such as"),
        (format!("{until} {from} {key}\n"), "has to be after its beginning"),
        (format!("{from} {until} {}\n", &key[4..]), "expected 32 octets"),
        (format!("{from} {until} !{}\n", &key[1..]), "expected 32 octets"),
        (format!("{from} {until} {key}\n").repeat(17), "more than 16 keys"),
        ("#".repeat(20_000), "larger than 16384 octets"),
    ] {
        fs::write(&file, &text).unwrap();
        let error = load(&file).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("MDEy") && error.lines().count() == 1, "{error}");
        add(&file, DAY, HOUR, today()).unwrap_err();
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "what cannot be read is left alone");
    }
    assert!(load(&folder.path().join("nothing")).unwrap_err().to_string().contains("cannot be read"));
}

proptest! {
    #[test]
    fn octets_of_strangers_open_nothing(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let tickets = SharedTickets::new(&[Entry::of([7; 32], today(), today() + DAY)]);
        prop_assert_eq!(tickets.open(&octets, today()), None);
    }

    #[test]
    fn a_rotation_that_goes_on_leaves_no_moment_without_a_key(
        rotations in proptest::collection::vec((60_u64..86_400, 0_u64..86_400, 1_u64..3600), 1..8),
        moment in 0.0_f64..1.0,
    ) {
        let (mut entries, mut now) = (Vec::new(), today());
        for (lifetime, lead, pause) in rotations {
            let lifetime = Duration::from_secs(lifetime);
            rotate(&mut entries, [7; 32].into(), lifetime, Duration::from_secs(lead), now);
            let end = entries[0].until;
            let then = now + end.duration_since(now).unwrap().mul_f64(moment);
            prop_assert!(SharedTickets::new(&entries).seal(b"session", then).is_some(), "{:?} {:?}", then, entries);
            now += Duration::from_secs(pause).min(lifetime);
        }
    }

    #[test]
    fn one_changed_octet_opens_nothing(plain: Vec<u8>, place: prop::sample::Index, by in 1_u8..) {
        let tickets = SharedTickets::new(&[Entry::of([7; 32], today(), today() + DAY)]);
        let mut ticket = tickets.seal(&plain, today()).unwrap();
        prop_assert_eq!(tickets.open(&ticket, today()), Some(plain));
        let place = place.index(ticket.len());
        ticket[place] = ticket[place].wrapping_add(by);
        prop_assert_eq!(tickets.open(&ticket, today()), None);
    }
}

impl Entry {
    fn of(key: [u8; 32], from: SystemTime, until: SystemTime) -> Self {
        Self { from, until, key: key.into() }
    }
}
