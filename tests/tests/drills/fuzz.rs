//! What `deploy/bin/fuzz` refuses. That it finds what breaks a promise, each find that was mended shows.

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
