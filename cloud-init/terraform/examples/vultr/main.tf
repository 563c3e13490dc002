module "joiner" {
  source = "../.."

  machines       = var.machines
  joined         = var.joined
  invite         = var.invite
  joiner_sha256  = var.joiner_sha256
  embed          = var.embed
  install_docker = var.install_docker && !var.embed
  advertise_addr = var.advertise_addr
  on_failure     = var.on_failure
  extra          = var.extra
}

data "vultr_os" "worker" {
  filter {
    name   = "name"
    values = [var.os]
  }
}

resource "vultr_vpc" "swarm" {
  count = var.vpc_id == null ? 1 : 0

  region         = var.region
  description    = "swarm"
  v4_subnet      = split("/", var.vpc_range)[0]
  v4_subnet_mask = tonumber(split("/", var.vpc_range)[1])
}

resource "vultr_instance" "worker" {
  count = var.machines

  region            = var.region
  plan              = var.plan
  os_id             = data.vultr_os.worker.id
  label             = "${var.name}-${count.index + 1}"
  hostname          = "${var.name}-${count.index + 1}"
  vpc_ids           = [var.vpc_id == null ? vultr_vpc.swarm[0].id : var.vpc_id]
  firewall_group_id = vultr_firewall_group.worker.id
  user_data         = module.joiner.user_data[count.index]
  activation_email  = false

  # The next invite is for new machines. Without this line it would replace those that are in.
  lifecycle {
    ignore_changes = [user_data]
  }
}
