output "group" {
  description = "The autoscaling group's name, if there is one."
  value       = one(aws_autoscaling_group.worker[*].name)
}

output "workers" {
  description = "The plain instances' private addresses, by name."
  value       = { for instance in aws_instance.worker : instance.tags.Name => instance.private_ip }
}

output "security_group_id" {
  description = "The workers' security group."
  value       = aws_security_group.worker.id
}
