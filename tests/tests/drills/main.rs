//! What operators do, done: the scripts of `deploy/` are run against the whole service on this machine, and what they
//! promise is looked at from outside.
//!
//! The cases run one after the other: each starts a service of production's shape, which is enough for one machine.

#![expect(clippy::expect_used, clippy::panic, reason = "test code stops at the first surprise")]

mod deploy;
mod load;
mod script;
mod service;
mod traffic;

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
        deploy::a_good_version_replaces_every_process,
        deploy::a_version_that_does_not_become_ready_is_taken_back,
        deploy::a_failing_migration_replaces_nothing,
        deploy::a_roll_out_that_was_cut_off_is_finished_by_rollback,
        deploy::what_cannot_be_rolled_out_is_refused,
        deploy::checks_name_what_is_broken,
        load::good_is_told_from_bad,
        load::what_makes_no_sense_is_refused,
        load::stopped_half_way_it_leaves_nothing,
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
