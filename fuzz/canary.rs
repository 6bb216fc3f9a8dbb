//! Breaks on one input of four octets, which stands in no corpus and no dictionary: a fuzzer that works finds it within seconds,
//! and a script that works says so.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| assert!(octets != b"coal", "the canary is dead"));
