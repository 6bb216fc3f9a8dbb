#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| todo_fuzz::response::accept_encoding(octets));
