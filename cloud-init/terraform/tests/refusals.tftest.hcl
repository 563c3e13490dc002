# What the module refuses, while it costs nothing. Each run fails exactly where it says.

variables {
  joiner_sha256 = { x86_64 = "1111111111111111111111111111111111111111111111111111111111111111" }
}

run "an_invite" {
  module {
    source = "./tests/invite"
  }
}

run "for_one" {
  module {
    source = "./tests/invite"
  }
  variables {
    policy = { uses = 1 }
  }
}

run "for_managers" {
  module {
    source = "./tests/invite"
  }
  variables {
    policy = { role = "manager" }
  }
}

run "that_says_nothing" {
  module {
    source = "./tests/invite"
  }
  variables {
    policy = { uses = null }
  }
}

run "what_all_refusals_differ_from_is_accepted" {
  command = plan
  variables {
    invite   = run.an_invite.line
    machines = 3
    ca_pin   = "UPlWthD-IeTW3fE95Wl5SP3a62ID5yn9Gzf1TmlFyA8"
  }
}

run "a_swarm_token" {
  command = plan
  variables {
    invite = "SWMTKN-1-0000000000000000000000000000000000000000000000000-0000000000000000000000000"
  }
  expect_failures = [output.user_data]
}

run "a_swarm_token_among_invites" {
  command = plan
  variables {
    invites = ["SWMTKN-1-0000000000000000000000000000000000000000000000000-0000000000000000000000000"]
  }
  expect_failures = [output.user_data]
}

run "any_other_text" {
  command = plan
  variables {
    invite = "hello"
  }
  expect_failures = [output.user_data]
}

run "an_empty_invite" {
  command = plan
  variables {
    invite = ""
  }
  expect_failures = [output.user_data]
}

run "an_invite_that_is_cut_off" {
  command = plan
  variables {
    invite = substr(run.an_invite.line, 0, length(run.an_invite.line) - 1)
  }
  expect_failures = [output.user_data]
}

run "an_invite_on_two_lines" {
  command = plan
  variables {
    invite = replace(run.an_invite.line, ".", ".\n")
  }
  expect_failures = [output.user_data]
}

run "a_cut_invite_among_invites" {
  command = plan
  variables {
    invites = [substr(run.an_invite.line, 0, 300)]
  }
  expect_failures = [output.user_data]
}

run "an_invite_with_a_part_too_many" {
  command = plan
  variables {
    invite = replace(run.an_invite.line, "SWINV-1-", "SWINV-1-e30.")
  }
  expect_failures = [output.user_data]
}

run "an_invite_whose_middle_is_no_json" {
  command = plan
  variables {
    invite = "SWINV-1-e30.AAAA.${split(".", run.an_invite.line)[2]}"
  }
  expect_failures = [output.user_data]
}

run "an_invite_that_says_no_uses" {
  command = plan
  variables {
    invite = run.that_says_nothing.line
  }
  expect_failures = [output.user_data]
}

run "one_and_many_invites" {
  command = plan
  variables {
    invite  = run.an_invite.line
    invites = [run.an_invite.line]
  }
  expect_failures = [output.user_data]
}

run "fewer_invites_than_machines" {
  command = plan
  variables {
    invites  = [run.for_one.line]
    machines = 2
  }
  expect_failures = [output.user_data]
}

run "no_invite_at_all" {
  command = plan
  variables {
    machines = 1
  }
  expect_failures = [output.user_data]
}

run "fewer_uses_than_machines" {
  command = plan
  variables {
    invite   = run.an_invite.line
    machines = 4
  }
  expect_failures = [output.user_data]
}

run "fewer_uses_than_new_machines" {
  command = plan
  variables {
    invite   = run.for_one.line
    machines = 5
    joined   = 3
  }
  expect_failures = [output.user_data]
}

run "an_invite_for_managers" {
  command = plan
  variables {
    invite = run.for_managers.line
  }
  expect_failures = [output.user_data]
}

run "an_invite_of_another_cluster" {
  command = plan
  variables {
    invite = run.an_invite.line
    ca_pin = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
  }
  expect_failures = [output.user_data]
}

run "a_pin_that_is_none" {
  command = plan
  variables {
    invite = run.an_invite.line
    ca_pin = "abc"
  }
  expect_failures = [var.ca_pin]
}

run "no_hash" {
  command = plan
  variables {
    invite        = run.an_invite.line
    joiner_sha256 = {}
  }
  expect_failures = [output.user_data]
}

run "a_hash_in_capitals" {
  command = plan
  variables {
    invite        = run.an_invite.line
    joiner_sha256 = { x86_64 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }
  }
  expect_failures = [var.joiner_sha256]
}

run "a_hash_that_is_too_short" {
  command = plan
  variables {
    invite        = run.an_invite.line
    joiner_sha256 = { x86_64 = "111111111111111111111111111111111111111111111111111111111111111" }
  }
  expect_failures = [var.joiner_sha256]
}

run "an_unknown_processor" {
  command = plan
  variables {
    invite        = run.an_invite.line
    joiner_sha256 = { arm64 = "1111111111111111111111111111111111111111111111111111111111111111" }
  }
  expect_failures = [var.joiner_sha256]
}

run "docker_for_an_image_that_fetches_nothing" {
  command = plan
  variables {
    invite         = run.an_invite.line
    embed          = true
    install_docker = true
  }
  expect_failures = [var.install_docker]
}

run "a_broker_that_is_no_address" {
  command = plan
  variables {
    invite  = run.an_invite.line
    brokers = ["10.0.0.1; reboot"]
  }
  expect_failures = [var.brokers]
}

run "a_command_on_two_lines" {
  command = plan
  variables {
    invite     = run.an_invite.line
    on_failure = "a\nb"
  }
  expect_failures = [var.on_failure]
}

run "an_address_on_two_lines" {
  command = plan
  variables {
    invite         = run.an_invite.line
    advertise_addr = "wg0\nX=1"
  }
  expect_failures = [var.advertise_addr]
}

run "a_swarm_token_in_a_command" {
  command = plan
  variables {
    invite     = run.an_invite.line
    on_failure = "docker swarm join --token SWMTKN-1-x 10.0.0.1"
  }
  expect_failures = [output.user_data]
}

run "a_swarm_token_in_extra" {
  command = plan
  variables {
    invite = run.an_invite.line
    extra  = { runcmd = [["docker", "swarm", "join", "--token", "SWMTKN-1-x"]] }
  }
  expect_failures = [output.user_data]
}

run "extra_that_is_no_object" {
  command = plan
  variables {
    invite = run.an_invite.line
    extra  = "packages: [htop]"
  }
  expect_failures = [var.extra]
}

run "extra_commands_that_are_no_list" {
  command = plan
  variables {
    invite = run.an_invite.line
    extra  = { runcmd = "reboot" }
  }
  expect_failures = [var.extra]
}

run "half_a_machine" {
  command = plan
  variables {
    invite   = run.an_invite.line
    machines = 1.5
  }
  expect_failures = [var.machines]
}
