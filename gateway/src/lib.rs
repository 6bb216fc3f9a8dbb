//! The edge of the todo platform.

pub mod config;
pub mod failure;
pub mod observe;
pub mod proxy;
pub mod reply;
pub mod request;
pub mod response;
pub mod runtime;
pub mod upstream;
