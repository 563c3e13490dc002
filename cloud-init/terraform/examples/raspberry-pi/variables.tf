variable "machines" {
  description = "How many Raspberry Pis."
  type        = number
  default     = 0
}

variable "joined" {
  description = "How many of them have their card already. 'scale' keeps count."
  type        = number
  default     = 0
}

variable "name" {
  description = "What their host names begin with."
  type        = string
  default     = "pi"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,55}$", var.name))
    error_message = "name must be lower-case letters, digits and hyphens, as host names are."
  }
}

variable "extra" {
  description = "More cloud-config for all of them: Wi-Fi is not in it but in a file network-config of your own, on the card."
  type        = any
  default     = {}
}

# What 'broker cloud-init worker --format tfvars' writes.

variable "invite" {
  description = "The invite."
  type        = string
  default     = null
  sensitive   = true
}

variable "joiner_sha256" {
  description = "SHA-256 of the joiner for aarch64."
  type        = map(string)
  default     = {}
}

variable "embed" {
  description = "The card's image has the joiner's package."
  type        = bool
  default     = false
}

variable "install_docker" {
  description = "Install Docker where there is none."
  type        = bool
  default     = true
}

variable "advertise_addr" {
  description = "The address, interface or network by which other nodes reach a Pi."
  type        = string
  default     = null
}

variable "on_failure" {
  description = "A command that a Pi runs if it was refused."
  type        = string
  default     = null
}
