//! What operators do, done: the scripts of `deploy/` are run against the whole service on this machine, and what they
//! promise is looked at from outside.
//!
//! The cases run one after the other: each starts a service of production's shape, which is enough for one machine.

#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "test code stops at the first surprise"
)]

mod balance;
mod bench;
mod chart;
mod cluster;
mod compose;
mod container;
mod copy;
mod deploy;
mod documents;
mod edge;
mod fuzz;
mod images;
mod load;
mod manifests;
mod observability;
mod recovery;
mod release;
mod release_access;
mod scan;
mod script;
mod service;
mod strictness;
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
        cluster::rolls_out_and_back,
        cluster::what_cannot_be_rolled_out_is_refused,
        cluster::the_check_counts_processes,
        chart::every_pod_is_restricted,
        chart::liveness_asks_nobody_else_and_a_stop_has_its_time,
        chart::secrets_are_named_and_never_held,
        chart::the_tiers_take_what_they_are_given,
        chart::the_schema_is_migrated_before_anything_else_and_not_on_the_way_back,
        chart::ports_and_names_agree,
        chart::replicas_are_kept_spread_and_scaled,
        chart::metrics_are_found_and_read_with_the_token,
        chart::everything_is_closed_but_what_is_used,
        chart::every_pod_is_closed_in_both_directions,
        chart::the_backup_is_made_by_what_is_mounted,
        chart::a_changed_configuration_rolls_its_tier_and_no_other,
        chart::the_chart_has_the_version_of_what_it_runs,
        chart::a_mistake_in_the_values_is_one_sentence,
        chart::a_rendered_file_that_drifts_is_seen_and_mended,
        chart::a_missing_or_another_helm_is_one_sentence,
        compose::the_tiers_take_what_they_are_given,
        compose::what_the_files_name_is_there,
        compose::every_container_of_production_is_restricted,
        compose::secrets_are_files,
        compose::what_watches_finds_its_secrets,
        compose::the_schema_comes_first_and_the_gateway_last,
        compose::addresses_and_ports_agree,
        compose::a_stop_has_the_time_it_needs,
        compose::secrets_are_made_once_and_belong_to_their_readers,
        compose::a_mistake_is_seen,
        balance::a_bad_replica_does_not_show_through,
        documents::every_link_leads_somewhere,
        documents::everything_named_exists,
        documents::every_block_of_commands_is_marked,
        documents::mistakes_are_seen,
        documents::commands_do_what_the_documents_say,
        edge::changes_cost_no_request,
        observability::every_query_of_the_dashboard_returns_data,
        observability::what_is_exported_is_safe,
        observability::a_dead_replica_is_reported_until_it_is_back,
        recovery::acknowledged_writes_come_back,
        recovery::refuses_in_one_sentence,
        recovery::runs_by_itself,
        release::is_what_the_change_log_tells,
        release::is_made_of_merged_commits,
        release_access::publishes_images_and_knows_its_own,
        release_access::gets_into_a_cluster_without_a_key,
        release::check_of_the_workflows_finds_what_is_wrong,
        strictness::differences_are_explained,
        load::good_is_told_from_bad,
        load::what_makes_no_sense_is_refused,
        load::stopped_half_way_it_leaves_nothing,
        bench::measures_both_sides_and_says_what_it_found,
        bench::fails_where_the_figures_would_mean_nothing,
        bench::what_makes_no_sense_is_refused,
        bench::stopped_half_way_it_leaves_nothing,
        fuzz::what_makes_no_sense_is_refused,
        fuzz::a_broken_promise_is_found_and_found_again,
        scan::weak_tls_and_a_weak_answer_are_named,
        images::both_serve_as_production_runs_them,
        images::without_a_configuration_they_refuse,
        images::nothing_private_reaches_a_build,
        images::what_is_wrong_with_an_image_is_seen,
        images::what_is_in_the_way_is_one_sentence,
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if let Some(filter) = &arguments.filter {
        let is_known = cases().into_iter().any(|case| case.name.contains(filter.as_str()));
        assert!(is_known, "no drill is called {filter}: nothing would be tried, and that would look like success");
    }
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
