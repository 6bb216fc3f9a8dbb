//! The todo API: strict HTTP semantics on PostgreSQL, or on SQLite for development.
//!
//! A request passes `routes` (URLs), `extract` (typed, bounded input), `auth` (who is calling), `domain` (what is valid)
//! and `store` (what is true). Every refusal is an [`problem::ApiError`].

pub mod app;
pub mod auth;
pub mod cli;
pub mod conditional;
pub mod config;
pub mod domain;
pub mod extract;
pub mod observe;
pub mod problem;
pub mod routes;
pub mod state;
pub mod store;
pub mod sweep;
