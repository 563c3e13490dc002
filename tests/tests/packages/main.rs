//! What is shipped, as it is shipped: the files in `dist/`, which `./run package` makes, the boots they bring about, and what
//! the Debian packages do to a machine.

mod boots;
mod deb;
mod debian;
mod files;
mod followed;
mod managers;
mod programs;

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::main(
        6,
        lab::trials![
            files::every_program_is_there_static_and_stripped,
            files::the_joiners_are_small,
            files::no_file_tells_where_it_was_built,
            files::every_program_runs_where_nothing_else_is,
            boots::the_shipped_joiners_join_by_the_shipped_broker,
            boots::a_shipped_joiner_looks_a_brokers_name_up,
            debian::packages_say_what_is_true_and_hold_what_is_in_the_tree,
            debian::both_are_installed_with_all_that_belongs_to_them_and_start_nothing,
            debian::a_broker_is_installed_upgraded_removed_and_purged_and_its_keys_stay,
            followed::the_readme_step_by_step_with_the_packages,
            managers::managers_with_one_user_data_come_up_with_their_brokers,
        ],
    )
}
