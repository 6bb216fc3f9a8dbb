//! What an account consists of: address, display name, and the rules for a new password.

use std::fmt;

use secrecy::SecretString;

use super::Fault;

/// An e-mail address, case-folded: the same mailbox in another case is the same account.
///
/// Only the shape is checked (one `@`, RFC 5321 lengths, nothing that is not printable); no message is ever sent, and a
/// stricter grammar refuses addresses that exist.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let shape = || Fault::new("invalid", "This is not an e-mail address.");
        let (local, domain) = text.rsplit_once('@').ok_or_else(shape)?;
        let is_printable = |c: char| !c.is_whitespace() && !c.is_control();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        if text.len() > 254 || local.len() > 64 {
            return Err(Fault::new("too_long", "At most 254 octets, 64 of them before the `@` (RFC 5321)."));
        }
        if local.is_empty()
            || local.contains('@')
            || !local.chars().all(is_printable)
            || !domain.split('.').all(is_label)
        {
            return Err(shape());
        }
        Ok(Self(text.to_lowercase()))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Email(..)")
    }
}

/// A name for people, or the empty text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DisplayName(String);

impl DisplayName {
    /// Reads a name: at most 200 characters on one line, without spaces around it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if text.chars().count() > 200 {
            return Err(Fault::new("too_long", "At most 200 characters."));
        }
        if text.chars().any(char::is_control) {
            return Err(Fault::new("invalid", "Control characters and line breaks are not allowed."));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A device's name in the list of sessions: the rules of a display name, and not empty.
pub fn device_name(text: &str) -> Result<Option<String>, Fault> {
    DisplayName::parse(text).map(|name| Some(name.0).filter(|name| !name.is_empty()))
}

/// A password that may be set (ASVS 5.0, 6.2): long, without rules of composition, and not one that is guessed first.
#[derive(Debug, Clone)]
pub struct NewPassword(SecretString);

/// Words that a guesser begins with, longest first where one holds another. What is left without them must still be long.
const WORDS: [&str; 40] = [
    "passwort",
    "password",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1q2w3e4r",
    "q1w2e3r4",
    "qwertz",
    "qwerty",
    "azerty",
    "iloveyou",
    "trustno1",
    "princess",
    "sunshine",
    "football",
    "baseball",
    "superman",
    "welcome",
    "letmein",
    "monkey",
    "dragon",
    "master",
    "shadow",
    "michael",
    "jordan",
    "hunter2",
    "changeme",
    "default",
    "secret",
    "administrator",
    "admin",
    "starwars",
    "whatever",
    "computer",
    "internet",
    "freedom",
    "abc123",
    "pa55word",
    "p4ssword",
    "passw0rd",
];

/// The service's own name is no secret either.
const SERVICE: &str = "todo";

/// What must be left after the words are taken out.
const LEAST_LEFT: usize = 8;

impl NewPassword {
    /// Checks a password for an account: 15 to 128 characters, and something in it that cannot be guessed from a list
    /// of common passwords, the address, the display name or the service's name.
    pub fn parse(text: &str, email: Option<&Email>, name: &DisplayName) -> Result<Self, Fault> {
        let length = text.chars().count();
        if length < 15 {
            return Err(Fault::new("too_short", "At least 15 characters."));
        }
        if length > 128 {
            return Err(Fault::new("too_long", "At most 128 characters."));
        }
        let mut left = text.to_lowercase();
        let personal = [email.map_or("", Email::local), name.as_str(), SERVICE].map(str::to_lowercase);
        let personal = personal.iter().map(String::as_str).filter(|word| word.chars().count() >= 4);
        for word in personal.chain(WORDS) {
            left = left.replace(word, "");
        }
        if left.chars().count() < LEAST_LEFT || jumps(&left) < LEAST_LEFT / 2 || is_repeated(text) {
            return Err(Fault::new(
                "too_common",
                "Made of common or personal words or a pattern: this is guessed quickly.",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The password, to be hashed.
    pub fn into_secret(self) -> SecretString {
        self.0
    }
}

/// How often the next character is neither the same nor a neighbour: `aaaa`, `1234` and `dcba` hardly ever do.
fn jumps(text: &str) -> usize {
    text.chars().zip(text.chars().skip(1)).filter(|(a, b)| u32::from(*a).abs_diff(u32::from(*b)) > 1).count()
}

/// Whether a text is one short piece over and over.
fn is_repeated(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (1..LEAST_LEFT).any(|period| characters.iter().zip(characters.iter().skip(period)).all(|(a, b)| a == b))
}

/// A password as it is presented at a sign-in: any text, the hash decides.
pub fn presented(text: String) -> SecretString {
    // A longer one is nobody's. It is not cut, which could make it right, but replaced by what cannot be a password.
    if text.chars().nth(128).is_some() { SecretString::default() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn addresses() {
        for text in ["a@b.example", "A.b+c@Example.ORG", "a@localhost", "ü@exämple.org", "\"a\"@b.c"] {
            assert_eq!(Email::parse(text).expect(text).as_str(), text.to_lowercase());
        }
        for text in ["", "a", "@b.c", "a@", "a@b@c", "a b@c.d", "a@b..c", "a@-b.c", "a@b.c ", "a\n@b.c", "a@[::1]"] {
            assert!(Email::parse(text).is_err(), "{text}");
        }
        assert_eq!(Email::parse(&format!("{}@b.c", "a".repeat(65))).expect_err("long").code, "too_long");
        assert!(Email::parse(&format!("{}@b.c", "a".repeat(64))).is_ok());
    }

    #[test]
    fn names_and_zones() {
        assert_eq!(DisplayName::parse("  Ada  ").expect("valid").as_str(), "Ada");
        assert!(DisplayName::parse(&"🦷".repeat(200)).is_ok());
        assert_eq!(DisplayName::parse(&"🦷".repeat(201)).expect_err("long").code, "too_long");
        assert_eq!(DisplayName::parse("a\nb").expect_err("two lines").code, "invalid");
        assert_eq!(device_name(" "), Ok(None));
    }

    fn password(text: &str) -> Result<(), &'static str> {
        let email = Email::parse("ada.lovelace@example.org").expect("valid");
        let name = DisplayName::parse("Countess").expect("valid");
        NewPassword::parse(text, Some(&email), &name).map(drop).map_err(|fault| fault.code)
    }

    #[test]
    fn lengths_count_characters() {
        assert_eq!(password("fourteen chars"), Err("too_short"));
        assert_eq!(password("fifteen chars !"), Ok(()));
        assert_eq!(password(&"ab cd🦷ef gh🦷ij".repeat(9)), Ok(()));
        assert_eq!(password(&"x y".repeat(50)), Err("too_long"));
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        for text in [
            "passwordpassword",
            "Password1234567",
            "aaaaaaaaaaaaaaaaaaaa",
            "123456789012345",
            "abcdefghijklmnopqrstuvwxyz",
            "qwertyuiopasdfghjkl",
            "ada.lovelace-ada.lovelace",
            "countess countess",
            "xyzkxyzkxyzkxyzk",
            "todotodotodotodotodo",
        ] {
            assert_eq!(password(text), Err("too_common"), "{text}");
        }
        for text in ["a plain long sentence", "correct horse battery staple", "Vx9$ kk2! qTz8 ~p"] {
            assert_eq!(password(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn an_overlong_password_is_never_the_right_one() {
        assert_eq!(presented("x".repeat(128)).expose_secret().len(), 128);
        assert_eq!(presented("x".repeat(129)).expose_secret(), "");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.as_str()).map(|again| again.as_str().to_owned()), Ok(email.as_str().to_owned()));
            }
            let _ = (password(&text), DisplayName::parse(&text));
        }
    }
}
