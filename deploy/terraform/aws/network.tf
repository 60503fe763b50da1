data "aws_subnet" "load_balancer" {
  for_each = toset(var.load_balancer_subnet_ids)
  id       = each.value
}

resource "aws_security_group" "load_balancer" {
  name_prefix = "${var.name}-lb-"
  description = "Load balancer of the log"
  vpc_id      = var.vpc_id
  tags        = var.tags
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "server" {
  name_prefix = "${var.name}-server-"
  description = "Servers of the log"
  vpc_id      = var.vpc_id
  tags        = var.tags
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "database" {
  name_prefix = "${var.name}-database-"
  description = "Database of the log"
  vpc_id      = var.vpc_id
  tags        = var.tags
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each          = toset(var.client_cidrs)
  security_group_id = aws_security_group.load_balancer.id
  description       = "Clients"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "Servers"
  referenced_security_group_id = aws_security_group.server.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

resource "aws_vpc_security_group_ingress_rule" "server" {
  security_group_id            = aws_security_group.server.id
  description                  = "Load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

resource "aws_vpc_security_group_egress_rule" "server_database" {
  security_group_id            = aws_security_group.server.id
  description                  = "Database"
  referenced_security_group_id = aws_security_group.database.id
  ip_protocol                  = "tcp"
  from_port                    = 3306
  to_port                      = 3306
}

resource "aws_vpc_security_group_egress_rule" "server_services" {
  security_group_id = aws_security_group.server.id
  description       = "S3, KMS, Secrets Manager, CloudWatch, the image, witnesses"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  description                  = "Servers"
  referenced_security_group_id = aws_security_group.server.id
  ip_protocol                  = "tcp"
  from_port                    = 3306
  to_port                      = 3306
}

resource "aws_lb" "log" {
  name                       = var.name
  internal                   = var.internal
  load_balancer_type         = "application"
  subnets                    = var.load_balancer_subnet_ids
  security_groups            = [aws_security_group.load_balancer.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = true
  idle_timeout               = 60
  tags                       = var.tags
}

resource "aws_lb_target_group" "log" {
  name                 = var.name
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = 8080
  vpc_id               = var.vpc_id
  deregistration_delay = 30
  tags                 = var.tags
  health_check {
    path                = "/healthz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

# Reads are for all clients, writes for the writers. The log itself takes what is validly signed, by whomever.
resource "aws_lb_listener" "log" {
  load_balancer_arn = aws_lb.log.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn
  tags              = var.tags
  default_action {
    type = "fixed-response"
    fixed_response {
      content_type = "application/json"
      status_code  = "403"
      message_body = jsonencode({ code = 7, message = "this network may read the log, and not write to it" })
    }
  }
}

resource "aws_lb_listener_rule" "reads" {
  listener_arn = aws_lb_listener.log.arn
  priority     = 10
  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.log.arn
  }
  condition {
    http_request_method {
      values = ["GET", "HEAD"]
    }
  }
}

# Rekor v1's searches are POST requests.
resource "aws_lb_listener_rule" "searches" {
  listener_arn = aws_lb_listener.log.arn
  priority     = 20
  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.log.arn
  }
  condition {
    path_pattern {
      values = ["/api/v1/log/entries/retrieve", "/api/v1/index/retrieve"]
    }
  }
}

resource "aws_lb_listener_rule" "writes" {
  listener_arn = aws_lb_listener.log.arn
  priority     = 30
  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.log.arn
  }
  condition {
    source_ip {
      values = var.writer_cidrs
    }
  }
}
