//! What the gateway and the API must agree on.
