//! What happens before there is a request: accept, connection caps, TLS, and the reading of heads.

pub mod tls;
