//! The edge of the todo platform: everything that faces the internet.

pub mod edge;
