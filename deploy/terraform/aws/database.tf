locals {
  database      = "indelible"
  database_user = "indelible"
  family        = "${var.engine.name}${var.engine.version}"
}

resource "aws_db_subnet_group" "log" {
  name       = var.name
  subnet_ids = var.private_subnet_ids
  tags       = var.tags
}

# What docs/mysql.md demands, said aloud.
resource "aws_db_parameter_group" "log" {
  name_prefix = "${var.name}-"
  family      = local.family
  tags        = var.tags

  dynamic "parameter" {
    for_each = {
      innodb_flush_log_at_trx_commit = "1"
      sync_binlog                    = "1"
      binlog_format                  = "ROW"
      max_allowed_packet             = "16777216"
      require_secure_transport       = var.engine.name == "mariadb" ? "1" : "ON"
    }
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "log" {
  identifier     = var.name
  engine         = var.engine.name
  engine_version = var.engine.version
  instance_class = var.database_class
  db_name        = local.database
  port           = 3306

  # RDS keeps the password of the administrator itself, in a secret of its own, and changes it.
  username                      = "administrator"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = aws_kms_key.data.arn

  multi_az               = true
  db_subnet_group_name   = aws_db_subnet_group.log.name
  parameter_group_name   = aws_db_parameter_group.log.name
  vpc_security_group_ids = [aws_security_group.database.id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  storage_type          = "gp3"
  allocated_storage     = var.database_storage.initial
  max_allocated_storage = var.database_storage.maximum
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.data.arn

  backup_retention_period   = var.backup_retention_days # with it, restores to any second
  delete_automated_backups  = false
  copy_tags_to_snapshot     = true
  deletion_protection       = true
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-final"

  auto_minor_version_upgrade      = true
  enabled_cloudwatch_logs_exports = ["error"]
  tags                            = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

# RDS's authorities are not among those that browsers trust.
data "http" "database_authorities" {
  url = "https://truststore.pki.rds.amazonaws.com/${local.region}/${local.region}-bundle.pem"
  lifecycle {
    postcondition {
      condition     = self.status_code == 200 && startswith(self.response_body, "-----BEGIN CERTIFICATE-----")
      error_message = "Amazon's page with the authorities of RDS in ${local.region} has no certificates."
    }
  }
}
