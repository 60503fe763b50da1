# The server writes JSON; an outage is one ERROR when it begins (docs/operations.md).
resource "aws_cloudwatch_log_metric_filter" "errors" {
  for_each       = { errors = "{ $.level = \"ERROR\" }", poisoned = "{ $.msg = \"*POISONED*\" }" }
  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.log.name
  pattern        = each.value
  metric_transformation {
    namespace     = "Indelible/${var.name}"
    name          = each.key
    value         = "1"
    default_value = "0"
  }
}

locals {
  of_database = { DBInstanceIdentifier = aws_db_instance.log.identifier }
  of_balancer = { LoadBalancer = aws_lb.log.arn_suffix, TargetGroup = aws_lb_target_group.log.arn_suffix }
  own         = "Indelible/${var.name}"
  alarms = {
    errors       = { about = "The log has begun to fail at something: read its output.", namespace = local.own, metric = "errors", statistic = "Sum", over = 0, dimensions = {} }
    poisoned     = { about = "The log signs nothing until an operator acts: docs/restore.md.", namespace = local.own, metric = "poisoned", statistic = "Sum", over = 0, dimensions = {} }
    failing      = { about = "Servers answer 5xx.", namespace = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", statistic = "Sum", over = 10, dimensions = local.of_balancer }
    unhealthy    = { about = "A server is not ready.", namespace = "AWS/ApplicationELB", metric = "UnHealthyHostCount", statistic = "Maximum", over = 0, dimensions = local.of_balancer }
    database_cpu = { about = "The database works at its limit.", namespace = "AWS/RDS", metric = "CPUUtilization", statistic = "Average", over = 85, dimensions = local.of_database }
  }
}

resource "aws_cloudwatch_metric_alarm" "over" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.about
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  dimensions          = each.value.dimensions
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.over
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = each.value.statistic == "Sum" ? 1 : 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}

# Nothing is worse for a log than a full disk, or no server at all.
resource "aws_cloudwatch_metric_alarm" "under" {
  for_each = {
    servers = { about = "Too few servers are ready.", namespace = "AWS/ApplicationELB", metric = "HealthyHostCount", under = var.initialized ? var.replicas : 0, missing = "breaching", dimensions = local.of_balancer }
    disk    = { about = "The database's disk is nearly full.", namespace = "AWS/RDS", metric = "FreeStorageSpace", under = 10 * 1024 * 1024 * 1024, missing = "missing", dimensions = local.of_database }
  }
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.about
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = "Minimum"
  dimensions          = each.value.dimensions
  comparison_operator = "LessThanThreshold"
  threshold           = each.value.under
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = var.initialized ? each.value.missing : "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}
