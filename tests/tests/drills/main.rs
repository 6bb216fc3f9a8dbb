//! What operators do, done: the scripts of `deploy/` are run against the whole service on this machine, and what they
//! promise is looked at from outside.
//!
//! The cases run one after the other: each starts a service of production's shape, which is enough for one machine.

#![expect(clippy::expect_used, clippy::panic, reason = "test code stops at the first surprise")]

mod recovery;
mod script;
mod service;

use std::{future::Future, pin::Pin, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

struct Case {
    name: &'static str,
    run: fn() -> Pin<Box<dyn Future<Output = ()>>>,
}

macro_rules! cases {
    ($($module:ident::$case:ident),* $(,)?) => {
        [$(Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: || Box::pin($module::$case()),
        }),*]
    };
}

/// `module::case`; `make test-deploy` and its like run the modules of their name.
fn cases() -> impl IntoIterator<Item = Case> {
    cases![
        service::comes_up_answers_and_leaves_nothing,
        service::says_what_is_in_its_way,
        recovery::acknowledged_writes_come_back,
        recovery::refuses_in_one_sentence,
        recovery::runs_by_itself,
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first provider");
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let trials = cases().into_iter().map(|case| {
        let runtime = Arc::clone(&runtime);
        Trial::test(case.name, move || {
            runtime.block_on((case.run)());
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
