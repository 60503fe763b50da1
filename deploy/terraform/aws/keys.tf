# Encrypts database, secrets and register.
resource "aws_kms_key" "data" {
  description             = "${var.name}: database, secrets and register"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags
  lifecycle {
    prevent_destroy = true
  }
}

# Signs for Rekor v1's API. The log's own key is an Ed25519 key, which logserver reads from a file.
resource "aws_kms_key" "rekor_v1" {
  description              = "${var.name}: key of the Rekor v1 API"
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = "ECC_NIST_P256"
  deletion_window_in_days  = 30
  tags                     = var.tags
  lifecycle {
    prevent_destroy = true
  }
}

data "aws_kms_public_key" "rekor_v1" {
  key_id = aws_kms_key.rekor_v1.arn
}

resource "aws_secretsmanager_secret" "log_key" {
  name                    = "${var.name}-log-key"
  description             = "The log's Ed25519 key. Whoever has it signs as the log. Keep a copy offline: without it the log ends."
  kms_key_id              = aws_kms_key.data.arn
  recovery_window_in_days = 30
  tags                    = var.tags
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_secretsmanager_secret_version" "log_key" {
  secret_id                = aws_secretsmanager_secret.log_key.id
  secret_string_wo         = var.log_key
  secret_string_wo_version = var.log_key_version
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_secretsmanager_secret" "database_password" {
  name                    = "${var.name}-database-password"
  description             = "Password of the log's user in the database."
  kms_key_id              = aws_kms_key.data.arn
  recovery_window_in_days = 30
  tags                    = var.tags
}

ephemeral "random_password" "database" {
  length  = 40
  special = false # it stands in a DSN and in SQL
}

# A password and a DSN with it must be one and the same, also if an apply ends between the two: so they
# are one secret with two fields.
resource "aws_secretsmanager_secret_version" "database_password" {
  secret_id = aws_secretsmanager_secret.database_password.id
  secret_string_wo = jsonencode({
    password = ephemeral.random_password.database.result
    dsn      = "${local.database_user}:${ephemeral.random_password.database.result}@tcp(${aws_db_instance.log.address}:3306)/${local.database}"
  })
  secret_string_wo_version = var.database_password_version
}
