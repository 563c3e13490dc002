# What the module renders, machine by machine. Each run's name is what it shows.

variables {
  joiner_sha256 = {
    x86_64  = "1111111111111111111111111111111111111111111111111111111111111111"
    aarch64 = "2222222222222222222222222222222222222222222222222222222222222222"
  }
}

run "an_invite" {
  module {
    source = "./tests/invite"
  }
}

run "another" {
  module {
    source = "./tests/invite"
  }
  variables {
    policy = { jti = "00000000000000000000000000000002", uses = 2, brokers = ["manager.example:8443"] }
  }
}

run "one_invite_makes_three_machines" {
  command = plan
  variables {
    invite   = "  ${run.an_invite.line}\n"
    machines = 3
  }

  assert {
    condition     = length(output.user_data) == 3 && length(distinct(output.user_data)) == 1
    error_message = "There are not three user-data, all the same."
  }
  assert {
    condition     = startswith(output.user_data[0], "#cloud-config\n")
    error_message = "cloud-init would not know what this is."
  }
  assert {
    condition = [for file in yamldecode(output.user_data[0]).write_files : "${file.permissions} ${file.path}"] == [
      "0600 /etc/joiner/invite",
      "0644 /etc/joiner/environment",
      "0755 /usr/local/sbin/joiner-fetch",
      "0644 /etc/systemd/system/joiner.service",
    ]
    error_message = "These are not the files of a machine, with their modes."
  }
  assert {
    condition     = yamldecode(output.user_data[0]).write_files[0].content == "${run.an_invite.line}\n"
    error_message = "The invite's file is not the one line."
  }
  assert {
    condition     = yamldecode(output.user_data[0]).write_files[1].content == <<-TEXT
      FETCH_SHA256_AARCH64=2222222222222222222222222222222222222222222222222222222222222222
      FETCH_SHA256_X86_64=1111111111111111111111111111111111111111111111111111111111111111
      FETCH_BROKERS="10.0.0.11:7443 [fd00::12]:7443"
      FETCH_INSTALL_DOCKER=no
    TEXT
    error_message = "The environment is not what the script that fetches the joiner reads."
  }
  assert {
    condition = yamldecode(output.user_data[0]).runcmd == [
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "joiner.service"],
      ["systemctl", "start", "--no-block", "joiner.service"],
    ]
    error_message = "The unit is not started, or waited for."
  }
  assert {
    condition     = strcontains(output.user_data[0], "as a worker. Invite 6d1ce81a2eadecf9d2a2dd5081cdc89d, for 3 machines until 2026-11-21T11:00:00Z:")
    error_message = "The second line does not say what this is."
  }
}

run "script_and_unit_are_the_product_s_own_without_comments" {
  command = plan
  variables {
    invite = run.an_invite.line
  }

  assert {
    condition = [for line in split("\n", yamldecode(output.user_data[0]).write_files[2].content) : line if line != ""] == [
      for line in split("\n", file("../boot/joiner-fetch")) : line
      if line != "" && (!startswith(trimspace(line), "#") || startswith(line, "#!"))
    ]
    error_message = "The script is not cloud-init/boot/joiner-fetch."
  }
  assert {
    condition = [for line in split("\n", yamldecode(output.user_data[0]).write_files[3].content) : line if line != "" && !startswith(line, "ExecStart")] == [
      for line in split("\n", file("../units/joiner.service")) : line
      if line != "" && !startswith(line, "#") && !startswith(line, "ExecStart")
    ]
    error_message = "The unit is not cloud-init/units/joiner.service."
  }
  assert {
    condition = [for line in split("\n", yamldecode(output.user_data[0]).write_files[3].content) : line if startswith(line, "ExecStart")] == [
      "ExecStartPre=+/usr/local/sbin/joiner-fetch",
      "ExecStart=/usr/local/bin/joiner join --invite-file /etc/joiner/invite --shred-invite",
    ]
    error_message = "The unit does not run what was fetched."
  }
}

run "each_machine_can_have_an_invite_of_its_own" {
  command = plan
  variables {
    invites  = [run.an_invite.line, run.another.line]
    machines = 2
  }

  assert {
    condition     = [for text in output.user_data : yamldecode(text).write_files[0].content] == ["${run.an_invite.line}\n", "${run.another.line}\n"]
    error_message = "The machines do not have their own invites, in their order."
  }
  assert {
    condition     = strcontains(output.user_data[1], "FETCH_BROKERS=\"manager.example:8443\"\n")
    error_message = "A machine fetches the joiner from the brokers of another invite."
  }
}

