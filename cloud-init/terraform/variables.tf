variable "machines" {
  description = "How many machines to render user-data for."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.machines >= 0 && floor(var.machines) == var.machines
    error_message = "machines must be a whole number, 0 or more."
  }
}

variable "joined" {
  description = "How many of them, from the first on, are in the swarm already: the invite needs no use for these."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.joined >= 0 && floor(var.joined) == var.joined
    error_message = "joined must be a whole number, 0 or more."
  }
}

# What is wrong with an invite is told by the output user_data: a variable's own validation shows the value that it refuses,
# even if it is sensitive.
variable "invite" {
  description = "One invite for all machines: the line that 'broker invite create --uses N' printed. It may be left out once all are in."
  type        = string
  default     = null
  sensitive   = true
}

variable "invites" {
  description = "In place of invite: one invite for each machine, in their order. A machine that is in already may keep its old one."
  type        = list(string)
  default     = null
  sensitive   = true
}

variable "ca_pin" {
  description = "The pin that 'broker init' and 'broker status' show. If it is given, an invite of any other cluster is an error."
  type        = string
  default     = null

  validation {
    condition     = var.ca_pin == null || can(regex("^[\\w-]{43}$", coalesce(var.ca_pin, "-")))
    error_message = "ca_pin must be the 43 characters that 'broker init' and 'broker status' show as pin."
  }
}

variable "joiner_sha256" {
  description = "SHA-256 of the joiner for each kind of processor the machines may have: x86_64, aarch64. The machines run nothing else."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for architecture in keys(var.joiner_sha256) : contains(["x86_64", "aarch64"], architecture)])
    error_message = "joiner_sha256 knows the architectures x86_64 and aarch64."
  }
  validation {
    condition     = alltrue([for hash in values(var.joiner_sha256) : can(regex("^[0-9a-f]{64}$", hash))])
    error_message = "Each joiner_sha256 must be 64 lower-case hex digits, as sha256sum prints them."
  }
}

variable "embed" {
  description = "The image has the joiner's package, so nothing is fetched."
  type        = bool
  default     = false
  nullable    = false
}

variable "install_docker" {
  description = "Install the distribution's Docker on machines that have none."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.install_docker && var.embed)
    error_message = "install_docker is for machines that fetch the joiner too: leave embed or install_docker away."
  }
}

variable "brokers" {
  description = "Where machines fetch the joiner: HOST or HOST:PORT. Left out: where the invite says the brokers are."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for broker in var.brokers : can(regex("^([\\w.-]+(:\\d+)?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|\\[[0-9A-Fa-f:.]+\\](:\\d+)?)$", broker))])
    error_message = "Each of brokers must be HOST, HOST:PORT, IPv6 or [IPv6]:PORT."
  }
}

variable "advertise_addr" {
  description = "The address, interface or network by which other nodes reach a machine. Left out: Docker's own choice."
  type        = string
  default     = null

  validation {
    condition     = can(regex("^[^[:cntrl:]]*$", coalesce(var.advertise_addr, "-")))
    error_message = "advertise_addr must be one line of text."
  }
}

variable "on_failure" {
  description = "A command that a machine runs if it was refused, to have itself replaced."
  type        = string
  default     = null

  validation {
    condition     = can(regex("^[^[:cntrl:]]*$", coalesce(var.on_failure, "-")))
    error_message = "on_failure must be one line of text."
  }
}

variable "extra" {
  description = "More cloud-config, merged in: its write_files come after ours, its runcmd before ours, so that it can prepare the join."
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = can(keys(var.extra)) && can(concat(try(var.extra.write_files, []), try(var.extra.runcmd, []), []))
    error_message = "extra must be an object of cloud-config keys, in which write_files and runcmd are lists."
  }
}
