//! The edge of the todo platform.

pub mod config;
pub mod observe;
pub mod request;
pub mod response;
pub mod upstream;
