# Machines of a cloud that is not there: terraform_data is replaced when its trigger changes, as most instances are when
# their user-data does. The plan of more machines with another invite is what the test looks at.

variable "machines" {
  type = number
}

variable "joined" {
  type    = number
  default = 0
}

variable "invite" {
  type      = string
  sensitive = true
}

module "joiner" {
  source = "../.."

  machines = var.machines
  joined   = var.joined
  invite   = var.invite
  embed    = true
}

# As the examples do it.
resource "terraform_data" "worker" {
  count = var.machines

  input            = "worker-${count.index + 1}"
  triggers_replace = module.joiner.user_data[count.index]

  lifecycle {
    ignore_changes = [triggers_replace]
  }
}

# The same without the one line that matters, to show that it does.
resource "terraform_data" "unprotected" {
  count = var.machines

  input            = "worker-${count.index + 1}"
  triggers_replace = module.joiner.user_data[count.index]
}
