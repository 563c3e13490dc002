//! What takes too long for every change: storms with figures, and a thousand rounds of what the promises try once.
//! `./run soak` runs it; `cargo test` by itself does not.

mod claims;
mod fleet;
mod logs;
mod storms;
#[path = "../promises/under_load.rs"]
mod under_load;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::main(
        31,
        lab::trials![
            storms::fifty_boots_while_the_token_is_rotated_twice_a_second,
            storms::fifty_boots_while_the_token_is_rotated_without_courtesy,
            storms::thirty_boots_while_every_key_and_the_issuing_ca_are_replaced,
            claims::a_grant_redeemed_64_times_at_three_brokers_is_one_claim_a_thousand_times,
            claims::two_hundred_machines_at_three_brokers_are_ten,
            fleet::thirty_rounds_of_five_out_and_five_in_leave_nothing_behind,
            fleet::a_machine_imaged_anew_ten_times_is_one_row,
            fleet::managers_replaced_one_after_the_other_are_always_three,
            workload::a_workload_outlives_the_leader_and_the_loss_of_quorum,
            logs::a_broker_killed_under_load_fifty_times_has_recorded_every_answer,
        ],
    )
}
