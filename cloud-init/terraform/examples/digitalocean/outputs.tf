output "workers" {
  description = "The workers' private addresses, by name."
  value       = { for droplet in digitalocean_droplet.worker : droplet.name => droplet.ipv4_address_private }
}

output "vpc_uuid" {
  description = "The private network they are in."
  value       = var.vpc_uuid == null ? digitalocean_vpc.swarm[0].id : var.vpc_uuid
}
