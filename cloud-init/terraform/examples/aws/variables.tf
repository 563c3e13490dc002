variable "machines" {
  description = "How many workers."
  type        = number
  default     = 0
}

variable "joined" {
  description = "How many of them are in the swarm already. 'scale' keeps count. A scaling group does not look at it."
  type        = number
  default     = 0
}

variable "scaling_group" {
  description = "true: an autoscaling group, which replaces what breaks. false: plain instances, one by one."
  type        = bool
  default     = true
}

variable "most" {
  description = "The scaling group's largest size."
  type        = number
  default     = 20
}

variable "vpc_id" {
  description = "The private network that the managers are in."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of it for the workers, with a way out to the package and image registries."
  type        = list(string)
}

variable "manager_security_group_id" {
  description = "The managers' security group. It gets rules that let workers in."
  type        = string
}

variable "instance_type" {
  description = "What kind of instance."
  type        = string
  default     = "t3.micro"
}

variable "image" {
  description = "An AMI with cloud-init and systemd, or a parameter that names one."
  type        = string
  default     = "resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
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
  description = "A command that a machine runs if it was refused. It ends with its shutdown, so the group puts another in its place; for plain instances better null."
  type        = string
  default     = "systemctl poweroff"
}
