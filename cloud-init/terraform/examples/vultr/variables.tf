variable "machines" {
  description = "How many workers."
  type        = number
  default     = 0
}

variable "joined" {
  description = "How many of them are in the swarm already. 'scale' keeps count."
  type        = number
  default     = 0
}

variable "region" {
  description = "Where."
  type        = string
  default     = "fra"
}

variable "plan" {
  description = "What kind of instance."
  type        = string
  default     = "vc2-1c-1gb"
}

variable "os" {
  description = "An operating system with cloud-init and systemd, by the name that Vultr lists it under."
  type        = string
  default     = "Debian 12 x64 (bookworm)"
}

variable "vpc_id" {
  description = "The private network that the managers are in. Left out: a new one is made, to put managers into."
  type        = string
  default     = null
}

variable "vpc_range" {
  description = "The addresses of the private network."
  type        = string
  default     = "10.20.0.0/20"
}

variable "name" {
  description = "What the machines' names begin with."
  type        = string
  default     = "worker"
}

variable "extra" {
  description = "More cloud-config for all of them."
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
  description = "SHA-256 of the joiner, by kind of processor: x86_64, aarch64."
  type        = map(string)
  default     = {}
}

variable "embed" {
  description = "The image has the joiner's package."
  type        = bool
  default     = false
}

variable "install_docker" {
  description = "Install Docker where there is none."
  type        = bool
  default     = true
}

variable "advertise_addr" {
  description = "The address, interface or network by which other nodes reach a machine. Left out: the address by which it reaches the manager, which is a private one."
  type        = string
  default     = null
}

variable "on_failure" {
  description = "A command that a machine runs if it was refused. Nothing is replaced by itself here."
  type        = string
  default     = null
}
