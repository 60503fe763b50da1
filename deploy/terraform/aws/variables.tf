variable "name" {
  description = "Beginning of the names of all resources."
  type        = string
  default     = "indelible"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "2 to 20 small letters, digits and hyphens, a letter first."
  }
}

variable "host" {
  description = "The log's host name. It is also its origin, the first line of every checkpoint, which can never change."
  type        = string
  nullable    = false
}

variable "vkey" {
  description = "The vkey that logcli keygen --origin HOST printed."
  type        = string
  nullable    = false
  validation {
    condition     = startswith(var.vkey, "${var.host}+")
    error_message = "The vkey has another name than host: make the key with logcli keygen --origin HOST."
  }
}

variable "log_key" {
  description = "The content of the file that logcli keygen --origin HOST made. It goes to Secrets Manager, and neither into plans nor into the state. Give it whenever log_key_version is new; else null."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "log_key_version" {
  description = "Raise it to store log_key once more. A log's key never changes; its form may, if a password was added."
  type        = number
  default     = 1
}

variable "database_password_version" {
  description = "Raise it to make a new password of the log's database user. Then run the init task, and force a new deployment of the service."
  type        = number
  default     = 1
}

variable "initialized" {
  description = "Whether the init task has run (output init_command). Until then no server is started."
  type        = bool
  default     = false
}

variable "image" {
  description = "The image of logserver, by its digest."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest: REGISTRY/logserver@sha256:…"
  }
}

variable "ecr_repository_arn" {
  description = "The ECR repository that image is in. null: it is pulled without credentials."
  type        = string
  default     = null
}

variable "helper_images" {
  description = "Images with a shell that write the secrets to a file, and with MariaDB's client that makes the database user."
  type        = object({ shell = string, client = string })
  default = {
    shell  = "public.ecr.aws/docker/library/busybox:1.37"
    client = "public.ecr.aws/docker/library/mariadb:11.8"
  }
}

variable "vpc_id" {
  type     = string
  nullable = false
}

variable "private_subnet_ids" {
  description = "Subnets of servers and database, in two zones or more, with a way to S3, KMS, Secrets Manager and CloudWatch (NAT or endpoints)."
  type        = list(string)
  validation {
    condition     = length(var.private_subnet_ids) >= 2
    error_message = "Two zones at least: RDS and the load balancer need them."
  }
}

variable "load_balancer_subnet_ids" {
  description = "Subnets of the load balancer, in two zones or more."
  type        = list(string)
}

variable "internal" {
  description = "Whether the load balancer has private addresses only."
  type        = bool
  default     = true
}

variable "certificate_arn" {
  description = "The certificate (ACM) of host."
  type        = string
  nullable    = false
}

variable "client_cidrs" {
  description = "Networks that may read the log."
  type        = list(string)
  nullable    = false
}

variable "writer_cidrs" {
  description = "Networks, 1 to 5, of client_cidrs that may write to the log: the log itself takes all that is validly signed."
  type        = list(string)
  nullable    = false
  validation {
    condition     = length(var.writer_cidrs) >= 1 && length(var.writer_cidrs) <= 5
    error_message = "1 to 5 networks, which is what one rule of the load balancer takes."
  }
}

variable "replicas" {
  type    = number
  default = 2
}

variable "cpu" {
  description = "Fargate's CPU units of one server."
  type        = number
  default     = 1024
}

variable "memory" {
  description = "Memory of one server in MiB."
  type        = number
  default     = 2048
}

variable "engine" {
  description = "mariadb or mysql. The log is tested on MariaDB 11.8 and MySQL 9.7; not on MySQL 8.4."
  type        = object({ name = string, version = string })
  default     = { name = "mariadb", version = "11.8" }
  validation {
    condition     = contains(["mariadb", "mysql"], var.engine.name)
    error_message = "mariadb or mysql."
  }
}

variable "database_class" {
  type    = string
  default = "db.m7g.large"
}

variable "database_storage" {
  description = "GB at the start, and at most: RDS grows by itself."
  type        = object({ initial = number, maximum = number })
  default     = { initial = 100, maximum = 1000 }
}

variable "backup_retention_days" {
  description = "How far back the database can be restored to any second."
  type        = number
  default     = 35
  validation {
    condition     = var.backup_retention_days >= 7 && var.backup_retention_days <= 35
    error_message = "7 to 35 days."
  }
}

variable "register_history_days" {
  description = "How long older versions of the register are kept. Each publication makes one."
  type        = number
  default     = 400
}

variable "break_glass_arns" {
  description = "Roles that may delete a version of the register. Empty: nobody."
  type        = list(string)
  default     = []
}

variable "static_copy" {
  description = "Whether checkpoint and tiles are published to a bucket behind CloudFront, so that public reads cost the database nothing."
  type        = bool
  default     = true
}

variable "settings" {
  description = "More settings of logserver, as environment variables (docs/configuration.md)."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for k in keys(var.settings) : startswith(k, "INDELIBLE_")]) && !contains(keys(var.settings), "INDELIBLE_MYSQL_DSN")
    error_message = "Variables that begin with INDELIBLE_, and no DSN, which is a secret."
  }
}

variable "alarm_actions" {
  description = "ARNs of SNS topics that alarms go to."
  type        = list(string)
  default     = []
}

variable "tags" {
  type    = map(string)
  default = {}
}
