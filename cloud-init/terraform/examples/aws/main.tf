module "joiner" {
  source = "../.."

  machines = var.machines
  # In a group any machine may be replaced, so there must be uses for all of them.
  joined         = var.scaling_group ? 0 : var.joined
  invite         = var.invite
  joiner_sha256  = var.joiner_sha256
  embed          = var.embed
  install_docker = var.install_docker && !var.embed
  advertise_addr = var.advertise_addr
  on_failure     = var.on_failure
  extra          = var.extra
}
