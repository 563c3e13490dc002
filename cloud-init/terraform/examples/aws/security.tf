# What nodes of a swarm say to each other, and nothing else. No port 22: nobody logs in to a worker.

locals {
  # Among all nodes: who is there, and the overlay networks.
  gossip = {
    "7946/tcp" = { protocol = "tcp", port = 7946 }
    "7946/udp" = { protocol = "udp", port = 7946 }
    "4789/udp" = { protocol = "udp", port = 4789 }
  }

  # From workers to managers: the broker, and Docker's own manager port.
  managers = {
    "7443/tcp" = { protocol = "tcp", port = 7443 }
    "2377/tcp" = { protocol = "tcp", port = 2377 }
  }
}

resource "aws_security_group" "worker" {
  name_prefix = "${var.name}-"
  description = "Swarm workers"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "among_workers" {
  for_each = local.gossip

  security_group_id            = aws_security_group.worker.id
  referenced_security_group_id = aws_security_group.worker.id
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "from_managers" {
  for_each = local.gossip

  security_group_id            = aws_security_group.worker.id
  referenced_security_group_id = var.manager_security_group_id
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "to_managers" {
  for_each = merge(local.gossip, local.managers)

  security_group_id            = var.manager_security_group_id
  referenced_security_group_id = aws_security_group.worker.id
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
}

# Images and packages come from anywhere.
resource "aws_vpc_security_group_egress_rule" "out" {
  security_group_id = aws_security_group.worker.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
