# An autoscaling group. Its user-data lives on: give the invite enough uses, time and networks for what it will replace.

resource "aws_launch_template" "worker" {
  count = var.scaling_group && var.machines > 0 ? 1 : 0

  name_prefix   = "${var.name}-"
  image_id      = var.image
  instance_type = var.instance_type
  user_data     = module.joiner.user_data_base64[0]

  # on_failure ends a machine that was refused.
  instance_initiated_shutdown_behavior = "terminate"

  vpc_security_group_ids = [aws_security_group.worker.id]

  # The answer of the metadata service lives for one hop: containers on a bridge cannot read the user-data.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = var.name }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_autoscaling_group" "worker" {
  count = var.scaling_group && var.machines > 0 ? 1 : 0

  name_prefix         = "${var.name}-"
  desired_capacity    = var.machines
  min_size            = 0
  max_size            = max(var.most, var.machines)
  vpc_zone_identifier = var.subnet_ids
  health_check_type   = "EC2"

  # A machine is in service long before it is refused, so waiting for that would tell nothing.
  wait_for_capacity_timeout = "0"

  # A new invite makes a new version, for machines that start from then on. There is no instance_refresh: those that are
  # in stay.
  launch_template {
    id      = aws_launch_template.worker[0].id
    version = aws_launch_template.worker[0].latest_version
  }

  tag {
    key                 = "Name"
    value               = var.name
    propagate_at_launch = true
  }
}
