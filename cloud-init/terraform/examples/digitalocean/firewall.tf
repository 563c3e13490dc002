# What nodes of a swarm say to each other, and nothing else. No port 22: nobody logs in to a worker.

locals {
  nodes = [digitalocean_tag.manager.name, digitalocean_tag.worker.name]

  # Among all nodes: who is there, and the overlay networks.
  gossip = [
    { protocol = "tcp", port = "7946" },
    { protocol = "udp", port = "7946" },
    { protocol = "udp", port = "4789" },
  ]

  # From workers to managers: the broker, and Docker's own manager port.
  managers = [
    { protocol = "tcp", port = "7443" },
    { protocol = "tcp", port = "2377" },
  ]
}

resource "digitalocean_firewall" "worker" {
  name = "${var.name}-swarm"
  tags = [digitalocean_tag.worker.name]

  dynamic "inbound_rule" {
    for_each = local.gossip
    content {
      protocol    = inbound_rule.value.protocol
      port_range  = inbound_rule.value.port
      source_tags = local.nodes
    }
  }

  # Images and packages come from anywhere.
  dynamic "outbound_rule" {
    for_each = ["tcp", "udp"]
    content {
      protocol              = outbound_rule.value
      port_range            = "1-65535"
      destination_addresses = ["0.0.0.0/0", "::/0"]
    }
  }
}

# Beside the managers' own firewall, whose rules stay: what any firewall of a droplet lets in comes in.
resource "digitalocean_firewall" "manager" {
  name = "${var.name}-to-managers"
  tags = [digitalocean_tag.manager.name]

  dynamic "inbound_rule" {
    for_each = concat(local.managers, local.gossip)
    content {
      protocol    = inbound_rule.value.protocol
      port_range  = inbound_rule.value.port
      source_tags = local.nodes
    }
  }
}
