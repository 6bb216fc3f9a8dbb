//! The service from outside: both tiers run as processes, and whatever is claimed is shown through a socket.
//!
//! The cases of a user's work run once on SQLite and once on a PostgreSQL that this binary starts; they share one
//! running service for each database and keep apart by making accounts of their own. Cases that stop, break or
//! reconfigure something start a service of their own.

#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code stops at the first surprise"
)]

mod accounts;
mod bad_requests;
mod balance;
mod bounds;
mod commands;
mod compression;
mod config;
mod conflicts;
mod cors;
mod edge;
mod ejection;
mod faults;
mod operations;
mod overload;
mod paging;
mod renewal;
mod service;
mod slow_bodies;
mod stopping;
mod strangers;
mod streams;
mod strictness;
mod successors;
mod tls;
mod todos;
mod upgrade;
mod upstream;
mod why_codes;

use std::{future::Future, pin::Pin, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};
use service::{Database, Services};
use todo_tests::stack::Stack;
use tokio::runtime::Runtime;

type Outcome = Pin<Box<dyn Future<Output = ()>>>;

/// A case that works on the running service of a database.
struct Shared {
    name: &'static str,
    run: fn(Arc<Stack>) -> Outcome,
}

/// A case that starts what it needs, on a database of its own.
struct Alone {
    name: &'static str,
    run: fn(Arc<Services>, Database) -> Outcome,
}

/// A case that needs neither database nor API.
struct Once {
    name: &'static str,
    run: fn(Arc<Services>) -> Outcome,
}

macro_rules! shared {
    ($($module:ident::$case:ident),+ $(,)?) => {
        [$(Shared {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: |stack| Box::pin(async move { $module::$case(&stack).await }),
        }),+]
    };
}

macro_rules! alone {
    ($($module:ident::$case:ident),+ $(,)?) => {
        [$(Alone {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: |services, database| Box::pin(async move { $module::$case(&services, database).await }),
        }),+]
    };
}

