//! `deploy/bin/fuzz` finds what breaks a promise, and refuses what makes no sense.

use std::path::Path;

use crate::script;

pub(crate) async fn what_makes_no_sense_is_refused() {
    let fuzz = |arguments: &[&str], seconds: &str| {
        script::run(script::command("deploy/bin/fuzz", arguments).env("FUZZ_SECONDS", seconds)).failed()
    };
    let said = fuzz(&["tail"], "1");
    assert!(said.starts_with("'tail' is no fuzz target: take one of ") && said.contains(" head "), "{said}");
    assert_eq!(fuzz(&[], "soon"), "FUZZ_SECONDS=soon is not a number from 0 to 999999");
    assert_eq!(fuzz(&["head", "/nowhere"], "1"), "the input /nowhere cannot be read");
}

pub(crate) async fn a_broken_promise_is_found_and_found_again() {
    // Long enough for a busy machine; the fuzzer stops at its first find.
    let said = script::run(script::command("deploy/bin/fuzz", &["canary"]).env("FUZZ_SECONDS", "60")).failed();
    let found = said.strip_prefix("fuzz: canary broke on ").and_then(|said| said.split(':').next()).expect(&said);
    assert_eq!(std::fs::read(found).expect("the input that breaks it"), b"coal");
    let again = script::run(&mut script::command("deploy/bin/fuzz", &["canary", found])).failed();
    assert!(again.starts_with(&format!("fuzz: canary broke on {found}")), "{again}");
    let harmless = Path::new("fuzz/corpus/canary/harmless");
    script::run(&mut script::command("deploy/bin/fuzz", &["canary", &harmless.to_string_lossy()])).succeeded();
    std::fs::remove_file(found).expect("the input is gone");
}