run "an_image_with_the_joiner_gets_no_script_and_no_unit" {
  command = plan
  variables {
    invite        = run.an_invite.line
    embed         = true
    joiner_sha256 = {}
  }

  assert {
    condition     = [for file in yamldecode(output.user_data[0]).write_files : "${file.permissions} ${file.path} ${file.content}"] == ["0600 /etc/joiner/invite ${run.an_invite.line}\n"]
    error_message = "There is more or less than the invite."
  }
}

run "brokers_can_be_named_in_every_usual_form" {
  command = plan
  variables {
    invite  = run.an_invite.line
    brokers = ["10.0.0.1", "10.0.0.1:8443", "manager-1.example", "fd00::1", "[fd00::1]", "[fd00::1]:9"]
  }

  assert {
    condition     = strcontains(output.user_data[0], "FETCH_BROKERS=\"10.0.0.1:7443 10.0.0.1:8443 manager-1.example:7443 [fd00::1]:7443 [fd00::1]:7443 [fd00::1]:9\"\n")
    error_message = "An address is not as it stands in a URL."
  }
}

run "settings_are_quoted_as_systemd_reads_them" {
  command = plan
  variables {
    invite         = run.an_invite.line
    install_docker = true
    advertise_addr = "wg0"
    on_failure     = "echo \"$HOME\" `id` \\ 'x'"
  }

  assert {
    condition = endswith(yamldecode(output.user_data[0]).write_files[1].content, <<-TEXT
      FETCH_INSTALL_DOCKER=yes
      JOINER_ADVERTISE_ADDR="wg0"
      JOINER_ON_FAILURE="echo \"\$HOME\" \`id\` \\ 'x'"
    TEXT
    )
    error_message = "A setting would not come through systemd as it was given."
  }
}

run "extra_cloud_config_is_merged_in" {
  command = plan
  variables {
    invite = run.an_invite.line
    extra = {
      packages    = ["wireguard-tools"]
      timezone    = "UTC"
      write_files = [{ path = "/etc/motd", content = "a: <b> & \"ö\"\n" }]
      runcmd      = ["systemctl start wg-quick@wg0", ["touch", "/x"]]
    }
  }

  assert {
    condition     = [yamldecode(output.user_data[0]).packages, yamldecode(output.user_data[0]).timezone] == [["wireguard-tools"], "UTC"]
    error_message = "A key of extra is not there."
  }
  assert {
    condition     = length(yamldecode(output.user_data[0]).write_files) == 5 && yamldecode(output.user_data[0]).write_files[4] == { path = "/etc/motd", content = "a: <b> & \"ö\"\n" }
    error_message = "The file of extra does not come after ours."
  }
  assert {
    condition     = length(yamldecode(output.user_data[0]).runcmd) == 5 && yamldecode(output.user_data[0]).runcmd[0] == "systemctl start wg-quick@wg0"
    error_message = "The commands of extra do not come before ours."
  }
  assert {
    condition     = output.bytes[0] == length(output.user_data[0]) + 1
    error_message = "bytes does not count bytes: one character here has two."
  }
}

run "plain" {
  command = plan
  variables {
    invite = run.an_invite.line
  }

  assert {
    condition     = output.bytes == [length(output.user_data[0])] && base64decode(output.user_data_base64[0]) == output.user_data[0]
    error_message = "The three outputs do not tell the same."
  }
}

run "the_last_byte_that_fits" {
  command = plan
  variables {
    invite = run.an_invite.line
    extra  = { x = substr(join("", [for at in range(1024) : "sixteen letters!"]), 0, 16384 - run.plain.bytes[0] - length("\"x\": \"\"\n")) }
  }

  assert {
    condition     = output.bytes == [16384]
    error_message = "This was to be exactly what EC2 takes."
  }
}

run "one_byte_more_is_refused" {
  command = plan
  variables {
    invite = run.an_invite.line
    extra  = { x = substr(join("", [for at in range(1024) : "sixteen letters!"]), 0, 16385 - run.plain.bytes[0] - length("\"x\": \"\"\n")) }
  }
  expect_failures = [output.user_data]
}

run "machines_that_are_in_need_no_use" {
  command = plan
  variables {
    invite   = run.another.line
    machines = 5
    joined   = 3
  }

  assert {
    condition     = length(output.user_data) == 5
    error_message = "An invite for two was not enough for two new machines."
  }
}

run "without_an_invite_no_machine_joins_and_none_is_replaced" {
  command = plan
  variables {
    machines = 3
    joined   = 3
  }

  assert {
    condition     = length(output.user_data) == 3 && !strcontains(join("", output.user_data), "joiner.service") && can(yamldecode(output.user_data[0]).runcmd)
    error_message = "A machine was rendered that would try to join."
  }
}
