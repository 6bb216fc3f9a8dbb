//! What is found out about a request, step by step, before it goes anywhere: each step is one file.

pub mod client_address;
pub mod host;
pub mod path;
pub mod route;
