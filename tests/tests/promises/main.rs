//! The promises of the design, each by name, on real engines. A test fails when its promise is broken.

mod at_most_n;
mod audit_log;
mod backups;
mod boots;
mod bounded;
mod by_store;
mod conditions;
mod discovery;
mod downloads;
mod expected;
mod exports;
mod fail_closed;
mod followed;
mod follows;
mod formation;
mod handovers;
mod histories;
mod input;
mod issuing_ca;
mod issuing_key;
mod joiners;
mod keys;
mod kills;
mod labels;
mod leaks;
mod leaves;
mod locks;
mod machines;
mod managers;
mod never_shows;
mod object_store;
mod one_key;
mod operators;
mod order;
mod peers;
mod raft_writes;
mod recovery;
mod replaced;
mod report;
mod report_log;
mod roles;
mod rotate_all;
mod rotation;
mod rotation_cut_off;
mod rotation_policy;
mod schema;
mod serving;
mod swarm_ca;
mod thief;
mod under_load;
mod uninstall;
mod unit;
mod verify_then_spend;
mod waits;
mod witness;
mod workload;
mod write_then_answer;

use std::process::ExitCode;

#[expect(clippy::too_many_lines, reason = "a line a trial")]
fn main() -> ExitCode {
    lab::main(
        60,
        lab::trials![
            at_most_n::an_invite_for_three_admits_three_of_fifty_at_once,
            at_most_n::an_invite_for_ten_admits_ten_of_two_hundred_keys_at_once,
            at_most_n::a_key_that_comes_back_uses_nothing_more,
            at_most_n::two_brokers_at_once_admit_sixty_of_a_hundred_keys,
            audit_log::a_changed_record_is_named_by_whoever_kept_the_key,
            audit_log::a_broker_that_is_killed_under_load_has_recorded_every_answer,
            audit_log::what_no_log_says_of_the_cluster_is_named,
            audit_log::records_are_chosen_by_time_event_node_and_invite,
            backups::a_backup_serves_beside_the_broker_that_it_is_of,
            backups::old_user_data_boots_into_a_new_swarm,
            boots::a_reply_lost_at_any_step_costs_a_retry,
            boots::a_joiner_killed_at_any_step_finishes_the_same_boot,
            boots::a_joiner_killed_while_its_engine_joins_finishes_the_same_boot,
            boots::a_broker_killed_before_the_claim_loses_nothing,
            boots::a_broker_killed_after_the_claim_loses_nothing,
            boots::a_joined_machine_joins_again_as_a_no_op,
            bounded::a_thousand_idle_connections_keep_nobody_out,
            bounded::slow_huge_and_endless_requests_keep_nobody_out,
            by_store::whoever_came_into_the_swarm_begins_no_ledger_in_place_of_a_lost_one,
            by_store::managers_of_a_swarm_that_was_there_before_begin_one_ledger,
            by_store::who_was_cut_off_before_it_published_begins_no_ledger_in_place_of_a_lost_one,
            by_store::a_broker_starts_again_whichever_issuing_ca_signed_the_record,
            by_store::a_store_that_hangs_keeps_no_broker_from_serving_and_stopping,
            by_store::first_starts_that_are_cut_off_between_two_steps_are_gone_on_with,
            by_store::a_ledger_of_a_swarm_made_by_a_store_is_recovered_by_an_operators_word,
            conditions::a_place_comes_free_when_its_node_was_removed_by_whoever,
            conditions::a_machine_that_was_imaged_anew_is_one_row,
            conditions::a_machine_waits_for_a_persons_answer,
            conditions::names_rates_and_tasks_are_as_the_invite_says,
            discovery::a_manager_finds_the_others_by_the_tags_of_aws,
            discovery::a_manager_finds_the_others_by_the_tags_of_digitalocean_and_vultr,
            downloads::a_slow_link_gets_its_joiner_in_the_end,
            downloads::two_hundred_downloads_at_once_keep_nobody_out,
            downloads::downloads_that_nobody_reads_keep_nobody_out,
            expected::what_is_expected_is_held_against_what_is,
            expected::a_watch_tells_each_change_and_ends_with_its_reader,
            exports::a_record_is_proved_to_whoever_has_the_key_and_no_log,
            exports::an_outsider_checks_a_log_with_the_page_alone,
            exports::records_leave_as_lines_as_a_table_as_ocsf_and_as_tiles,
            fail_closed::a_manager_cut_off_from_quorum_hands_out_nothing,
            fail_closed::a_manager_cut_off_from_quorum_refuses_nobody,
            fail_closed::deleted_configs_give_no_revoked_invite_back,
            fail_closed::the_floor_ends_invites_and_never_goes_back,
            fail_closed::a_use_that_was_taken_out_of_the_ledger_is_not_given_again,
            fail_closed::deleted_configs_admit_nobody,
            fail_closed::a_deleted_invite_gives_no_use_back,
            followed::the_readme_step_by_step,
            followed::the_page_on_several_managers_step_by_step,
            followed::the_section_on_a_store_step_by_step,
            followed::the_demo_to_its_last_line,
            formation::three_managers_that_boot_at_once_make_one_swarm,
            formation::a_holder_killed_before_init_is_replaced,
            formation::a_holder_killed_between_init_and_publish_leaves_its_swarm,
            formation::a_holder_that_hung_past_its_lease_joins_the_others,
            formation::a_record_whose_managers_do_not_answer_never_causes_an_init,
            formation::no_bad_record_makes_a_second_swarm,
            follows::brokers_follow_keys_that_were_replaced_on_another_manager,
            follows::after_a_leak_brokers_follow_that_an_operator_answers_for,
            follows::who_asks_with_a_leaked_key_while_it_is_replaced_gets_nothing,
            follows::a_key_that_comes_late_takes_no_newer_ones_place,
            handovers::keys_go_to_explained_managers_only,
            handovers::a_managers_keys_are_asked_for_by_the_key_that_joined,
            handovers::a_manager_cut_off_from_quorum_hands_no_key_over,
            handovers::a_broker_with_former_keys_hands_none_over_and_refuses_nobody,
            handovers::a_server_of_a_void_issuing_ca_gives_no_key,
            histories::what_clients_see_of_a_cluster_under_faults_breaks_no_promise,
            input::every_bad_invite_has_words_and_a_code,
            input::every_bad_start_of_a_broker_has_words_and_a_code,
            input::a_machine_in_another_swarm_is_left_alone,
            input::a_manager_that_is_not_in_its_swarm_yet_is_no_final_failure,
            input::the_admin_socket_is_for_root_only,
            issuing_ca::boots_while_the_issuing_ca_is_replaced_all_join,
            issuing_ca::both_issuing_cas_are_trusted_by_all_and_after_a_leak_only_the_new_one,
            issuing_ca::a_root_that_is_kept_elsewhere_signs_a_request,
            issuing_ca::an_issuing_key_that_is_kept_elsewhere_is_replaced_there,
            issuing_ca::a_broker_killed_while_its_issuing_ca_is_replaced_starts_and_admits,
            issuing_ca::the_end_of_the_issuing_ca_is_told_in_time_and_can_be_mended_after_it,
            issuing_key::machines_join_with_the_key_in_a_credential_a_command_or_a_file,
            issuing_key::a_key_that_is_wrong_or_cannot_be_had_stops_the_start,
            joiners::a_machine_gets_its_joiner_by_hash_and_nothing_else,
            joiners::a_joiner_is_served_while_nobody_can_be_admitted,
            joiners::an_upgraded_broker_serves_the_joiner_of_older_user_data,
            joiners::a_broker_gets_a_joiner_from_another_and_serves_it_alone,
            joiners::a_joiner_that_changed_on_disk_is_never_served,
            joiners::a_joiner_that_ended_is_dropped,
            joiners::what_is_no_joiner_has_words_and_a_code,
            keys::an_invite_that_does_not_read_keeps_nothing_from_being_replaced,
            keys::grants_of_a_former_key_are_good_until_the_last_has_ended,
            keys::invites_of_a_former_key_are_good_and_those_of_a_void_one_admit_nobody,
            keys::boots_while_every_key_is_replaced_all_join,
            keys::a_broker_killed_at_any_step_of_replacing_a_key_starts_and_admits,
            kills::any_of_three_brokers_that_is_killed_at_any_step_of_a_rotation_says_what_became_of_it,
            labels::a_node_gets_no_task_before_it_is_labelled,
            labels::a_node_that_never_confirmed_stays_drained_and_is_shown,
            labels::a_node_joined_by_hand_is_unexplained_within_seconds,
            labels::a_node_joined_by_hand_is_drained_where_that_is_wanted,
            leaks::tokens_invites_and_keys_of_machines,
            leaks::a_brokers_disk_and_the_keys_that_stand_above_it,
            leaks::all_that_a_removed_manager_knew,
            leaves::a_worker_leaves_drained_and_whichever_broker_looks_next_removes_its_row,
            leaves::a_machine_that_its_provider_takes_away_leaves_before,
            leaves::nobody_makes_another_node_leave_and_no_manager_leaves,
            leaves::a_task_that_will_not_stop_and_brokers_that_are_silent_hold_nobody_up,
            locks::a_locked_managers_broker_says_so_and_goes_on_with_the_key_that_was_shown_once,
            machines::machines_with_ipv6_only_form_and_join,
            machines::a_machine_with_two_interfaces_advertises_the_address_towards_the_managers,
            machines::a_machine_whose_clock_was_never_set_waits_and_joins_when_it_is,
            machines::the_invite_and_its_copies_are_gone_once_a_machine_is_in,
            managers::three_managers_come_up_by_themselves_and_any_one_may_die,
            managers::a_manager_gets_the_keys_without_a_file_that_was_copied,
            managers::a_broker_up_that_is_killed_at_any_moment_goes_on,
            managers::a_broker_that_waits_asks_for_no_key_before_the_join_is_confirmed,
            managers::a_broker_that_waits_takes_the_keys_of_a_node_that_was_refused_and_adopted,
            managers::a_demoted_managers_broker_stops_and_says_why,
            managers::a_swarm_is_in_the_log_once_however_its_making_was_cut_off,
            managers::what_can_only_be_set_when_a_swarm_is_made_is_set,
            managers::what_up_cannot_do_has_words_and_a_code,
            managers::brokers_are_found_where_the_operator_says_besides,
            never_shows::the_token_shows_nowhere_at_trace,
            object_store::three_managers_make_one_swarm_through_s3_and_the_holder_may_die,
            object_store::a_store_that_ignores_conditions_is_refused_by_name,
            order::no_answer_is_sent_before_its_record_is_on_disk_and_signed,
            one_key::a_grant_redeemed_64_times_at_once_is_one_claim_and_one_answer,
            one_key::another_key_is_refused_and_an_alarm,
            one_key::a_newer_certificate_of_the_same_key_asks_again_without_alarm,
            one_key::a_copied_grant_confirms_no_other_node,
            one_key::a_confirm_is_for_a_new_node_of_the_granted_role,
            one_key::a_repeated_confirm_changes_nothing,
            operators::an_operator_elsewhere_does_what_it_may_in_each_of_two_clusters,
            operators::nobody_passes_for_an_operator_and_no_operator_for_a_machine,
            peers::a_peer_that_gives_other_bytes_is_not_believed,
            raft_writes::a_join_costs_some_ten_raft_writes_and_a_rotation_three,
            recovery::deleted_configs_are_put_back_and_no_use_is_given_back,
            recovery::every_brokers_log_counts_and_one_that_is_missing_revokes,
            recovery::a_raft_store_restored_from_an_old_copy_gives_no_use_back,
            recovery::a_broker_that_starts_on_a_restored_raft_store_waits_to_be_recovered,
            recovery::an_issuing_ca_that_leaked_stays_void_though_raft_forgot_it,
            recovery::an_invite_key_that_leaked_stays_void_when_a_broker_that_has_it_comes_back,
            recovery::an_undone_revocation_is_found_though_nobody_asks,
            replaced::an_ephemeral_manager_that_is_gone_goes_before_another_comes,
            report::a_reviewer_reads_who_joined_and_on_whose_invitation,
            report::a_report_of_two_hundred_nodes_is_found_printed_and_read_in_the_dark,
            roles::a_worker_is_promoted_its_broker_serves_and_no_quorum_is_lost,
            rotate_all::nothing_that_a_removed_manager_knew_is_worth_anything,
            rotate_all::an_order_that_is_cut_off_at_any_step_is_given_again_and_all_is_well,
            rotate_all::no_broker_is_removed_without_a_record,
            rotate_all::what_cannot_be_replaced_here_is_named_and_the_rest_is_done,
            rotation::a_token_rotated_between_redeem_and_join_strands_nobody,
            rotation::a_rotation_waits_for_a_machine_with_the_token_up_to_its_bound,
            rotation::twenty_boots_through_a_loop_of_rotations_all_join_at_once,
            rotation::boots_while_the_token_is_rotated_without_courtesy_all_join,
            rotation::boots_while_somebody_else_rotates_the_token_all_join,
            rotation::thirty_machines_at_two_brokers_are_never_given_a_token_that_is_about_to_go,
            rotation::two_who_rotate_at_once_get_one_clear_result,
            rotation_cut_off::a_broker_killed_at_any_step_of_a_rotation_finishes_or_undoes_it,
            rotation_cut_off::settings_that_change_under_a_rotation_are_kept_and_it_is_done,
            rotation_cut_off::a_rotation_without_quorum_says_so_and_is_undone,
            rotation_cut_off::a_rotation_where_none_can_be_done_has_words_and_a_code,
            rotation_policy::a_token_is_dead_within_seconds_of_the_join_it_was_given_for,
            rotation_policy::a_swarm_that_was_there_before_keeps_its_token_unless_told_otherwise,
            rotation_policy::what_somebody_else_replaces_is_noticed_and_written_down,
            rotation_policy::boots_while_the_swarms_root_is_replaced_all_join_and_confirm,
            serving::ready_means_that_machines_can_be_admitted,
            serving::an_engine_that_hangs_does_not_starve_the_watchdog,
            serving::a_rotation_that_waits_does_not_starve_the_watchdog,
            serving::a_first_start_that_is_cut_off_is_gone_on_with,
            serving::an_invite_made_before_the_broker_ran_admits,
            unit::a_packaged_broker_runs_hardened_and_machines_join,
            unit::a_broker_that_comes_up_by_itself_reads_its_nodes_key_wherever_docker_has_it,
            unit::a_packaged_broker_is_started_again_unless_that_changes_nothing,
            unit::managers_with_one_user_data_and_a_store_make_one_swarm,
            uninstall::all_that_brokers_put_into_a_swarm_is_taken_out_and_nothing_else,
            verify_then_spend::a_forged_grant_with_a_real_jti_spends_nothing,
            verify_then_spend::an_altered_or_revoked_invite_spends_nothing,
            verify_then_spend::every_step_asks_again_whether_the_invite_is_revoked,
            verify_then_spend::every_step_asks_again_whether_the_network_is_allowed,
            verify_then_spend::each_step_takes_its_own_kind_of_certificate_only,
            waits::it_ends_when_the_third_of_three_has_joined,
            waits::each_machine_that_did_not_come_has_its_reason,
            waits::it_outlives_a_broker_that_is_restarted,
            waits::a_terminal_is_shown_a_bar_and_anything_else_lines,
            witness::a_lost_managers_log_verifies_from_the_others_copies,
            witness::a_log_that_is_put_back_is_an_alarm_on_the_others,
            workload::a_workload_outlives_a_drain_and_the_loss_of_a_worker,
            write_then_answer::a_full_disk_under_the_log_lets_no_secret_out,
            write_then_answer::a_disk_that_fails_under_the_log_lets_no_secret_out,
            write_then_answer::a_log_that_fills_up_at_any_record_has_every_answer,
            write_then_answer::a_full_disk_under_the_log_labels_no_node,
        ],
    )
}
