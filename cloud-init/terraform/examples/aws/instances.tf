# Plain instances, in place of the group.

resource "aws_instance" "worker" {
  count = var.scaling_group ? 0 : var.machines

  ami                    = var.image
  instance_type          = var.instance_type
  subnet_id              = var.subnet_ids[count.index % length(var.subnet_ids)]
  vpc_security_group_ids = [aws_security_group.worker.id]
  user_data_base64       = module.joiner.user_data_base64[count.index]

  # The answer of the metadata service lives for one hop: containers on a bridge cannot read the user-data.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  tags = { Name = "${var.name}-${count.index + 1}" }

  # The next invite, and the next image, are for new machines. Without this, a new invite would stop and start those
  # that are in, and a new image replace them.
  lifecycle {
    ignore_changes = [user_data_base64, user_data, ami]
  }
}
