# What the invites say. Nothing is verified here, only brokers can: this catches mistakes while they cost nothing.

locals {
  # One line for each machine, or none: then all of them are in.
  lines = (
    var.invites != null ? [for line in coalesce(var.invites, []) : trimspace(line)] :
    var.invite != null ? [for machine in range(var.machines) : trimspace(var.invite)] : []
  )
  count = nonsensitive(sensitive(length(local.lines)))
  both  = nonsensitive(var.invites != null && var.invite != null)
  each  = nonsensitive(var.invites != null)

  # Mistakes: swarm tokens, other text, and what is no header, payload and signature of 64 bytes.
  tokens  = nonsensitive(sensitive(anytrue([for line in local.lines : startswith(line, "SWMTKN")])))
  strange = nonsensitive(sensitive(!alltrue([for line in local.lines : startswith(line, "SWINV-1-")])))
  cut     = nonsensitive(sensitive(!alltrue([for line in local.lines : can(regex("^SWINV-1-[\\w-]+\\.[\\w-]+\\.[\\w-]{86}$", line))])))

  # The middle part of each JWS, from base64url without padding to JSON. What an invite says is no secret, its signature is.
  parts = [for line in local.lines : replace(replace(try(split(".", line)[1], ""), "-", "+"), "_", "/")]
  policies = jsondecode(nonsensitive(sensitive(jsonencode([
    for part in local.parts :
    try(jsondecode(base64decode("${part}${substr("==", 0, (4 - length(part) % 4) % 4)}")), null)
  ]))))

  # Whether all of them say what an invite must.
  readable = !local.cut && alltrue([
    for policy in local.policies :
    can(policy.uses + policy.exp) && can("${policy.jti}${policy.role}${policy.pin}${policy.brokers[0]}")
  ])
  uses  = local.readable ? [for policy in local.policies : policy.uses] : []
  roles = local.readable ? distinct([for policy in local.policies : policy.role]) : []
  pins  = local.readable ? distinct([for policy in local.policies : policy.pin]) : []

  # Each line of invites is for one machine, the one line of invite for all that are not in.
  new    = max(0, var.machines - var.joined)
  wanted = local.each ? min(1, local.new) : local.new
  fewest = length(local.uses) > 0 ? min(local.uses...) : 0
}
