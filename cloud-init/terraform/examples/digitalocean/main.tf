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

resource "digitalocean_vpc" "swarm" {
  count = var.vpc_uuid == null ? 1 : 0

  name     = "swarm"
  region   = var.region
  ip_range = var.vpc_range
}

resource "digitalocean_tag" "worker" {
  name = var.worker_tag
}

# The same name as the managers' own: a tag that is there already is taken as it is.
resource "digitalocean_tag" "manager" {
  name = var.manager_tag
}

resource "digitalocean_droplet" "worker" {
  count = var.machines

  name              = "${var.name}-${count.index + 1}"
  region            = var.region
  size              = var.size
  image             = var.image
  vpc_uuid          = var.vpc_uuid == null ? digitalocean_vpc.swarm[0].id : var.vpc_uuid
  tags              = [digitalocean_tag.worker.name]
  user_data         = module.joiner.user_data[count.index]
  droplet_agent     = false
  graceful_shutdown = true

  # The next invite is for new machines. Without this line it would replace those that are in.
  lifecycle {
    ignore_changes = [user_data]
  }
}
