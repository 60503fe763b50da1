module "trust" {
  source       = "../trust"
  vkey         = var.vkey
  url          = local.url
  rekor_v1_key = data.aws_kms_public_key.rekor_v1.public_key
  initialized  = var.initialized
  depends_on   = [aws_ecs_service.log]
}

output "vkey" {
  description = "The log's vkey, for verifiers."
  value       = module.trust.vkey
}

output "trusted_root" {
  description = "trusted_root.json for Sigstore's clients; null until initialized."
  value       = module.trust.trusted_root
}

output "url" {
  value = local.url
}

output "static_url" {
  description = "Where the static copy is read; null without one."
  value       = var.static_copy ? "https://${aws_cloudfront_distribution.static[0].domain_name}" : null
}

output "load_balancer" {
  description = "What a DNS record of host (an alias) must point to."
  value       = { name = aws_lb.log.dns_name, zone_id = aws_lb.log.zone_id }
}

output "init_command" {
  description = "Makes the database user and the log. Run it once; its output is in CloudWatch. Then set initialized = true."
  value = join(" ", [
    "aws ecs run-task --region ${local.region} --cluster ${aws_ecs_cluster.log.name} --task-definition ${aws_ecs_task_definition.init.arn} --launch-type FARGATE",
    "--network-configuration 'awsvpcConfiguration={subnets=[${join(",", var.private_subnet_ids)}],securityGroups=[${aws_security_group.server.id}],assignPublicIp=DISABLED}'",
  ])
}

output "register_bucket" {
  value = aws_s3_bucket.register.bucket
}

output "database_identifier" {
  value = aws_db_instance.log.identifier
}
