# Writes, for each Pi, what belongs on the boot partition of its card.

module "joiner" {
  source = "../.."

  machines       = var.machines
  joined         = var.joined
  invite         = var.invite
  joiner_sha256  = var.joiner_sha256
  embed          = var.embed
  install_docker = var.install_docker && !var.embed
  advertise_addr = var.advertise_addr
  on_failure     = var.on_failure
  extra          = var.extra
}

resource "terraform_data" "card" {
  count = var.machines

  input = {
    name   = "${var.name}-${count.index + 1}"
    folder = "cards/${var.name}-${count.index + 1}"
  }
  triggers_replace = module.joiner.user_data[count.index]

  # A Pi that is in needs no other card because the next one gets another invite.
  lifecycle {
    ignore_changes = [triggers_replace]
  }

  # The texts go through the environment: arguments can be read by every user of this machine.
  provisioner "local-exec" {
    command = <<-SHELL
      set -eu
      umask 077
      mkdir -p "$folder"
      printf '%s' "$user_data" >"$folder/user-data"
      printf 'instance-id: %s\nlocal-hostname: %s\n' "$name" "$name" >"$folder/meta-data"
    SHELL
    environment = {
      folder    = self.input.folder
      name      = self.input.name
      user_data = module.joiner.user_data[count.index]
    }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "if [ -d \"$folder\" ]; then rm -f \"$folder/user-data\" \"$folder/meta-data\" && rmdir \"$folder\"; fi"
    environment = { folder = self.input.folder }
  }
}
