resource "aws_cloudwatch_log_group" "log" {
  name              = "/indelible/${var.name}"
  retention_in_days = 400
  tags              = var.tags
}

resource "aws_ecs_cluster" "log" {
  name = var.name
  tags = var.tags
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

locals {
  run = "/run/indelible" # a volume of the task, in which the first container writes what must be a file

  environment = merge(var.settings, {
    AWS_REGION                 = local.region
    INDELIBLE_DATA_DIR         = "/var/lib/indelible"
    INDELIBLE_ADMIN            = "127.0.0.1:8082"
    INDELIBLE_HTTP             = ":8080"
    INDELIBLE_GRPC             = "127.0.0.1:8081"
    INDELIBLE_STORAGE          = "mysql"
    INDELIBLE_MYSQL_TLS_CA     = "${local.run}/database-ca.pem"
    INDELIBLE_LOG_KEY          = "${local.run}/log.key"
    INDELIBLE_ORIGIN           = var.host
    INDELIBLE_PUBLIC_URL       = local.url
    INDELIBLE_REGISTER         = "s3://${aws_s3_bucket.register.bucket}/${var.host}?region=${local.region}"
    INDELIBLE_REKOR_V1_KEY     = "awskms:///${aws_kms_key.rekor_v1.arn}"
    INDELIBLE_REKOR_V1_HOST    = var.host
    INDELIBLE_TRUSTED_PROXIES  = join(",", sort([for s in data.aws_subnet.load_balancer : s.cidr_block]))
    INDELIBLE_SHUTDOWN_DELAY   = "10s"
    INDELIBLE_SHUTDOWN_TIMEOUT = "15s"
    }, var.static_copy ? {
    INDELIBLE_PUBLISH_TO = "s3://${aws_s3_bucket.static[0].bucket}/log?region=${local.region}"
  } : {})

  output = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.log.name
      awslogs-region        = local.region
      awslogs-stream-prefix = "log"
    }
  }

  # ECS gives secrets to environments only, and logserver reads its key from a file that no one else can read.
  files = {
    name                   = "files"
    image                  = var.helper_images.shell
    essential              = false
    user                   = "0"
    readonlyRootFilesystem = true
    entryPoint             = ["sh", "-euc"]
    command                = ["umask 077; printf '%s\\n' \"$LOG_KEY\" > ${local.run}/log.key; printf '%s' \"$DATABASE_CA\" > ${local.run}/database-ca.pem; chown -R 65532:65532 ${local.run}"]
    environment            = [{ name = "DATABASE_CA", value = data.http.database_authorities.response_body }]
    secrets                = [{ name = "LOG_KEY", valueFrom = aws_secretsmanager_secret.log_key.arn }]
    mountPoints            = [{ sourceVolume = "run", containerPath = local.run, readOnly = false }]
    logConfiguration       = local.output
  }

  server = {
    name                   = "logserver"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] }, initProcessEnabled = false }
    environment            = [for k in sort(keys(local.environment)) : { name = k, value = local.environment[k] }]
    secrets                = [{ name = "INDELIBLE_MYSQL_DSN", valueFrom = "${aws_secretsmanager_secret.database_password.arn}:dsn::" }]
    mountPoints            = [{ sourceVolume = "run", containerPath = local.run, readOnly = true }]
    logConfiguration       = local.output
  }

  # A user with all rights in the log's database, and none outside of it.
  user = {
    name                   = "user"
    image                  = var.helper_images.client
    essential              = false
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    entryPoint             = ["sh", "-euc"]
    command = [<<-SH
      mariadb --host="$HOST" --user=administrator --ssl-ca=${local.run}/database-ca.pem --ssl-verify-server-cert <<SQL
      CREATE USER IF NOT EXISTS '${local.database_user}'@'%' IDENTIFIED BY '$PASSWORD' REQUIRE SSL;
      ALTER USER '${local.database_user}'@'%' IDENTIFIED BY '$PASSWORD' REQUIRE SSL;
      GRANT ALL ON ${local.database}.* TO '${local.database_user}'@'%';
      ${var.engine.name == "mysql" ? "GRANT REPLICATION CLIENT ON *.* TO '${local.database_user}'@'%';" : ""}
      SQL
    SH
    ]
    environment = [{ name = "HOST", value = aws_db_instance.log.address }]
    secrets = [
      { name = "MYSQL_PWD", valueFrom = "${aws_db_instance.log.master_user_secret[0].secret_arn}:password::" },
      { name = "PASSWORD", valueFrom = "${aws_secretsmanager_secret.database_password.arn}:password::" },
    ]
    mountPoints      = [{ sourceVolume = "run", containerPath = local.run, readOnly = true }]
    dependsOn        = [{ containerName = "files", condition = "SUCCESS" }]
    logConfiguration = local.output
  }
}

resource "aws_ecs_task_definition" "server" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.start_server.arn
  task_role_arn            = aws_iam_role.server.arn
  tags                     = var.tags
  container_definitions = jsonencode([local.files, merge(local.server, {
    dependsOn    = [{ containerName = "files", condition = "SUCCESS" }]
    portMappings = [{ containerPort = 8080, protocol = "tcp" }]
    stopTimeout  = 30
    healthCheck  = { command = ["CMD", "/usr/bin/logserver", "health"], interval = 10, timeout = 5, retries = 3, startPeriod = 30 }
  })])
  volume {
    name = "run"
  }
}

# Makes the database user and the log: logserver init, once. Servers never make a log.
resource "aws_ecs_task_definition" "init" {
  family                   = "${var.name}-init"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = aws_iam_role.start_init.arn
  task_role_arn            = aws_iam_role.server.arn
  tags                     = var.tags
  container_definitions = jsonencode([local.files, local.user, merge(local.server, {
    command   = ["init", "--adopt-key"] # the key was made before; the register refuses to be made twice
    dependsOn = [{ containerName = "user", condition = "SUCCESS" }]
  })])
  volume {
    name = "run"
  }
}

resource "aws_ecs_service" "log" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.log.id
  task_definition                    = aws_ecs_task_definition.server.arn
  launch_type                        = "FARGATE"
  desired_count                      = var.initialized ? var.replicas : 0
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 60
  enable_execute_command             = false
  wait_for_steady_state              = true
  propagate_tags                     = "SERVICE"
  tags                               = var.tags
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.server.id]
    assign_public_ip = false
  }
  load_balancer {
    target_group_arn = aws_lb_target_group.log.arn
    container_name   = "logserver"
    container_port   = 8080
  }
  depends_on = [aws_lb_listener.log, aws_iam_role_policy.start_server, aws_iam_role_policy.server]
}
