use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Barrier};

use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tempfile::TempDir;
use x509_parser::parse_x509_certificate;

use super::*;
use crate::edge::tls::{
    provider,
    testing::{DAY, authority, files, lone, server, today},
};

/// A folder and ways to look at it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn load(&self, now: SystemTime) -> Result<Certificate, AuthorityError> {
        load(self.0.path(), &provider(), now)
    }

    fn look(&self, now: SystemTime) -> Result<Option<Certificate>, AuthorityError> {
        look(self.0.path(), &provider(), now)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The authority's certificate and the server's.
    fn both(&self) -> (String, String) {
        (self.read("ca.pem"), self.read("server.pem"))
    }
}

#[test]
fn a_first_start_makes_everything_and_later_ones_keep_it() {
    let folder = Folder::new();
    let summary = folder.load(today()).unwrap().summary();
    assert_eq!(summary.names, ["localhost", "127.0.0.1", "::1"]);
    assert_eq!(summary.not_after, today() + SERVER_LIFE);

    let mode = |name| folder.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca.key"), mode("server.key")), (0o600, 0o600));
    let mut names: Vec<_> = fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".lock", "ca.key", "ca.pem", "server.key", "server.pem"]);

    let before = folder.both();
    for days in [0, 30, 59] {
        assert!(folder.load(today() + days * DAY).unwrap().warnings(today()).is_empty());
        assert_eq!(folder.both(), before);
    }
}

#[test]
fn a_look_makes_nothing() {
    let folder = Folder::new();
    let server = |now| folder.look(now).unwrap().map(|server| server.summary().not_after);
    assert_eq!(server(today()), None);
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 0);

    folder.load(today()).unwrap();
    let before = folder.both();
    assert_eq!(server(today()), Some(today() + SERVER_LIFE));
    assert_eq!(server(today() + 61 * DAY), None, "it is due");
    assert_eq!(folder.both(), before);

    fs::remove_file(folder.path("ca.pem")).unwrap();
    fs::create_dir(folder.path("ca.pem")).unwrap();
    let error = folder.look(today()).unwrap_err().to_string();
    assert!(error.contains("ca.pem cannot be read"), "{error}");
}

#[test]
fn the_certificates_say_what_they_are_for() {
    let folder = Folder::new();
    folder.load(today()).unwrap();

    let der = CertificateDer::from_pem_file(folder.path("ca.pem")).unwrap();
    let (_, authority) = parse_x509_certificate(&der).unwrap();
    let constraints = authority.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = authority.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    let names = authority.name_constraints().unwrap().unwrap().value;
    assert_eq!(names.permitted_subtrees.as_ref().map(Vec::len), Some(3));

    let der = CertificateDer::from_pem_file(folder.path("server.pem")).unwrap();
    let (_, server) = parse_x509_certificate(&der).unwrap();
    assert!(!server.basic_constraints().unwrap().unwrap().value.ca);
    let usage = server.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
    let purpose = server.extended_key_usage().unwrap().unwrap().value;
    assert!(purpose.server_auth && !purpose.client_auth);
    assert_eq!(server.issuer().as_raw(), authority.subject().as_raw());
}

#[test]
fn a_certificate_is_renewed_when_less_than_a_third_of_its_life_remains() {
    let folder = Folder::new();
    folder.load(today()).unwrap();
    let (authority, server) = folder.both();

    let later = today() + 61 * DAY;
    assert_eq!(folder.load(later).unwrap().summary().not_after, later + SERVER_LIFE);
    assert_eq!(folder.read("ca.pem"), authority, "the authority is trusted by clients, so it stays");
    assert_ne!(folder.read("server.pem"), server);

    let years_later = today() + 2434 * DAY;
    folder.load(years_later).unwrap();
    let (new_authority, new_server) = folder.both();
    assert_ne!(new_authority, authority);
    folder.load(years_later).unwrap();
    assert_eq!(folder.both(), (new_authority, new_server), "a renewal is kept in turn");
}

#[test]
fn an_authority_near_its_end_takes_its_certificate_along() {
    let folder = Folder::new();
    folder.load(today()).unwrap();
    let years_later = today() + 2400 * DAY;
    folder.load(years_later).unwrap();
    let before = folder.both();

    // the server's certificate is young, its authority is not
    folder.load(years_later + 35 * DAY).unwrap();
    let after = folder.both();
    assert_ne!(after.0, before.0);
    assert_ne!(after.1, before.1);
}

#[test]
fn a_clock_that_went_back_renews() {
    let folder = Folder::new();
    folder.load(today()).unwrap();
    let before = folder.both();
    let earlier = today() - DAY;
    assert_eq!(folder.load(earlier).unwrap().summary().not_after, earlier + SERVER_LIFE);
    assert_ne!(folder.both().0, before.0);
}

