//! Whole machines that join with nothing but user-data.
//! Promise: each trial boots real machines: systemd, cloud-init and Docker of their own.
//! Must not: touch a machine after its power-on but to look, except where a trial says so.

mod boots;
mod clock;
mod ends;
mod followed;
mod forms;
mod impostor;
mod installs;
mod scene;
mod time_server;
mod wrong;

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::main(
        60,
        lab::trials![
            // The longest first: the others fit beside it.
            clock::a_machine_whose_clock_is_wrong_joins_once_it_is_set,
            followed::the_readme_from_terraform_apply_to_a_joined_node,
            installs::a_machine_without_docker_installs_it_once_apt_is_free_and_joins,
            boots::three_machines_boot_at_once_with_one_user_data_and_join,
            boots::machines_that_boot_before_the_broker_join_when_it_is_up,
            boots::a_machine_joins_through_the_next_broker_when_the_first_is_dead,
            ends::an_ephemeral_machine_leaves_when_it_is_powered_off_and_not_when_it_restarts,
            forms::cloud_init_accepts_every_form_and_machines_join,
            wrong::a_changed_joiner_never_runs,
            wrong::a_broker_of_another_ca_is_told_nothing,
        ],
    )
}
