output "user_data" {
  description = "The user-data of each machine. It holds the invite: so does the state."
  value       = local.user_data
  sensitive   = true

  precondition {
    condition     = !local.both
    error_message = "Give either invite, one line for all machines, or invites, one line for each."
  }
  precondition {
    condition     = !local.each || local.count == var.machines
    error_message = "There are ${local.count} invites for ${var.machines} machines: give one line for each."
  }
  precondition {
    condition     = local.count > 0 || local.new == 0
    error_message = "${local.new} new machines need an invite: set invite (or TF_VAR_invite) to the line that 'broker invite create --uses ${local.new}' printed."
  }
  precondition {
    condition     = !local.tokens
    error_message = "This is a swarm join token, not an invite. Never hand it out: give the line that 'broker invite create' printed, which begins with SWINV-1-."
  }
  precondition {
    condition     = local.tokens || !local.strange
    error_message = "This is not an invite: an invite begins with SWINV-1-. Give the one line that 'broker invite create' printed."
  }
  precondition {
    condition     = local.strange || local.readable
    error_message = "The invite is cut off, altered, or not one line: copy the whole line again."
  }
  precondition {
    condition     = !local.readable || local.wanted == 0 || local.fewest >= local.wanted
    error_message = "The invite is for ${local.fewest} machines, and ${local.wanted} new ones shall join on it: make one with 'broker invite create --uses ${local.wanted}'. If some of the ${var.machines} machines are in the swarm already, set joined to their number."
  }
  precondition {
    condition     = alltrue([for role in local.roles : role == "worker"])
    error_message = "This invite is for managers, and this module renders workers: make one without --role manager."
  }
  precondition {
    condition     = var.ca_pin == null || alltrue([for pin in local.pins : pin == var.ca_pin])
    error_message = "This invite is for another cluster: it pins ${try(local.pins[0], "")}, and ca_pin is ${coalesce(var.ca_pin, "-")}."
  }
  precondition {
    condition     = var.embed || length(var.joiner_sha256) > 0 || local.count == 0
    error_message = "joiner_sha256 is needed: machines fetch the joiner from a broker, and run only what has this SHA-256. If the image has the joiner's package, set embed = true."
  }
  precondition {
    condition     = local.tokens || !local.leaks
    error_message = "A swarm join token stands in the user-data, which everything on the machine can read. Leave it out of extra, on_failure and advertise_addr: the invite is what a machine joins with."
  }
  precondition {
    condition     = alltrue([for bytes in local.bytes : bytes <= 16384])
    error_message = "The user-data would have ${max(0, local.bytes...)} bytes, and EC2 takes at most 16384: shorten extra, or give the invite fewer labels and networks."
  }
}

output "user_data_base64" {
  description = "The same in base64, as launch templates take it."
  value       = local.encoded
  sensitive   = true
}

output "bytes" {
  description = "How long the user-data of each machine is."
  value       = local.bytes
}
