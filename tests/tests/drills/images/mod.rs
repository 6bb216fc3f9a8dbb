//! The images of both tiers, as `make images` built them last: what is in them, and that they serve.

mod container;
mod contents;
mod engine;
mod serving;

pub(crate) use self::{contents::*, serving::*};
