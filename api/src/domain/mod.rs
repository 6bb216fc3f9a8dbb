//! What is valid: parse, don't validate.
//!
//! A value of one of these types has passed its rules, so nothing behind the handlers checks again. Parsing never
//! stops at the first mistake of a body: a [`Faults`] collects one entry for each field, and the client reads them all.

pub mod account;
pub mod list;
pub mod object;
pub mod page;
pub mod patch;
pub mod position;
pub mod recurrence;
pub mod text;
pub mod time;
pub mod time_zone;
pub mod todo;
pub mod words;

use std::borrow::Cow;

use todo_shared::problem::FieldError;

use crate::problem::ApiError;

/// Why a value is not valid. Never contains the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub detail: Cow<'static, str>,
}

impl Fault {
    /// A fault with a code and a sentence.
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// The faults of one body or query, in the order of its fields.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    /// Notes a fault at `pointer` (RFC 6901, or `?name` for a query parameter).
    pub fn note(&mut self, pointer: impl Into<String>, fault: Fault) {
        self.0.push(FieldError { pointer: pointer.into(), code: fault.code, detail: fault.detail });
    }

    /// The value, or `None` with its fault noted at `pointer`.
    pub fn check<T>(&mut self, pointer: &str, value: Result<T, Fault>) -> Option<T> {
        value.map_err(|fault| self.note(pointer, fault)).ok()
    }

    /// Like [`Faults::check`], for a value that may be absent.
    pub fn check_optional<T>(&mut self, pointer: &str, value: Option<Result<T, Fault>>) -> Option<T> {
        value.and_then(|value| self.check(pointer, value))
    }

    /// What was built, unless there was a fault.
    pub fn finish<T>(self, built: Option<T>) -> Result<T, ApiError> {
        match built {
            Some(built) if self.0.is_empty() => Ok(built),
            _ => Err(ApiError::invalid(self.0)),
        }
    }
}