macro_rules! once {
    ($($module:ident::$case:ident),+ $(,)?) => {
        [$(Once {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: |services| Box::pin(async move { $module::$case(&services).await }),
        }),+]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first provider");
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let services = Arc::new(Services::default());
    let mut trials = Vec::new();

    for database in Database::ALL {
        for case in shared_cases() {
            let (runtime, services) = (runtime.clone(), services.clone());
            trials.push(Trial::test(format!("{database}::{}", case.name), move || {
                runtime.block_on(async {
                    let stack = services.shared(database).await?;
                    (case.run)(stack).await;
                    Ok::<_, Failed>(())
                })
            }));
        }
        for case in alone_cases() {
            let (runtime, services) = (runtime.clone(), services.clone());
            trials.push(Trial::test(format!("{database}::{}", case.name), move || {
                runtime.block_on((case.run)(services, database));
                Ok(())
            }));
        }
    }
    for case in once_cases() {
        let (runtime, services) = (runtime.clone(), services.clone());
        trials.push(Trial::test(case.name, move || {
            runtime.block_on((case.run)(services));
            Ok(())
        }));
    }

    for row in config::table() {
        let (runtime, services) = (runtime.clone(), services.clone());
        trials.push(Trial::test(format!("config::{}::{}", row.tier, row.name), move || {
            runtime.block_on((row.check)(services));
            Ok(())
        }));
    }

    if let Some(filter) = &arguments.filter {
        let is_known = trials.iter().any(|trial| trial.name().contains(filter.as_str()));
        assert!(is_known, "no case is called {filter}: nothing would be tried, and that would look like success");
    }
    // Whatever was started ends with `services`, the last owner of the handles.
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn shared_cases() -> impl IntoIterator<Item = Shared> {
    shared![
        accounts::registers_and_signs_in,
        accounts::wrong_password_and_unknown_address_are_told_apart_by_nothing,
        accounts::a_taken_address_is_a_conflict,
        accounts::weak_passwords_are_refused,
        accounts::refresh_rotates_and_reuse_ends_the_session,
        accounts::a_lost_answer_does_not_sign_out,
        accounts::logout_ends_the_session_at_once,
        accounts::sessions_are_listed_and_ended,
        accounts::a_new_password_ends_the_other_sessions,
        accounts::the_profile_is_read_and_changed,
        accounts::deletion_erases_the_account,
        accounts::published_keys_verify_the_token,
        accounts::tokens_that_are_not_ours_are_refused,
        todos::are_created_read_changed_and_deleted,
        todos::every_field_survives_the_round_trip,
        todos::patch_keeps_clears_and_sets,
        todos::completing_sets_the_time,
        todos::trash_and_restore,
        todos::positions_order_the_list,
        todos::move_between_lists,
        todos::lists_are_managed,
        todos::a_deleted_list_trashes_its_todos,
        todos::filters_select,
        conflicts::two_writers_one_wins,
        conflicts::reads_answer_not_modified,
        conflicts::a_page_has_a_tag_that_changes_with_a_write,
        conflicts::racing_writers_never_lose_an_update,
        paging::every_order_shows_each_todo_once,
        paging::rows_that_come_and_go_disturb_nothing,
        paging::a_foreign_cursor_is_refused,
        strangers::see_nothing_on_any_route,
        strangers::without_a_token_nothing_is_shown,
        bad_requests::bodies_that_cannot_be_read,
        bad_requests::fields_that_are_not_valid,
        bad_requests::queries_that_are_not_valid,
        bad_requests::unknown_paths_and_methods,
        bad_requests::both_tiers_speak_problem_json,
        edge::security_headers_are_on_every_answer,
        edge::the_plain_listener_only_redirects,
        edge::foreign_hosts_are_refused,
        edge::paths_have_one_reading,
        edge::malformed_heads_are_refused_before_the_api,
        edge::pipelined_requests_are_answered_in_order,
        operations::request_ids_are_kept_in_both_logs,
        edge::large_bodies_are_refused,
        operations::the_access_log_tells_and_does_not_leak,
        operations::metrics_count_what_happened,
        edge::service_descriptor_and_documents,
        compression::the_services_own_answers,
        tls::both_versions_and_both_protocols,
        tls::sessions_resume,
        tls::old_and_plain_are_refused,
    ]
}

fn alone_cases() -> impl IntoIterator<Item = Alone> {
    alone![
        faults::acknowledged_writes_survive_a_killed_api,
        faults::a_stopped_api_finishes_its_work,
        faults::replicas_share_the_load_and_a_dead_one_is_left_out,
        faults::two_replicas_migrate_once,
    ]
}

fn once_cases() -> impl IntoIterator<Item = Once> {
    once![
        faults::acknowledged_writes_survive_a_killed_database,
        faults::a_lost_database_is_said_and_comes_back,
        bounds::slow_clients_over_http1_are_cut_and_others_go_on,
        bounds::slow_clients_over_http2_are_cut_and_others_go_on,
        bounds::a_connection_grows_old_without_losing_a_request,
        bounds::floods_of_http2_end_their_connection,
        bounds::an_hpack_bomb_and_endless_continuations_take_no_memory,
        bounds::resets_at_leisure_end_their_connection,
        bounds::streams_beyond_the_limit_are_refused_and_then_cut,
        bounds::broken_http2_is_told_what_is_wrong,
        bounds::an_eager_client_is_never_taken_for_a_flood,
        slow_bodies::a_body_that_stops_over_http2_is_cut_alone,
        slow_bodies::half_a_frame_does_not_hold_a_stream,
        slow_bodies::a_client_that_sends_on_still_receives_its_408,
        slow_bodies::a_request_that_meets_goaway_is_served_or_may_be_sent_again,
        overload::a_crowd_beyond_the_descriptors_is_refused_until_it_leaves,
        overload::answers_that_nobody_takes_are_refused_beyond_the_memory,
        faults::a_gateway_without_an_api_says_so,
        faults::a_stopped_gateway_finishes_its_work,
        faults::a_replica_that_stops_costs_no_request,
        faults::a_locked_database_is_not_waited_for,
        operations::the_schema_is_told_and_a_newer_one_serves,
        operations::sign_ins_of_strangers_take_bounded_memory,
        strictness::octets_have_one_reading_over_tcp,
        strictness::octets_have_one_reading_over_tls,
        strictness::frames_have_one_reading,
        strictness::no_two_cases_have_the_same_name,
        renewal::certificates_change_under_load_however_they_are_replaced,
        renewal::a_broken_pair_keeps_the_old_one_and_says_so,
        renewal::gateways_that_share_ticket_keys_resume_each_others_sessions,
        stopping::a_handshake_under_way_is_finished_and_served,
        stopping::http2_clients_are_told_and_their_streams_finish,
        stopping::who_has_just_connected_is_served,
        stopping::a_second_signal_stops_at_once,
        stopping::every_http2_request_has_its_line,
        stopping::whoever_is_ready_takes_signals,
        successors::one_that_was_given_up_serves_whom_it_has_accepted_and_ends,
        successors::one_that_is_agreed_to_tells_the_manager_first,
        successors::one_that_was_frozen_does_not_serve_beside_the_gateway,
        successors::one_that_a_signal_started_and_hangs_is_killed,
        successors::one_that_was_agreed_to_is_not_killed_however_long_the_manager_takes,
        successors::a_peer_of_another_version_is_one_clear_sentence,
        upgrade::a_new_process_takes_over_and_no_request_fails,
        upgrade::a_successor_that_fails_changes_nothing,
        upgrade::a_signal_starts_the_successor_and_the_manager_learns_of_it,
        upstream::the_api_is_told_the_truth_and_nothing_forged,
        upstream::a_trusted_proxys_word_is_taken,
        upstream::bodies_arrive_whole_in_both_directions,
        upstream::answers_that_are_no_http_are_said_to_be_none,
        compression::what_is_asked_for_comes_and_can_be_read,
        compression::some_answers_are_left_as_they_are,
        compression::conditions_speak_of_what_the_client_has,
        compression::an_answer_that_breaks_off_does_not_look_whole,
        compression::a_refusal_in_place_of_an_answer_is_plain,
        cors::a_listed_page_reads_everything,
        cors::a_preflight_is_answered_at_the_edge,
        cors::strangers_get_an_ordinary_answer,
        cors::the_plain_port_serves_alike,
        cors::the_services_refusals_are_readable,
        streams::events_come_one_by_one_for_as_long_as_they_please,
        streams::a_silent_stream_is_cut,
        streams::compressed_pieces_are_not_held_back,
        streams::a_slow_reader_slows_the_origin,
        streams::the_origin_sees_a_client_leave,
        streams::an_old_connection_is_cut_whatever_it_carries,
        why_codes::a_refusal_has_one_code_everywhere,
        why_codes::a_closed_connection_has_one_code_everywhere,
        why_codes::what_pingora_refuses_is_logged_and_counted,
        why_codes::every_code_of_the_gateway_is_provoked,
        balance::only_what_is_safe_is_sent_again,
        balance::a_large_body_is_sent_once,
        balance::a_slow_client_makes_no_slow_address,
        balance::whoever_was_set_aside_comes_back,
        balance::a_stale_connection_costs_no_read,
        balance::series_of_addresses_that_are_gone_go_too,
        balance::the_last_try_has_the_time_that_is_left,
        ejection::whoever_fails_half_of_its_requests_is_set_aside,
        ejection::answers_that_are_not_sound_set_aside,
        ejection::streams_that_break_off_set_aside,
        ejection::a_client_that_leaves_blames_nobody,
        commands::run_brings_everything_up_and_stops_cleanly,
        commands::run_says_what_is_in_its_way,
        commands::help_lists_every_target,
        config::every_key_is_in_the_table,
        config::commands_report_every_mistake,
        config::environments_refuse_what_is_not_safe,
        config::a_reload_swaps_and_a_broken_file_changes_nothing,
        config::taken_ports_are_one_sentence,
        config::generated_files_are_current,
    ]
}
