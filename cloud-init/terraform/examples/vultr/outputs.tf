output "workers" {
  description = "The workers' private addresses, by name."
  value       = { for instance in vultr_instance.worker : instance.label => instance.internal_ip }
}

output "vpc_id" {
  description = "The private network they are in."
  value       = var.vpc_id == null ? vultr_vpc.swarm[0].id : var.vpc_id
}

output "manager_firewall_group_id" {
  description = "A group that lets workers reach managers."
  value       = vultr_firewall_group.manager.id
}
