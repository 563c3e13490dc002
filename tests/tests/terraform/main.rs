//! The Terraform module and its examples: what is rendered, what a plan does, what `scale` does. No cloud is asked; the
//! provider that Terraform has built in stands for one.

mod examples;
mod module;
mod rendered;
mod scaling;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::main(
        5,
        lab::trials![
            examples::every_file_is_formatted,
            examples::every_example_names_only_what_is_there,
            examples::nobody_logs_in_and_no_machine_is_replaced_for_an_invite,
            module::it_is_valid_and_its_own_tests_pass,
            module::what_is_refused_is_told_with_the_fix_and_without_the_secret,
            rendered::it_is_what_the_broker_prints_byte_by_byte,
            rendered::a_machine_boots_from_it_with_more_cloud_config_merged_in,
            scaling::five_after_three_with_another_invite_adds_two_and_replaces_none,
            scaling::scale_makes_what_is_new_and_leaves_the_rest_alone,
            scaling::scale_on_a_manager_makes_the_invite_and_waits_for_the_machines,
            scaling::scale_says_what_it_needs,
        ],
    )
}
