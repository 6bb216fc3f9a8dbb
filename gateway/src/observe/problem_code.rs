//! The why-code of a problem document that the API sent, for the log: one code names a refusal in both tiers.
//!
//! Only the body of an answer that calls itself a problem document is looked at, and only its beginning is kept.

use std::borrow::Cow;

use bytes::Bytes;
use pingora::http::ResponseHeader;
use serde::Deserialize;
use todo_shared::problem::{self, Code};

/// More than any problem document of ours has, in octets.
const LONGEST: usize = 16 << 10;

/// Collects a problem document as it passes.
#[derive(Debug, Default)]
pub struct ProblemReader(Option<Vec<u8>>);

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

impl ProblemReader {
    /// Begins with the head of an answer.
    pub fn begin(answer: &ResponseHeader) -> Self {
        let is_problem =
            answer.headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind == problem::CONTENT_TYPE);
        Self((is_problem && answer.status.as_u16() >= 400).then(Vec::new))
    }

    /// Takes the next piece of its body.
    pub fn read(&mut self, piece: &Bytes) {
        let Some(document) = &mut self.0 else { return };
        if document.len() + piece.len() > LONGEST {
            self.0 = None;
        } else {
            document.extend_from_slice(piece);
        }
    }

    /// The code, if it is one of ours.
    pub fn code(&self) -> Option<Code> {
        let document: Document<'_> = serde_json::from_slice(self.0.as_deref()?).ok()?;
        document.code.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use todo_shared::problem::Problem;

    use super::*;

    fn read(status: u16, media_type: &str, pieces: &[&[u8]]) -> Option<Code> {
        let mut answer = ResponseHeader::build(status, None).expect("answer");
        answer.insert_header("content-type", media_type).expect("field");
        let mut reader = ProblemReader::begin(&answer);
        for piece in pieces {
            reader.read(&Bytes::copy_from_slice(piece));
        }
        reader.code()
    }

    #[test]
    fn the_code_is_found_in_pieces_and_only_in_problem_documents() {
        let document = Problem::new(Code::TokenMissing).to_json("id");
        let (first, second) = document.split_at(20);
        assert_eq!(read(401, problem::CONTENT_TYPE, &[first, second]), Some(Code::TokenMissing));
        assert_eq!(read(401, "application/json", &[first, second]), None);
        assert_eq!(read(200, problem::CONTENT_TYPE, &[first, second]), None);
        assert_eq!(read(401, problem::CONTENT_TYPE, &[first]), None);
        assert_eq!(read(401, problem::CONTENT_TYPE, &[b"{\"code\":\"<script>\"}"]), None);
        assert_eq!(read(401, problem::CONTENT_TYPE, &[&[b' '; LONGEST], &document]), None);
    }
}
