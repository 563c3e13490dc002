# No provider: what Terraform has built in writes the files.
terraform {
  required_version = ">= 1.9"
}
