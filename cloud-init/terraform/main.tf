# Renders what 'broker cloud-init worker' prints, from the same files.

locals {
  # Room is short in user-data, and the comments stand in the product's source.
  sources = {
    for name, text in {
      fetch = file("${path.module}/../boot/joiner-fetch")
      unit  = file("${path.module}/../units/joiner.service")
      leave = file("${path.module}/../units/joiner-leave.service")
    } :
    name => replace(replace(replace(text, "/(?m)^[ \\t]*#([^!\\n].*)?\\n/", ""), "/\\n{3,}/", "\n\n"), "/^\\n+/", "")
  }

  # The package's unit, for a joiner that is fetched first.
  unit = replace(
    local.sources.unit,
    "ExecStart=/usr/bin/joiner",
    "ExecStartPre=+/usr/local/sbin/joiner-fetch\nExecStart=/usr/local/bin/joiner",
  )

  # The same of the unit that has an ephemeral machine leave when it is powered off.
  leave = replace(local.sources.leave, "/usr/bin/joiner", "/usr/local/bin/joiner")

  # The joiner's own settings, by the name of their variable.
  settings = {
    for name, value in {
      JOINER_ADVERTISE_ADDR = var.advertise_addr
      JOINER_ON_FAILURE     = var.on_failure
    } : name => value if value != null
  }

  machines = [
    for index, line in local.lines : {
      line   = line
      about  = try(local.abouts[index], "")
      leaves = try(local.leaves[index], false)
      files = [
        for file in concat(
          [
            { path = "/etc/joiner/invite", mode = "0600", content = "${line}\n" },
            { path = "/etc/joiner/environment", mode = "0644", content = local.environments[index] },
          ],
          var.embed ? [] : [
            { path = "/usr/local/sbin/joiner-fetch", mode = "0755", content = local.sources.fetch },
            { path = "/etc/systemd/system/joiner.service", mode = "0644", content = local.unit },
          ],
          try(local.leaves[index], false) ? [
            { path = "/etc/systemd/system/joiner-leave.service", mode = "0644", content = local.leave },
          ] : [],
        ) : file if file.content != ""
      ]
    }
  ]

  # Whether it gets that unit: an image with the package has it.
  leaves = [for policy in local.policies : !var.embed && can(policy.ephemeral + 0)]

  # One line that says what this is, without a secret.
  abouts = [
    for policy in local.policies : join("", [
      "Joins this machine to a Docker swarm as a ${policy.role}. Invite ${policy.jti}, for ",
      policy.uses == 1 ? "1 machine" : "${policy.uses} machines",
      " until ${timeadd("1970-01-01T00:00:00Z", "${policy.exp}s")}: treat this like a password.",
    ]) if local.readable
  ]

  environments = [
    for policy in local.policies : join("", [
      for setting in concat(
        var.embed ? [] : concat(
          [for architecture, hash in var.joiner_sha256 : "FETCH_SHA256_${upper(architecture)}=${hash}"],
          [
            "FETCH_BROKERS=\"${join(" ", local.brokers != null ? local.brokers : try(policy.brokers, []))}\"",
            "FETCH_INSTALL_DOCKER=${var.install_docker ? "yes" : "no"}",
          ],
        ),
        # As systemd reads it: nothing is special in double quotes but a backslash before one of four characters.
        [for name, value in local.settings : "${name}=\"${replace(value, "/([\"\\\\`$])/", "\\$1")}\""],
      ) : "${setting}\n"
    ])
  ]

  # With their port, as in a URL.
  brokers = length(var.brokers) == 0 ? null : [
    for broker in var.brokers :
    can(regex("^(\\[.*\\]|[^:]*):\\d+$", broker)) ? broker :
    can(regex("^[^\\[]*:.*:", broker)) ? "[${broker}]:7443" :
    "${broker}:7443"
  ]

  user_data = local.count == 0 ? [
    for machine in range(var.machines) : local.uninvited
    ] : [
    for machine in local.machines : templatefile("${path.module}/user-data.tftpl", {
      about  = machine.about
      leaves = machine.leaves
      files  = machine.files
      extra  = var.extra
    })
  ]

  # For machines that are in already. A new one that got this by mistake says so.
  uninvited = <<-TEXT
    #cloud-config
    # No invite was given, so this machine does not join.
    runcmd:
      - [sh, -c, "echo 'no invite was given to this machine, so it does not join the swarm' >/dev/console"]
  TEXT

  leaks = nonsensitive(sensitive(anytrue([for text in local.user_data : strcontains(text, "SWMTKN")])))

  # length() counts characters, base64 has 4 for each 3 bytes.
  encoded = [for text in local.user_data : base64encode(text)]
  bytes = jsondecode(nonsensitive(sensitive(jsonencode([
    for text in local.encoded : length(text) / 4 * 3 - length(regexall("=", text))
  ]))))
}
