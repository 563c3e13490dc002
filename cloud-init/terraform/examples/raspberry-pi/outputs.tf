output "cards" {
  description = "A folder for each Pi: copy its files to the boot partition of the card, then remove it."
  value       = terraform_data.card[*].input.folder
}

output "workers" {
  description = "The Pis' hostnames, for 'broker nodes --expect'."
  value       = terraform_data.card[*].input.name
}
