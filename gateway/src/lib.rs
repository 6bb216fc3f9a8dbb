//! The edge of the todo platform: what stands between the internet and the API.

pub mod edge;
