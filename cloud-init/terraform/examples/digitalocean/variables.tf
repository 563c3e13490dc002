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
  default     = "fra1"
}

variable "size" {
  description = "What kind of droplet."
  type        = string
  default     = "s-1vcpu-1gb"
}

variable "image" {
  description = "An image with cloud-init and systemd."
  type        = string
  default     = "debian-12-x64"
}

variable "vpc_uuid" {
  description = "The private network that the managers are in. Left out: a new one is made, to put managers into."
  type        = string
  default     = null
}

variable "vpc_range" {
  description = "The addresses of a new private network."
  type        = string
  default     = "10.20.0.0/20"
}

variable "manager_tag" {
  description = "A tag that the managers' droplets have: workers reach them, and they the workers."
  type        = string
  default     = "swarm-manager"
}

variable "worker_tag" {
  description = "A tag for the workers' droplets."
  type        = string
  default     = "swarm-worker"
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
