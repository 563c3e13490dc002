# No provider: the module renders text, and any cloud's instance takes it.
terraform {
  # A validation may look at other variables from 1.9 on.
  required_version = ">= 1.9"
}
