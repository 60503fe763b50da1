# Three identities. Fargate itself reads secrets and images, and writes the output: for the servers those that
# servers need, for the init task the administrator's password too. The servers themselves reach the register,
# the static copy and the signature of one key, and delete nothing but partial tiles of that copy.
locals {
  task_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })

  start = concat([
    {
      Sid       = "Decrypt"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = [aws_kms_key.data.arn]
      Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
    },
    {
      Sid      = "Output"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.log.arn}:log-stream:*"]
    },
    ], var.ecr_repository_arn == null ? [] : [
    {
      Sid      = "Image"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
      Resource = [var.ecr_repository_arn]
    },
    {
      Sid      = "Registry" # ECR knows no resource for this
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"]
    },
  ])
  server_secrets = [aws_secretsmanager_secret.log_key.arn, aws_secretsmanager_secret.database_password.arn]
}

resource "aws_iam_role" "start_server" {
  name_prefix        = "${var.name}-start-"
  assume_role_policy = local.task_trust
  tags               = var.tags
}

resource "aws_iam_role_policy" "start_server" {
  name = "start"
  role = aws_iam_role.start_server.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.start, [{
      Sid      = "Secrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = local.server_secrets
    }])
  })
}

resource "aws_iam_role" "start_init" {
  name_prefix        = "${var.name}-init-"
  assume_role_policy = local.task_trust
  tags               = var.tags
}

resource "aws_iam_role_policy" "start_init" {
  name = "start"
  role = aws_iam_role.start_init.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.start, [{
      Sid      = "Secrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = concat(local.server_secrets, [aws_db_instance.log.master_user_secret[0].secret_arn])
    }])
  })
}

resource "aws_iam_role" "server" {
  name_prefix        = "${var.name}-server-"
  assume_role_policy = local.task_trust
  tags               = var.tags
}

resource "aws_iam_role_policy" "server" {
  name = "server"
  role = aws_iam_role.server.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Register"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = ["${aws_s3_bucket.register.arn}/${var.host}/register", "${aws_s3_bucket.register.arn}/${var.host}/register.probe"]
      },
      {
        Sid      = "MissingOrForbidden" # without it, the store does not say which
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [aws_s3_bucket.register.arn]
      },
      {
        Sid       = "RegisterKey"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [aws_kms_key.data.arn]
        Condition = { StringEquals = { "kms:ViaService" = "s3.${local.region}.amazonaws.com" } }
      },
      {
        Sid      = "RekorV1"
        Effect   = "Allow"
        Action   = ["kms:Sign", "kms:GetPublicKey", "kms:DescribeKey"]
        Resource = [aws_kms_key.rekor_v1.arn]
      },
      ], var.static_copy ? [
      {
        Sid      = "StaticCopy"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = ["${aws_s3_bucket.static[0].arn}/log/*"]
      },
      {
        Sid      = "StaticCopyPartialTiles" # older ones are removed; the bucket keeps them as versions
        Effect   = "Allow"
        Action   = ["s3:DeleteObject"]
        Resource = ["${aws_s3_bucket.static[0].arn}/log/tile/*.p/*"]
      },
      {
        Sid      = "StaticCopyMissing"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [aws_s3_bucket.static[0].arn]
      },
    ] : [])
  })
}
