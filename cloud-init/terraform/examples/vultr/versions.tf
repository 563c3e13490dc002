terraform {
  required_version = ">= 1.9"

  required_providers {
    vultr = {
      source  = "vultr/vultr"
      version = "~> 2.19"
    }
  }
}

# The key comes from the environment: VULTR_API_KEY.
provider "vultr" {}
