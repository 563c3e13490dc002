//! The lab's own trials.
//! Promise: what other tests rely on, hosts, faults and an end that leaves nothing, is tried here.
//! Must not: try anything of the broker.

mod ends;
mod faults;
mod hosts;
mod whole;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Trials of how a run ends need a run to end: this program again, in another part.
    if let Some(part) = std::env::var_os(ends::PART) {
        return ends::play(&part);
    }
    lab::main(
        8,
        lab::trials![
            hosts::engines_come_up,
            hosts::a_swarm_of_three_forms,
            hosts::tokens_rotate,
            hosts::tasks_run_on_nodes_that_have_the_image,
            hosts::a_host_has_its_own_name_and_addresses,
            hosts::a_program_is_watched_while_it_runs,
            hosts::a_program_ends_with_its_process,
            faults::a_cut_host_is_out_of_reach_until_healed,
            faults::two_hosts_parted_still_reach_a_third,
            faults::a_slow_link_is_slow,
            faults::a_killed_engine_starts_again_in_its_swarm,
            faults::a_paused_engine_is_silent,
            faults::a_small_disk_fills,
            hosts::every_lease_is_of_new_hosts,
            hosts::a_pool_serves_more_than_it_has,
            whole::a_machine_boots_and_keeps_its_disk,
            whole::a_machine_cannot_change_what_it_shares,
            ends::a_crashed_lab_is_cleared_by_the_next,
            ends::an_interrupted_run_leaves_nothing,
            ends::a_failure_shows_the_last_words,
        ],
    )
}
