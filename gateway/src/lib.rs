//! The edge of the todo platform: what stands between the internet and the API.
//!
//! A request passes through [`edge`] (octets), [`request`] (decisions) and [`upstream`] (choice); [`proxy`] is their
//! order. The configuration in force is [`runtime::Runtime`].

pub mod admin;
pub mod cli;
pub mod config;
pub mod control;
pub mod edge;
pub mod failure;
pub mod handover;
pub mod listeners;
pub mod observe;
pub mod overload;
pub mod proxy;
pub mod reload;
pub mod reply;
pub mod request;
pub mod response;
pub mod runtime;
pub mod server;
pub mod signals;
pub mod stop;
pub mod surroundings;
pub mod upstream;
