//! Certificates and handshakes for the tests of TLS.
