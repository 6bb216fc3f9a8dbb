//! The chart, from outside: what it renders for staging and production, and what it says to mistakes.

mod backup;
mod network;
mod pods;
mod values;

pub(crate) use self::{backup::*, network::*, pods::*, values::*};
