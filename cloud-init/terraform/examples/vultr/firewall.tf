# What nodes of a swarm say to each other, and nothing else. No port 22: nobody logs in to a worker.
# A group with any rule lets nothing else in; what goes out, it does not look at.

locals {
  # Among all nodes: who is there, and the overlay networks.
  gossip = {
    "7946/tcp" = { protocol = "tcp", port = "7946" }
    "7946/udp" = { protocol = "udp", port = "7946" }
    "4789/udp" = { protocol = "udp", port = "4789" }
  }

  # From workers to managers: the broker, and Docker's own manager port.
  managers = {
    "7443/tcp" = { protocol = "tcp", port = "7443" }
    "2377/tcp" = { protocol = "tcp", port = "2377" }
  }
}

resource "vultr_firewall_group" "worker" {
  description = "${var.name}: swarm workers"
}

resource "vultr_firewall_rule" "worker" {
  for_each = local.gossip

  firewall_group_id = vultr_firewall_group.worker.id
  ip_type           = "v4"
  protocol          = each.value.protocol
  port              = each.value.port
  subnet            = split("/", var.vpc_range)[0]
  subnet_size       = tonumber(split("/", var.vpc_range)[1])
  notes             = "swarm"
}

# An instance has one group. Managers that have none yet can take this one.
resource "vultr_firewall_group" "manager" {
  description = "${var.name}: swarm managers"
}

resource "vultr_firewall_rule" "manager" {
  for_each = merge(local.gossip, local.managers)

  firewall_group_id = vultr_firewall_group.manager.id
  ip_type           = "v4"
  protocol          = each.value.protocol
  port              = each.value.port
  subnet            = split("/", var.vpc_range)[0]
  subnet_size       = tonumber(split("/", var.vpc_range)[1])
  notes             = "swarm"
}
