# What must hold of every log that this module makes. No cloud is needed: terraform init && terraform test
mock_provider "aws" {
  override_during = plan # an apply would be destroyed afterwards, which prevent_destroy forbids
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_subnet" {
    defaults = { cidr_block = "10.0.0.0/24" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::a-bucket" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:a-secret" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:111122223333:log-group:indelible" }
  }
  mock_resource "aws_cloudfront_distribution" {
    defaults = { arn = "arn:aws:cloudfront::111122223333:distribution/E1", domain_name = "d1.cloudfront.net" }
  }
  mock_resource "aws_db_instance" {
    defaults = { address = "indelible.rds.example", master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:rds-administrator", kms_key_id = "k", secret_status = "active" }] }
  }
}

override_data {
  target = data.http.database_authorities
  values = { status_code = 200, response_body = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" }
}

variables {
  host                     = "log.example.com"
  vkey                     = "log.example.com+68e25b55+AZqcGXmBq5RMPjaADo1kAOkhYyKGhGIZMS7WtFGm4sSc"
  log_key                  = "a private key"
  image                    = "registry.example.com/logserver@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  ecr_repository_arn       = "arn:aws:ecr:eu-central-1:111122223333:repository/logserver"
  vpc_id                   = "vpc-1"
  private_subnet_ids       = ["subnet-1", "subnet-2"]
  load_balancer_subnet_ids = ["subnet-3", "subnet-4"]
  certificate_arn          = "arn:aws:acm:eu-central-1:111122223333:certificate/1"
  client_cidrs             = ["10.0.0.0/8"]
  writer_cidrs             = ["10.20.0.0/16"]
}

run "a_log" {
  command = plan

  assert {
    condition = (aws_db_instance.log.deletion_protection && !aws_db_instance.log.skip_final_snapshot && !aws_db_instance.log.delete_automated_backups
    && aws_db_instance.log.backup_retention_period == 35 && aws_db_instance.log.multi_az && aws_db_instance.log.storage_encrypted && !aws_db_instance.log.publicly_accessible)
    error_message = "The database is protected against deletion, restorable to any second, in two zones, encrypted and private."
  }
  assert {
    condition     = aws_db_instance.log.manage_master_user_password && aws_db_instance.log.password == null && aws_secretsmanager_secret_version.log_key.secret_string == null && aws_secretsmanager_secret_version.database_password.secret_string == null
    error_message = "No secret is an ordinary argument."
  }
  assert {
    condition     = { for p in aws_db_parameter_group.log.parameter : p.name => p.value } == { innodb_flush_log_at_trx_commit = "1", sync_binlog = "1", binlog_format = "ROW", max_allowed_packet = "16777216", require_secure_transport = "1" }
    error_message = "The database loses nothing that it acknowledged, and demands TLS."
  }
  assert {
    condition = (aws_s3_bucket_versioning.register.versioning_configuration[0].status == "Enabled" && !aws_s3_bucket.register.force_destroy
      && alltrue([for r in aws_s3_bucket_lifecycle_configuration.register.rule : length(r.expiration) == 0 && r.noncurrent_version_expiration[0].newer_noncurrent_versions == 100])
    && aws_s3_bucket_public_access_block.register.block_public_policy && aws_s3_bucket_public_access_block.register.restrict_public_buckets)
    error_message = "The register's bucket keeps its versions, the newest for ever, and is private."
  }
  assert {
    condition = anytrue([for s in jsondecode(aws_s3_bucket_policy.register.policy).Statement :
    s.Effect == "Deny" && s.Principal == "*" && contains(flatten([s.Action]), "s3:DeleteObjectVersion") && try(s.Condition.StringNotEquals["aws:PrincipalArn"], null) == ["nobody"]])
    error_message = "Nobody may delete a version of the register."
  }
  assert {
    condition     = alltrue([for k in [aws_kms_key.data, aws_kms_key.rekor_v1] : k.deletion_window_in_days == 30]) && aws_kms_key.data.enable_key_rotation && aws_kms_key.rekor_v1.customer_master_key_spec == "ECC_NIST_P256"
    error_message = "Keys wait 30 days before they are deleted; Rekor v1 signs with P-256."
  }
  assert {
    condition = alltrue(flatten([for p in [aws_iam_role_policy.server, aws_iam_role_policy.start_server, aws_iam_role_policy.start_init] : [
      for s in jsondecode(p.policy).Statement : concat(
        [for a in s.Action : !strcontains(a, "*") && (!strcontains(a, "Delete") || s.Resource == ["arn:aws:s3:::a-bucket/log/tile/*.p/*"])],
    [for r in s.Resource : r != "*" || s.Action == ["ecr:GetAuthorizationToken"]])]]))
    error_message = "No identity has a wildcard for its actions, may delete more than partial tiles of the static copy, or reaches every resource."
  }
  assert {
    condition = (!strcontains(aws_iam_role_policy.start_server.policy, "rds-administrator") && strcontains(aws_iam_role_policy.start_init.policy, "rds-administrator")
    && !strcontains(aws_iam_role_policy.server.policy, "secretsmanager:GetSecretValue"))
    error_message = "Only the init task starts with the administrator's password, and no server reads a secret by itself."
  }
  assert {
    condition = (alltrue([for r in aws_vpc_security_group_ingress_rule.clients : r.cidr_ipv4 != "0.0.0.0/0" && r.from_port == 443 && r.to_port == 443])
      && aws_vpc_security_group_ingress_rule.database.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.database.from_port == 3306
    && aws_vpc_security_group_ingress_rule.server.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.server.from_port == 8080 && aws_vpc_security_group_ingress_rule.server.to_port == 8080)
    error_message = "The database is reached by servers alone, a server by the load balancer alone, at one port, and the load balancer by the clients named."
  }
  assert {
    condition     = aws_lb_listener.log.default_action[0].type == "fixed-response" && one([for c in aws_lb_listener_rule.writes.condition : c.source_ip[0].values if length(c.source_ip) > 0]) == toset(var.writer_cidrs)
    error_message = "Only the writers may write."
  }
  assert {
    condition     = aws_lb.log.enable_deletion_protection && aws_lb.log.internal
    error_message = "The load balancer is internal, and protected against deletion."
  }
  assert {
    condition     = aws_ecs_service.log.desired_count == 0 && output.trusted_root == null && output.vkey == var.vkey
    error_message = "Before init there are no servers; the vkey is known."
  }
  assert {
    condition = alltrue([for d in [aws_ecs_task_definition.server, aws_ecs_task_definition.init] : alltrue([for c in jsondecode(d.container_definitions) :
    c.readonlyRootFilesystem && length([for e in c.environment : e if strcontains(e.value, "private key")]) == 0])])
    error_message = "Containers write to no root, and no secret is in their environment as text."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.over) == 5 && length(aws_cloudwatch_metric_alarm.under) == 2 && strcontains(aws_cloudwatch_log_metric_filter.errors["poisoned"].pattern, "POISONED")
    error_message = "Alarms watch errors, poison, servers, answers, disk and processor."
  }
  assert {
    condition     = one(aws_cloudfront_distribution.static[0].origin).origin_path == "/log" && aws_s3_bucket_public_access_block.static[0].block_public_policy && output.static_url == "https://d1.cloudfront.net"
    error_message = "The static copy is read through CloudFront alone."
  }
}

run "without_a_static_copy" {
  command = plan
  variables {
    static_copy = false
  }
  assert {
    condition     = length(aws_s3_bucket.static) == 0 && length(aws_cloudfront_distribution.static) == 0 && output.static_url == null && !strcontains(aws_ecs_task_definition.server.family, "static")
    error_message = "There is no bucket and no distribution."
  }
}

run "nobody_writes" {
  command = plan
  variables {
    writer_cidrs = []
  }
  expect_failures = [var.writer_cidrs]
}

run "the_key_of_another_log" {
  command = plan
  variables {
    host = "other.example.com"
  }
  expect_failures = [var.vkey]
}

run "an_image_by_its_tag" {
  command = plan
  variables {
    image = "registry.example.com/logserver:latest"
  }
  expect_failures = [var.image]
}

run "a_dsn_in_plain_text" {
  command = plan
  variables {
    settings = { INDELIBLE_MYSQL_DSN = "user:password@tcp(db)/log" }
  }
  expect_failures = [var.settings]
}