#[test]
fn a_broken_pair_is_made_anew() {
    let elsewhere = Folder::new();
    elsewhere.load(today()).unwrap();
    for (name, authority_stays) in [("server.pem", true), ("server.key", true), ("ca.pem", false), ("ca.key", false)] {
        let contents = [None, Some(String::new()), Some("garbage".to_owned()), Some(elsewhere.read(name))];
        for content in contents {
            let folder = Folder::new();
            folder.load(today()).unwrap();
            let before = folder.both();
            match &content {
                Some(content) => fs::write(folder.path(name), content).unwrap(),
                None => fs::remove_file(folder.path(name)).unwrap(),
            }
            folder.load(today()).unwrap();
            let after = folder.both();
            assert_eq!(after.0 == before.0, authority_stays, "{name} became {content:?}");
            assert_ne!(after.1, before.1, "{name} became {content:?}");
        }
    }
}

#[test]
fn a_certificate_of_another_authority_or_for_other_names_is_made_anew() {
    let (elsewhere, folder) = (Folder::new(), Folder::new());
    elsewhere.load(today()).unwrap();
    folder.load(today()).unwrap();
    for made in [lone(&["localhost", "127.0.0.1", "::1"]), lone(&["localhost"])] {
        files(folder.0.path(), "server", &made.pem, &made.key);
        folder.load(today()).unwrap();
        assert_ne!(folder.read("server.pem"), made.pem);
    }
    files(folder.0.path(), "server", &elsewhere.read("server.pem"), &elsewhere.read("server.key"));
    folder.load(today()).unwrap();
    assert_ne!(folder.read("server.pem"), elsewhere.read("server.pem"));
}

#[test]
fn an_authority_of_somebody_else_is_left_alone() {
    let folder = Folder::new();
    let not_an_authority = server(&["localhost"], None, &(today() - DAY..today() + 90 * DAY));
    for foreign in [authority("somebody's", None), not_an_authority] {
        files(folder.0.path(), "ca", &foreign.pem, &foreign.key);
        let error = folder.load(today()).unwrap_err().to_string();
        assert!(error.contains("ca.pem is not an authority of the gateway's own"), "{error}");
        assert_eq!((folder.read("ca.pem"), folder.read("ca.key")), (foreign.pem, foreign.key));
    }
}

#[test]
fn what_a_crash_left_behind_does_not_widen_a_mode() {
    let folder = Folder::new();
    fs::write(folder.path("server.key.new"), "half a k").unwrap();
    folder.load(today()).unwrap();
    assert_eq!(folder.path("server.key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.path("server.key.new").exists());
}

#[test]
fn a_folder_that_cannot_be_used_is_one_sentence() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "").unwrap();
    let error = load(&folder.path("file/tls"), &provider(), today()).unwrap_err().to_string();
    let expected = format!("the local authority cannot use the folder {}: ", folder.path("file/tls").display());
    assert!(error.starts_with(&expected), "{error}");

    // a folder in the place of a file: it is there and cannot be read, whoever runs this test
    fs::create_dir(folder.path("ca.pem")).unwrap();
    let error = folder.load(today()).unwrap_err().to_string();
    let expected = format!("the local authority cannot be used: {} cannot be read: ", folder.path("ca.pem").display());
    assert!(error.starts_with(&expected), "{error}");
    fs::remove_dir(folder.path("ca.pem")).unwrap();

    fs::create_dir(folder.path("ca.key.new")).unwrap();
    let error = folder.load(today()).unwrap_err().to_string();
    let expected = format!("the local authority cannot write {}: ", folder.path("ca.key").display());
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn starts_at_the_same_time_agree() {
    const STARTS: usize = 8;
    let folder = Folder::new();
    let together = Barrier::new(STARTS);
    let chains: Vec<_> = thread::scope(|scope| {
        let start = || {
            together.wait();
            folder.load(today()).unwrap().key().cert.clone()
        };
        let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let on_disk = vec![CertificateDer::from_pem_file(folder.path("server.pem")).unwrap()];
    assert!(chains.iter().all(|chain| *chain == on_disk));
}

#[test]
fn a_lock_that_stays_taken_is_an_error() {
    let folder = Folder::new();
    let taken = lock(folder.0.path(), Duration::ZERO).unwrap();
    let error = lock(folder.0.path(), Duration::ZERO).unwrap_err();
    assert!(matches!(error, AuthorityError::Busy { .. }), "{error}");
    drop(taken);
    lock(folder.0.path(), Duration::ZERO).unwrap();
}

proptest! {
    #[test]
    fn a_renewal_is_due_in_the_last_third(life in 3_u32..5000, age in 0_u32..6000) {
        let due = is_due((today(), today() + life * DAY), today() + age * DAY);
        prop_assert_eq!(due, 3 * i64::from(age) > 2 * i64::from(life));
    }
}
