terraform {
  required_version = ">= 1.9"

  required_providers {
    digitalocean = {
      source  = "digitalocean/digitalocean"
      version = "~> 2.30"
    }
  }
}

# The token comes from the environment: DIGITALOCEAN_TOKEN.
provider "digitalocean" {}
